//! Memory against depth as a picture.

use super::StepMeasurement;
use crate::error::{Error, Result};
use palinode::reversible::Differentiation;
use plotters::prelude::*;

const FONT: &str = "sans-serif";

/// Peak bytes of a training step against the number of layers, one line per mode, as SVG.
///
/// # Errors
/// [`Error::Format`] where there is nothing to draw or drawing fails.
pub fn memory_chart(title: &str, rows: &[StepMeasurement]) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (760, 420)).into_drawing_area();
        draw(&root, title, rows).map_err(|error| Error::format("memory.svg", error.to_string()))?;
    }
    Ok(svg)
}

fn draw(
    root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    title: &str,
    rows: &[StepMeasurement],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let megabytes = |row: &StepMeasurement| row.peak_bytes.total as f64 / 1e6;
    let deepest = rows.iter().map(|row| row.layers).max().ok_or("nothing was measured")? as f64;
    let highest = rows.iter().map(megabytes).fold(0.0, f64::max);
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(root)
        .caption(title, (FONT, 17))
        .margin(14)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..deepest * 1.04, 0.0..highest * 1.06)?;
    chart
        .configure_mesh()
        .x_desc("layers")
        .y_desc("peak memory of a training step, MB")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(226, 230, 234))
        .label_style((FONT, 13))
        .draw()?;
    let colours = [RGBColor(120, 128, 136), RGBColor(208, 94, 27), RGBColor(31, 97, 165)];
    for (mode, colour) in Differentiation::ALL.into_iter().zip(colours) {
        let mut points: Vec<(f64, f64)> = rows
            .iter()
            .filter(|row| row.mode == mode)
            .map(|row| (row.layers as f64, megabytes(row)))
            .collect();
        if points.is_empty() {
            continue;
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 4, colour.filled())))?;
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(3)))?
            .label(mode.name())
            .legend(move |(x, y)| {
                PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(3))
            });
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(216, 222, 228))
        .label_font((FONT, 14))
        .draw()?;
    root.present()?;
    Ok(())
}
