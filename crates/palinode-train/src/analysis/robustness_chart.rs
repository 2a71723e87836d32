//! The accuracy under attacks as a picture.

use super::robustness::{Attack, Robustness};
use crate::chart::{Axis, Figure, Look, Panel, Point, Series};
use crate::error::Result;

/// The accuracy against the size of the change: one panel per kind of attack, one line per network, which begins at the
/// accuracy on unchanged images.
///
/// # Errors
/// [`palinode::Error::Format`] where the picture cannot be written.
pub fn robustness_chart(networks: &[(String, Vec<Robustness>)]) -> Result<String> {
    type Size = fn(Attack) -> Option<f64>;
    let kinds: [(&str, &str, Size); 3] = [
        ("Gaussian noise", "standard deviation, pixels in 0…1", |attack| match attack {
            Attack::Gaussian { epsilon } => Some(epsilon),
            Attack::Fgsm { .. } | Attack::Pgd { .. } => None,
        }),
        ("FGSM", "ε, pixels in 0…1", |attack| match attack {
            Attack::Fgsm { epsilon } => Some(epsilon),
            // Without noise: unchanged images.
            Attack::Gaussian { epsilon: 0.0 } => Some(0.0),
            Attack::Gaussian { .. } | Attack::Pgd { .. } => None,
        }),
        ("PGD", "ε, pixels in 0…1", |attack| match attack {
            Attack::Pgd { epsilon, .. } => Some(epsilon),
            Attack::Gaussian { epsilon: 0.0 } => Some(0.0),
            Attack::Gaussian { .. } | Attack::Fgsm { .. } => None,
        }),
    ];
    let panels = kinds.map(|(title, x, size)| {
        let line = |(look, (name, rows)): (usize, &(String, Vec<Robustness>))| {
            let point = |row: &Robustness| {
                size(row.attack).map(|size| Point::new(size, 100.0 * row.accuracy))
            };
            Series::new(name, Look::nth(look), rows.iter().filter_map(point).collect())
        };
        Panel {
            title: title.to_owned(),
            x: Axis { from_zero: true, ..Axis::new(x) },
            y: Axis { from_zero: true, ..Axis::new("accuracy, %") },
            series: networks.iter().enumerate().map(line).collect(),
        }
    });
    Figure::new(panels.into()).to_svg()
}
