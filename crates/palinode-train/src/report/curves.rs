//! Loss and accuracy over the epochs, as SVG.

use crate::error::{Error, Result};
use crate::train::Row;
use plotters::coord::Shift;
use plotters::prelude::*;

const SIZE: (u32, u32) = (960, 340);
const TRAIN: RGBColor = RGBColor(31, 97, 165);
const VALIDATION: RGBColor = RGBColor(208, 94, 27);
const FONT: &str = "sans-serif";

/// What a panel shows of a row.
type Value = fn(&Row) -> f64;

/// Training and validation curves side by side: loss on the left, accuracy on the right.
///
/// # Errors
/// [`Error::Format`] where the picture cannot be drawn.
pub fn curves(rows: &[Row]) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let draw = || -> std::result::Result<(), Box<dyn std::error::Error>> {
            root.fill(&WHITE)?;
            let panels = root.split_evenly((1, 2));
            // The names stand where the curves of a run that learns do not come.
            let (above, below) = (SeriesLabelPosition::UpperRight, SeriesLabelPosition::LowerRight);
            panel(&panels[0], ("Loss", above), rows, |row| row.loss)?;
            panel(&panels[1], ("Accuracy, %", below), rows, |row| 100.0 * row.accuracy)?;
            root.present()?;
            Ok(())
        };
        draw().map_err(|error| Error::format("curves.svg", error.to_string()))?;
    }
    Ok(svg)
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    (title, names): (&str, SeriesLabelPosition),
    rows: &[Row],
    value: Value,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let finite = || rows.iter().map(value).filter(|value| value.is_finite());
    let (low, high) =
        (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    if low > high {
        return Ok(());
    }
    let margin = 0.05 * (high - low).max(1e-3 * high.abs().max(1e-3));
    let epochs = rows.iter().map(|row| row.epoch).max().unwrap_or(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 16))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.5..epochs + 0.5, low - margin..high + margin)?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .x_labels(10.min(epochs as usize + 1))
        .x_label_formatter(&|x| format!("{x:.0}"))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(226, 230, 234))
        .label_style((FONT, 12))
        .draw()?;
    for (split, colour) in [("train", TRAIN), ("validation", VALIDATION)] {
        let points: Vec<(f64, f64)> = rows
            .iter()
            .filter(|row| row.split == split)
            .map(|row| (row.epoch as f64, value(row)))
            .collect();
        let dots = points.iter().map(|&point| Circle::new(point, 2, colour.filled()));
        chart.draw_series(dots)?;
        chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?.label(split).legend(
            move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2)),
        );
    }
    chart
        .configure_series_labels()
        .position(names)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(216, 222, 228))
        .label_font((FONT, 12))
        .draw()?;
    Ok(())
}
