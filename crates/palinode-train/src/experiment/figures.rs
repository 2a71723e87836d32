//! The figures of an experiment, as SVG.

use super::plan::percent as share;
use super::run::Finished;
use super::table::{Line, mean_and_deviation};
use crate::error::{Error, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::collections::BTreeMap;

const FONT: &str = "sans-serif";
const SIZE: (u32, u32) = (960, 460);

/// Told apart by most eyes, and in grey too.
const COLOURS: [RGBColor; 8] = [
    RGBColor(31, 97, 165),
    RGBColor(208, 94, 27),
    RGBColor(46, 125, 80),
    RGBColor(140, 60, 140),
    RGBColor(120, 128, 136),
    RGBColor(190, 40, 60),
    RGBColor(20, 150, 170),
    RGBColor(150, 120, 20),
];

/// What is told of a vertical axis.
#[derive(Clone, Copy)]
struct YAxis {
    name: &'static str,
    digits: usize,
    /// Least room above and below.
    margin: f64,
}

const ACCURACY: YAxis = YAxis { name: "accuracy, %", digits: 1, margin: 0.1 };
const LOSS: YAxis = YAxis { name: "training loss", digits: 2, margin: 0.01 };

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// x, y and the deviation of y.
type Point = (f64, f64, f64);

struct Curve {
    name: String,
    points: Vec<Point>,
}

/// Accuracy, per cent, against the share of the training images: the report's Figure 7.
pub(super) fn against_subset(lines: &[Line]) -> Result<String> {
    let mut curves: Vec<Curve> = Vec::new();
    for line in lines {
        let Some((x, y, deviation)) = accuracy(line).map(|(y, d)| (100.0 * line.subset, y, d))
        else {
            continue;
        };
        match curves.iter_mut().find(|curve| curve.name == line.name) {
            Some(curve) => curve.points.push((x, y, deviation)),
            None => curves.push(Curve { name: line.name.clone(), points: vec![(x, y, deviation)] }),
        }
    }
    for curve in &mut curves {
        curve.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    draw("subsets.svg", |area| chart(area, &curves, ("share of the training images, %", ACCURACY)))
}

/// What [`curves`] show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// Of the validation, per cent.
    Accuracy,
    /// Of the training.
    Loss,
}

/// A measure against epochs; means over the seeds of each line. The report's Figures 8 to 12.
pub(super) fn curves(finished: &[Finished], measure: Measure) -> Result<String> {
    let mut groups: Vec<(String, BTreeMap<usize, Vec<f64>>)> = Vec::new();
    for Finished { trial, rows, .. } in finished {
        let name = match trial.subset < 1.0 {
            true => format!("{}, {} %", trial.row, share(trial.subset)),
            false => trial.row.clone(),
        };
        let place = groups.iter().position(|group| group.0 == name).unwrap_or_else(|| {
            groups.push((name, BTreeMap::new()));
            groups.len() - 1
        });
        for row in rows {
            let value = match (measure, row.split.as_str()) {
                (Measure::Accuracy, "validation") => 100.0 * row.accuracy,
                (Measure::Loss, "train") => row.loss,
                _ => continue,
            };
            groups[place].1.entry(row.epoch).or_default().push(value);
        }
    }
    let curves: Vec<Curve> = groups
        .into_iter()
        .map(|(name, epochs)| {
            let point = |(epoch, values): (usize, Vec<f64>)| {
                let (mean, deviation) = mean_and_deviation(&values)?;
                Some((epoch as f64, mean, deviation.unwrap_or(0.0)))
            };
            Curve { name, points: epochs.into_iter().filter_map(point).collect() }
        })
        .collect();
    match measure {
        Measure::Accuracy => {
            draw("accuracy.svg", |area| chart(area, &curves, ("epochs", ACCURACY)))
        }
        Measure::Loss => draw("loss.svg", |area| chart(area, &curves, ("epochs", LOSS))),
    }
}

/// Accuracy, per cent, against millions of parameters, on all training images.
pub(super) fn against_parameters(lines: &[Line]) -> Result<String> {
    let largest = lines.iter().map(|line| line.subset).fold(0.0, f64::max);
    let curves: Vec<Curve> = lines
        .iter()
        .filter(|line| line.subset == largest)
        .filter_map(|line| {
            let (y, deviation) = accuracy(line)?;
            let points = vec![(line.parameters as f64 / 1e6, y, deviation)];
            Some(Curve { name: line.name.clone(), points })
        })
        .collect();
    draw("parameters.svg", |area| chart(area, &curves, ("parameters, millions", ACCURACY)))
}

/// Test accuracy and its deviation in per cent; that of the validation where no test was read.
fn accuracy(line: &Line) -> Option<(f64, f64)> {
    let values = if line.test.is_empty() { &line.validation } else { &line.test };
    let (mean, deviation) = mean_and_deviation(values)?;
    Some((100.0 * mean, 100.0 * deviation.unwrap_or(0.0)))
}

fn draw(name: &str, drawing: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let drawn = root.fill(&WHITE).map_err(Into::into).and_then(|()| drawing(&root));
        let presented = drawn.and_then(|()| root.present().map_err(Into::into));
        presented.map_err(|error| Error::format(name, error.to_string()))?;
    }
    Ok(svg)
}

/// Curves with dots and deviations, the legend on the right of them.
fn chart(area: &Area<'_>, curves: &[Curve], (x_name, y_axis): (&str, YAxis)) -> Drawn {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let range = |low: f64, high: f64, least: f64| {
        let margin = (0.06 * (high - low)).max(least);
        low - margin..high + margin
    };
    let bounds = |of: fn(&Point) -> [f64; 2]| {
        let both = points().flat_map(of);
        both.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let (left, right) = bounds(|&(x, _, _)| [x, x]);
    let (low, high) = bounds(|&(_, y, deviation)| [y - deviation, y + deviation]);
    if left > right {
        return Ok(());
    }
    let legend =
        16 + 8 * curves.iter().map(|curve| curve.name.chars().count()).max().unwrap_or(0) as i32;
    let (plot, side) = area.split_horizontally((SIZE.0 as i32 - legend.min(300) - 30).max(300));
    let mut chart = ChartBuilder::on(&plot)
        .margin(14)
        .x_label_area_size(42)
        .y_label_area_size(60)
        .build_cartesian_2d(
            range(left, right, 0.02 * right.abs()),
            range(low, high, y_axis.margin),
        )?;
    // Ticks of whole numbers where there are few, and as many digits as tell them apart.
    let whole = points().all(|point| point.0.fract() == 0.0) && right - left < 10.0;
    let ticks = if whole { (right - left) as usize + 1 } else { 10 };
    let spacing = (right - left).max(0.1 * right.abs()).max(1e-6) / 5.0;
    let digits = if whole { 0 } else { (-spacing.log10()).ceil().clamp(0.0, 6.0) as usize };
    chart
        .configure_mesh()
        .x_desc(x_name)
        .x_labels(ticks)
        .y_desc(y_axis.name)
        .x_label_formatter(&|x| format!("{x:.digits$}"))
        .y_label_formatter(&|y| format!("{y:.*}", y_axis.digits))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(226, 230, 234))
        .label_style((FONT, 13))
        .draw()?;
    for (index, curve) in curves.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let line = curve.points.iter().map(|&(x, y, _)| (x, y));
        chart.draw_series(LineSeries::new(line.clone(), colour.stroke_width(2)))?;
        chart.draw_series(line.map(|point| Circle::new(point, 3, colour.filled())))?;
        let spread = curve.points.iter().filter(|point| point.2 > 0.0);
        chart.draw_series(spread.map(|&(x, y, deviation)| {
            let ends = vec![(x, y - deviation), (x, y + deviation)];
            PathElement::new(ends, colour.stroke_width(1))
        }))?;
        let y = 30 + 22 * index as i32;
        side.draw(&PathElement::new(vec![(0, y), (18, y)], colour.stroke_width(3)))?;
        side.draw(&Text::new(curve.name.clone(), (26, y - 7), (FONT, 14)))?;
    }
    Ok(())
}
