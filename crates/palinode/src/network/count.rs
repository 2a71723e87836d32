//! Exact parameter counts, of a configuration and of a network.

use super::classifier::Network;
use super::config::{Layout, NetworkConfig};
use super::names::{Location, Names};
use crate::residual::{BuiltInConfig, Residual};

/// Trainable parameters of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParameterCount {
    /// The sum over all parts.
    pub total: usize,
    /// (part of the network, count), from input to output: `stem`, `stem_norm`, `units.0`, …, `head`.
    pub parts: Vec<(String, usize)>,
}

impl ParameterCount {
    fn of(parts: impl IntoIterator<Item = (String, usize)>) -> Self {
        let parts: Vec<_> = parts.into_iter().collect();
        Self { total: parts.iter().map(|(_, count)| count).sum(), parts }
    }
}

impl NetworkConfig {
    /// Counts the trainable parameters of the network with the built-in residual. The count is computed
    /// from shapes; the network is not built.
    pub fn parameter_count(&self) -> ParameterCount {
        let paper = self.layout == Layout::Paper;
        let (inputs, outputs) = (self.channels, self.stem_channels());
        let stem = 9 * inputs * outputs + if paper { 0 } else { outputs };
        let mut parts = vec![("stem".to_owned(), stem)];
        if paper || self.stem.norm {
            parts.push(("stem_norm".to_owned(), 2 * outputs));
        }
        let per_block = self.stepped().residuals_per_block();
        for (unit, blocks) in self.blocks_per_unit().into_iter().enumerate() {
            let parameters =
                |index| self.residual.parameters(self.settings(self.site(unit, index)));
            let residuals = blocks * per_block;
            // All blocks after the first have residuals of the same shapes.
            let first: usize = (0..residuals.min(2 * per_block)).map(parameters).sum();
            let others = residuals.saturating_sub(2 * per_block);
            let each = if others > 0 { parameters(2 * per_block) } else { 0 };
            let mut count = first + others * each;
            if self.residual == BuiltInConfig::Aggregated && self.has_entry(unit) {
                count += self.projection_inputs(unit) * self.width(unit);
            }
            parts.push((format!("units.{unit}"), count));
        }
        if paper {
            parts.push(("head_norm".to_owned(), 2 * self.last_width()));
        }
        parts.push(("head".to_owned(), (self.features() + 1) * self.classes));
        ParameterCount::of(parts)
    }
}

/// Counts the trainable parameters of a network. Running statistics are not counted.
pub fn count<R: Residual>(network: &Network<R>) -> ParameterCount {
    let units = network.units.len();
    // Stem and its norm, the units, head norm and head.
    let mut counts: Vec<Option<usize>> = vec![None; units + 4];
    (0..units).for_each(|unit| counts[2 + unit] = Some(0));
    for slot in Names::of(network).slots.iter().filter(|slot| slot.trainable) {
        let part = match slot.location {
            Location::Stem => 0,
            Location::StemNorm => 1,
            Location::Entry { unit, .. }
            | Location::Shortcut { unit }
            | Location::Unit { unit, .. } => 2 + unit,
            Location::HeadNorm => units + 2,
            Location::Head => units + 3,
        };
        *counts[part].get_or_insert(0) += slot.shape.iter().product::<usize>();
    }
    let name = |part: usize| match part {
        0 => "stem".to_owned(),
        1 => "stem_norm".to_owned(),
        part if part < units + 2 => format!("units.{}", part - 2),
        part if part == units + 2 => "head_norm".to_owned(),
        _ => "head".to_owned(),
    };
    let parts = counts.into_iter().enumerate();
    ParameterCount::of(parts.filter_map(|(part, count)| Some((name(part), count?))))
}
