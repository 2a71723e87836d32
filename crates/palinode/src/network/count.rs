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
    let mut empty: Vec<usize> =
        (0..network.units.len()).filter(|&unit| network.units[unit].blocks() == 0).collect();
    for Slot { name, shape, trainable, .. } in Names::of(network).slots {
        if !trainable {
            continue;
        }
        let part = name.rsplit_once('.').map_or(name.as_str(), |(part, _)| part);
        // units.i.… may be nested deeper in a residual of the user's own.
        let part: String = match part.strip_prefix("units.") {
            Some(rest) => format!("units.{}", rest.split('.').next().unwrap_or(rest)),
            None => part.to_owned(),
        };
        if part.starts_with("head") {
            parts.extend(empty.drain(..).map(|unit| (format!("units.{unit}"), 0)));
        }
        let elements: usize = shape.iter().product();
        match parts.last_mut() {
            Some((last, count)) if *last == part => *count += elements,
            _ => parts.push((part, elements)),
        }
    }
    ParameterCount { total: parts.iter().map(|(_, count)| count).sum(), parts }
}
