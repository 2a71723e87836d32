//! Validation of a network's configuration.

use super::config::{Layout, NetworkConfig, TransitionKind, UNITS};
use crate::error::{Error, Result};
use crate::residual::BuiltInConfig;
use crate::scheme::{SchemeName, SchemeOptions, Streams};

impl NetworkConfig {
    /// Checks that a network with this configuration can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first invalid field.
    pub fn validate(&self) -> Result<()> {
        self.validate_units()?;
        for (field, value, limit) in [
            ("classes", self.classes, 256),
            ("channels", self.channels, 4_096),
            ("size", self.size.into_iter().max().unwrap_or(0), 16_384),
        ] {
            if value > limit {
                let reason = format!("{value} is above the limit of {limit}");
                return Err(Error::config(field, reason));
            }
        }
        if self.streams() == Streams::Two && self.widths.iter().any(|w| !w.is_multiple_of(2)) {
            return Err(Error::config(
                "model.widths",
                format!(
                    "{:?}: widths must be even, since a two-stream scheme splits them into halves",
                    self.widths
                ),
            ));
        }
        self.validate_residual()?;
        for (field, rate) in
            [("model.dropout", self.dropout), ("model.block_dropout", self.block_dropout)]
        {
            if !(0.0..1.0).contains(&rate) {
                let reason = format!("{rate} is out of range; expected at least 0 and below 1");
                return Err(Error::config(field, reason));
            }
        }
        if !(self.survival > 0.0 && self.survival <= 1.0) {
            let reason = format!("{} is out of range; expected above 0, at most 1", self.survival);
            return Err(Error::config("model.survival", reason));
        }
        let step_fits = self.step.is_finite() && self.step > 0.0;
        if !step_fits {
            let reason = format!("{} is not a positive, finite number", self.step);
            return Err(Error::config("model.step", reason));
        }
        self.validate_options()?;
        let pooled = self.transition != TransitionKind::Strided;
        if self.layout == Layout::Paper && pooled && self.blocks.last() == Some(&0) {
            return Err(Error::config(
                "model.blocks",
                "layout `paper` moves a block of the last unit before its transition, so the last unit \
                 needs at least one block",
            ));
        }
        if self.classes < 2 {
            let reason = format!("{} is too few; a classifier needs at least two", self.classes);
            return Err(Error::config("classes", reason));
        }
        if self.channels == 0 {
            return Err(Error::config("channels", "an image needs at least one channel"));
        }
        let smallest = if self.layout == Layout::Report { 2 } else { 1 };
        if self.last_map().iter().any(|&extent| extent < smallest) {
            return Err(Error::config(
                "size",
                format!(
                    "{}×{} images give last feature maps of {}×{}, but the head needs at least \
                     {smallest}×{smallest}",
                    self.size[0],
                    self.size[1],
                    self.last_map()[0],
                    self.last_map()[1],
                ),
            ));
        }
        Ok(())
    }

    /// Validates the settings of the scheme, as far as it uses them.
    fn validate_options(&self) -> Result<()> {
        let SchemeOptions { coupling, damping, memory, .. } = self.options;
        let (field, value, fits, expected) = match self.scheme {
            SchemeName::RungeKutta => {
                let fits = coupling > 0.0 && coupling <= 1.0;
                ("coupling", coupling, fits, "above 0, at most 1".to_owned())
            }
            SchemeName::Damped => {
                let most = 2.0 / self.step;
                let fits = damping >= 0.0 && damping < most;
                ("damping", damping, fits, format!("at least 0 and below 2/h = {most}"))
            }
            SchemeName::Momentum => {
                let fits = memory > 0.0 && memory < 1.0;
                ("memory", memory, fits, "above 0 and below 1".to_owned())
            }
            _ => return Ok(()),
        };
        match fits {
            true => Ok(()),
            false => {
                let reason = format!("{value} is out of range; expected {expected}");
                Err(Error::config(format!("model.options.{field}"), reason))
            }
        }
    }

    /// Validates blocks, widths and transitions.
    fn validate_units(&self) -> Result<()> {
        let units = self.blocks.len();
        if !(1..=UNITS).contains(&units) || self.widths.len() != units {
            let reason = format!(
                "{units} numbers of blocks and {} widths; expected one of each per unit, for 1 to \
                 {UNITS} units",
                self.widths.len()
            );
            return Err(Error::config("model.blocks", reason));
        }
        for (field, values, limit) in
            [("model.blocks", &self.blocks, 100_000), ("model.widths", &self.widths, 16_384)]
        {
            if let Some(value) = values.iter().find(|&&value| value > limit) {
                let reason = format!("{value} is above the limit of {limit}");
                return Err(Error::config(field, reason));
            }
        }
        if self.width(0) == 0 || !self.widths.is_sorted() {
            let reason = format!(
                "{:?}: widths must be positive and never fall, since transitions add zero channels",
                self.widths
            );
            return Err(Error::config("model.widths", reason));
        }
        if !self.transitions.is_empty() {
            if self.transitions.len() + 1 != units {
                let reason = format!(
                    "{} transitions for {units} units; expected one fewer than units",
                    self.transitions.len()
                );
                return Err(Error::config("model.transitions", reason));
            }
            let baseline = self.transition == TransitionKind::Strided;
            if self.transitions.iter().any(|kind| (*kind == TransitionKind::Strided) != baseline) {
                let reason = "strided transitions cannot be mixed with others; baselines have only \
                              strided transitions";
                return Err(Error::config("model.transitions", reason));
            }
        }
        Ok(())
    }

    /// Validates the residual and its requirements.
    fn validate_residual(&self) -> Result<()> {
        let config = |field: &str, reason: String| Err(Error::config(field, reason));
        if self.residual.has_groups_of_four() {
            for unit in 0..self.widths.len() {
                let channels = self.residual_channels(unit);
                if !channels.is_multiple_of(4) {
                    let reason = format!(
                        "{:?}: an inception residual of {channels} channels cannot be split into four \
                         groups",
                        self.widths
                    );
                    return config("model.widths", reason);
                }
            }
        }
        let single = self.scheme == SchemeName::HamiltonianSingle;
        if single && self.block_norm && self.residual != BuiltInConfig::Layer {
            let reason = "the single-layer Hamiltonian network evaluates two functions of every residual, \
                          and only `layer` has a norm for each";
            return config("model.block_norm", reason.to_owned());
        }
        let strided = self.transition == TransitionKind::Strided;
        if !self.residual.is_baseline() {
            if strided {
                let reason = format!(
                    "{:?} does not work with strided transitions; `basic` and `aggregated` do",
                    self.residual
                );
                return config("model.residual", reason);
            }
            return Ok(());
        }
        if !strided {
            let reason = format!(
                "{:?} is a baseline's residual and needs strided transitions",
                self.residual
            );
            return config("model.residual", reason);
        }
        if self.layout != Layout::Paper {
            let reason = "baselines have the stem and head of layout `paper`";
            return config("model.layout", reason.to_owned());
        }
        let halvings = (self.widths.len() - 1) as u32;
        let factor = 1_usize.checked_shl(halvings).unwrap_or(usize::MAX);
        if self.size.iter().any(|extent| !extent.is_multiple_of(factor)) {
            let reason = format!(
                "{}×{}: the strided transitions of {} units need rows and columns that are multiples of \
                 {factor}",
                self.size[0],
                self.size[1],
                self.widths.len()
            );
            return config("size", reason);
        }
        if self.residual == BuiltInConfig::Aggregated {
            if self.blocks[0] == 0 {
                let reason =
                    "the first unit widens the stem's output, so it needs at least one block";
                return config("model.blocks", reason.to_owned());
            }
            if self.streams() == Streams::Two {
                return config("model.scheme", "`aggregated` needs a one-state scheme".to_owned());
            }
            let fits = self.groups > 0
                && self.bottleneck > 0
                && self.bottleneck.is_multiple_of(self.groups)
                && self.bottleneck_of(self.widths.len() - 1) <= 65_536;
            if !fits {
                let reason = format!(
                    "{} channels in {} groups; expected a multiple of the groups, and at most 65536 in \
                     the last unit",
                    self.bottleneck, self.groups
                );
                return config("model.bottleneck", reason);
            }
            if self.width(0) < 4 {
                return config(
                    "model.widths",
                    "bottlenecks need at least four channels".to_owned(),
                );
            }
        }
        Ok(())
    }
}
