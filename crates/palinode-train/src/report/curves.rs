//! Learning curves: loss, accuracy and learning rate over the epochs.

use crate::chart::{Axis, Figure, Look, Panel, Point, Ring, Scale, Series};
use crate::error::Result;
use crate::train::Row;

/// A measure of a [`Row`].
type Value = fn(&Row) -> f64;

/// The learning curves of a run as one SVG: loss, accuracy and learning rate, with the epoch of the
/// best validation marked.
///
/// # Errors
/// [`palinode::Error::Format`] where the picture cannot be written.
pub fn curves(rows: &[Row]) -> Result<String> {
    figure(rows).to_svg()
}

/// The same with one SVG per panel, for pages.
pub(super) fn separate_curves(rows: &[Row]) -> Result<Vec<String>> {
    figure(rows).for_page().iter().map(Figure::to_svg).collect()
}

fn figure(rows: &[Row]) -> Figure {
    let ring = best_epoch(rows)
        .map(|epoch| Ring { x: epoch as f64, name: format!("best validation (epoch {epoch})") });
    let of = |split: &str, value: Value| -> Vec<Point> {
        let rows = rows.iter().filter(|row| row.split == split);
        rows.map(|row| Point::new(row.epoch as f64, value(row))).collect()
    };
    let both = |value: Value| {
        let train = Series::new("train", Look::nth(0).dashed(), of("train", value));
        let validation = Series::new("validation", Look::nth(1), of("validation", value));
        // Nothing may have been held out.
        match validation.points.is_empty() {
            true => vec![train],
            false => vec![train, Series { ring: ring.clone(), ..validation }],
        }
    };
    let validated = rows.iter().any(|row| row.split == "validation");
    let splits = if validated { "train and validation" } else { "train" };
    let rates = of("train", |row| row.learning_rate);
    let rate = Series { name: None, ..Series::new("learning rate", Look::nth(3), rates) };
    Figure::new(vec![
        over_epochs(&format!("Loss, {splits}"), loss_axis(), both(|row| row.loss)),
        over_epochs(
            &format!("Accuracy, {splits}"),
            Axis::new("accuracy, %"),
            both(|row| 100.0 * row.accuracy),
        ),
        over_epochs(
            "Learning rate at the end of the epoch",
            Axis::new("learning rate"),
            vec![rate],
        ),
    ])
}

/// Loss and accuracy of several runs, each in one chart: (name, rows) of every run.
pub(super) fn overlaid(runs: &[(&str, &[Row])]) -> Result<Vec<String>> {
    let series = |value: Value| -> Vec<Series> {
        let of = |(index, &(name, rows)): (usize, &(&str, &[Row]))| {
            let points = |split: &str| -> Vec<Point> {
                let rows = rows.iter().filter(|row| row.split == split);
                rows.map(|row| Point::new(row.epoch as f64, value(row))).collect()
            };
            let ring = best_epoch(rows)
                .map(|epoch| Ring { x: epoch as f64, name: "best validation".to_owned() });
            let look = Look::nth(index);
            let train = Series::new(name, look.dashed(), points("train"));
            let validation = Series::new(name, look.solid(), points("validation"));
            [Series { name: None, ..train }, Series { ring, ..validation }]
        };
        runs.iter().enumerate().flat_map(of).collect()
    };
    let figure = |title: &str, axis: Axis, value: Value| {
        let mut figure = Figure::new(vec![over_epochs(title, axis, series(value))]);
        figure.notes.push("Solid lines: validation. Dashed lines: train.".to_owned());
        figure.for_page()
    };
    let accuracy: Value = |row| 100.0 * row.accuracy;
    let figures = [
        figure("Loss, train and validation", loss_axis(), |row| row.loss),
        figure("Accuracy, train and validation", Axis::new("accuracy, %"), accuracy),
    ];
    figures.iter().flatten().map(Figure::to_svg).collect()
}

fn over_epochs(title: &str, y: Axis, series: Vec<Series>) -> Panel {
    Panel { title: title.to_owned(), x: Axis::whole("epoch"), y, series }
}

fn loss_axis() -> Axis {
    Axis { scale: Scale::Log, ..Axis::new("cross-entropy") }
}

/// The first epoch of the highest validation accuracy.
fn best_epoch(rows: &[Row]) -> Option<usize> {
    let validations = rows.iter().filter(|row| row.split == "validation");
    let finite = validations.filter(|row| row.accuracy.is_finite());
    let best = finite.reduce(|best, row| if row.accuracy > best.accuracy { row } else { best });
    best.map(|row| row.epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(epoch: usize, split: &str, accuracy: f64) -> Row {
        Row {
            epoch,
            split: split.to_owned(),
            loss: 1.0 - accuracy,
            accuracy,
            learning_rate: 0.1,
            seconds: 1.0,
            images_per_second: 100.0,
            peak_bytes: Some(1),
            ..Row::default()
        }
    }

    #[test]
    fn the_best_epoch_is_the_first_of_the_best_validations() {
        let rows = [
            row(1, "train", 0.99),
            row(1, "validation", f64::NAN),
            row(2, "validation", 0.7),
            row(3, "validation", 0.7),
        ];
        assert_eq!(best_epoch(&rows), Some(2));
        assert_eq!(best_epoch(&rows[..2]), None);
    }

    #[test]
    fn a_run_without_validation_has_curves_and_no_mark() {
        let svg = curves(&[row(1, "train", 0.5), row(2, "train", 0.6)]).unwrap();
        assert!(svg.contains("Learning rate") && !svg.contains("validation"));
        assert!(curves(&[]).unwrap().contains("there are no values to draw"));
    }

    #[test]
    fn compared_runs_share_a_chart() {
        let rows = [row(1, "train", 0.5), row(1, "validation", 0.6), row(2, "validation", 0.5)];
        let charts = overlaid(&[("first <run>", &rows), ("second", &rows[..2])]).unwrap();
        assert_eq!(charts.len(), 2, "one of the loss, one of the accuracy");
        for svg in charts {
            assert_eq!(svg.matches("<svg").count(), 1);
            assert!(svg.contains("first &lt;run&gt;") && svg.contains("second"));
            assert!(svg.contains("Dashed lines: train.") && svg.contains("best validation"));
        }
    }
}
