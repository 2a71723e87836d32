//! Exact parameter counts, part by part.

use super::Network;
use super::weights::{Names, Slot};
use crate::residual::Residual;

/// Trainable parameters of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterCount {
    /// All of them.
    pub total: usize,
    /// (part, count) from the input on: `stem`, `stem_norm`, `units.0`, …, `head`.
    pub parts: Vec<(String, usize)>,
}

/// Counts a network's trainable parameters (running statistics are none).
pub fn count<R: Residual>(network: &Network<R>) -> ParameterCount {
    let mut parts: Vec<(String, usize)> = Vec::new();
    for Slot { name, shape, trainable, .. } in Names::of(network).slots {
        if !trainable {
            continue;
        }
        let part = name.rsplit_once('.').map_or(name.as_str(), |(part, _)| part);
        // units.i.… may be nested deeper in a residual of the user's own.
        let part = match part.strip_prefix("units.") {
            Some(rest) => format!("units.{}", rest.split('.').next().unwrap_or(rest)),
            None => part.to_owned(),
        };
        let known = |part: &str, parts: &[(String, usize)]| parts.iter().any(|(p, _)| p == part);
        // All units together and in order, whatever comes first, and the empty ones too.
        if (part.starts_with("units.") || part.starts_with("head")) && !known("units.0", &parts) {
            parts.extend((0..network.units.len()).map(|unit| (format!("units.{unit}"), 0)));
        }
        let elements: usize = shape.iter().product();
        match parts.iter_mut().find(|(known, _)| *known == part) {
            Some((_, count)) => *count += elements,
            None => parts.push((part, elements)),
        }
    }
    ParameterCount { total: parts.iter().map(|(_, count)| count).sum(), parts }
}
