//! Memory against depth as a picture.

use super::memory::StepMeasurement;
use crate::chart::{Axis, Figure, Look, Panel, Point, Series};
use crate::error::{Error, Result};
use palinode::network::Modes;
use palinode::reversible::Differentiation;

/// Peak bytes of a training step against the number of layers, one line per mode, as SVG.
///
/// # Errors
/// [`palinode::Error::Format`] where there is nothing to draw or drawing fails.
pub fn memory_chart(title: &str, rows: &[StepMeasurement]) -> Result<String> {
    if rows.is_empty() {
        return Err(Error::format("memory.svg", "nothing was measured"));
    }
    // Each mode keeps its look, whichever are there.
    let modes = Differentiation::ALL.into_iter().enumerate();
    let series = modes.filter_map(|(index, mode)| {
        let of_mode = rows.iter().filter(|row| row.mode == Modes::Same(mode));
        let mut points: Vec<Point> = of_mode
            .map(|row| Point::new(row.layers as f64, row.peak_bytes.total as f64 / 1e6))
            .collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        let look = Look::nth(Differentiation::ALL.len() - 1 - index);
        (!points.is_empty()).then(|| Series::new(mode.name(), look, points))
    });
    let from_zero = |axis: Axis| Axis { from_zero: true, ..axis };
    let panel = Panel {
        title: title.to_owned(),
        x: from_zero(Axis::whole("layers")),
        y: from_zero(Axis::new("peak memory, MB")),
        series: series.collect(),
    };
    Figure::new(vec![panel]).to_svg()
}

#[cfg(test)]
mod tests {
    use super::super::step::PeakBytes;
    use super::*;

    #[test]
    fn every_mode_has_a_line_and_nothing_is_an_error() {
        let row = |layers: usize, mode: Differentiation| StepMeasurement {
            blocks: layers / 12,
            layers,
            mode: mode.into(),
            seconds: 0.1,
            peak_bytes: PeakBytes { total: layers * 1_000_000, ..PeakBytes::default() },
        };
        let rows: Vec<StepMeasurement> = Differentiation::ALL
            .into_iter()
            .flat_map(|mode| [row(218, mode), row(26, mode)])
            .collect();
        let svg = memory_chart("Peak memory", &rows).unwrap();
        for mode in Differentiation::ALL {
            assert!(svg.contains(mode.name()));
        }
        assert!(!memory_chart("Peak memory", &rows[..2]).unwrap().contains("reversible"));
        assert!(memory_chart("Peak memory", &[]).is_err());
    }
}
