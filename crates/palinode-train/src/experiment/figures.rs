//! The figures of an experiment, as SVG.

use super::finished::Finished;
use super::plan::percent as share;
use super::record::TableRecord;
use super::table::mean_and_deviation;
use crate::chart::{Axis, Figure, Look, Panel, Point, Scale, Series};
use crate::error::Result;
use std::collections::BTreeMap;

/// What a figure over epochs shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// Accuracy on the validation split.
    ValidationAccuracy,
    /// Loss on the training split.
    TrainingLoss,
}

/// A measure over the epochs: means over the seeds of each row. Figures 8 to 12 of the report.
pub(super) fn over_epochs(finished: &[Finished], measure: Measure) -> Figure {
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
                (Measure::ValidationAccuracy, "validation") => 100.0 * row.accuracy,
                (Measure::TrainingLoss, "train") => row.loss,
                _ => continue,
            };
            groups[place].1.entry(row.epoch).or_default().push(value);
        }
    }
    let series = groups.into_iter().enumerate().map(|(index, (name, epochs))| {
        let point = |(epoch, values): (usize, Vec<f64>)| {
            let (y, deviation) = mean_and_deviation(&values)?;
            Some(Point { x: epoch as f64, y, deviation })
        };
        Series::new(&name, Look::nth(index), epochs.into_iter().filter_map(point).collect())
    });
    let (title, y) = match measure {
        Measure::ValidationAccuracy => ("Validation accuracy", Axis::new("accuracy, %")),
        Measure::TrainingLoss => {
            ("Training loss", Axis { scale: Scale::Log, ..Axis::new("cross-entropy") })
        }
    };
    figure(title, (Axis::whole("epoch"), y), series.collect(), Vec::new())
}

/// Accuracy against the share of the training images, one line per model: Figure 7 of the report.
///
/// # Errors
/// [`palinode::Error::Format`] where the picture cannot be written.
pub fn accuracy_by_subset(records: &[TableRecord]) -> Result<String> {
    by_subset(records).to_svg()
}

pub(super) fn by_subset(records: &[TableRecord]) -> Figure {
    by_model(records, "share of the training images", Axis::new("training images, %"), |record| {
        100.0 * record.subset
    })
}

/// Accuracy against the number of parameters, of the rows with the most training images.
///
/// # Errors
/// [`palinode::Error::Format`] where the picture cannot be written.
pub fn accuracy_by_parameters(records: &[TableRecord]) -> Result<String> {
    by_parameters(records).to_svg()
}

pub(super) fn by_parameters(records: &[TableRecord]) -> Figure {
    let largest = records.iter().map(|record| record.subset).fold(0.0, f64::max);
    let records: Vec<TableRecord> =
        records.iter().filter(|record| record.subset == largest).cloned().collect();
    let most = records.iter().map(|record| record.parameters).max();
    match most {
        Some(1_000_000..) => {
            by_model(&records, "parameters", Axis::new("parameters, millions"), |record| {
                record.parameters as f64 / 1e6
            })
        }
        _ => by_model(&records, "parameters", Axis::new("parameters, thousands"), |record| {
            record.parameters as f64 / 1e3
        }),
    }
}

/// An accuracy of a record and its deviation, in 0…1.
type Accuracy = fn(&TableRecord) -> (Option<f64>, Option<f64>);

/// Test accuracy against `x`; the best validation accuracy where not every record has been tested.
fn by_model(
    records: &[TableRecord],
    x_title: &str,
    x_axis: Axis,
    x: fn(&TableRecord) -> f64,
) -> Figure {
    let tested = records.iter().all(|record| record.test_accuracy.is_some());
    let (title, accuracy): (&str, Accuracy) = match tested {
        true => ("Test accuracy", |record| (record.test_accuracy, record.test_deviation)),
        false => ("Best validation accuracy", |record| {
            (record.validation_accuracy, record.validation_deviation)
        }),
    };
    let mut curves: Vec<(&str, Vec<Point>)> = Vec::new();
    let mut notes = Vec::new();
    for record in records {
        let (Some(y), deviation) = accuracy(record) else {
            notes.push(format!("{} has no validation accuracy and is not drawn.", record.model));
            continue;
        };
        let deviation = deviation.map(|deviation| 100.0 * deviation);
        let point = Point { x: x(record), y: 100.0 * y, deviation };
        match curves.iter_mut().find(|(model, _)| *model == record.model) {
            Some((_, points)) => points.push(point),
            None => curves.push((&record.model, vec![point])),
        }
    }
    let series = curves.into_iter().enumerate().map(|(index, (model, mut points))| {
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        Series::new(model, Look::nth(index), points)
    });
    let title = format!("{title} against {x_title}");
    figure(&title, (x_axis, Axis::new("accuracy, %")), series.collect(), notes)
}

fn figure(title: &str, (x, y): (Axis, Axis), series: Vec<Series>, notes: Vec<String>) -> Figure {
    let deviates = |point: &Point| point.deviation.is_some();
    let bars = series.iter().flat_map(|series| &series.points).any(deviates);
    let mut figure = Figure::new(vec![Panel { title: title.to_owned(), x, y, series }]);
    figure.notes = notes;
    if bars {
        figure.notes.push("Error bars: standard deviation over seeds.".to_owned());
    }
    figure
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(model: &str, subset: f64, test: Option<f64>) -> TableRecord {
        TableRecord {
            model: model.to_owned(),
            units: None,
            channels: None,
            parameters: 480_000,
            subset,
            epochs: 6,
            seeds: 1,
            test_accuracy: test,
            test_deviation: None,
            validation_accuracy: (model != "unvalidated").then_some(0.8),
            validation_deviation: Some(0.01),
            seconds: None,
            peak_bytes: None,
        }
    }

    #[test]
    fn titles_say_which_accuracy_is_drawn() {
        let tested = [record("a", 0.5, Some(0.9)), record("b", 1.0, Some(0.91))];
        let svg = accuracy_by_subset(&tested).unwrap();
        assert!(svg.contains("Test accuracy against share of the training images"));
        assert!(!svg.contains("Error bars"), "one seed has no deviation");
        // Never test accuracies beside validation accuracies.
        let mixed = [tested[0].clone(), record("b", 1.0, None), record("unvalidated", 1.0, None)];
        let svg = accuracy_by_subset(&mixed).unwrap();
        assert!(svg.contains("Best validation accuracy") && !svg.contains("Test accuracy"));
        assert!(svg.contains("unvalidated has no validation accuracy and is not drawn."));
        assert!(svg.contains("Error bars: standard deviation over seeds."));
    }

    #[test]
    fn parameters_are_compared_on_the_most_images_alone() {
        let records = [record("a", 0.5, Some(0.9)), record("b", 1.0, Some(0.91))];
        let svg = accuracy_by_parameters(&records).unwrap();
        assert!(svg.contains("\nb\n") && !svg.contains("\na\n"));
        assert!(accuracy_by_parameters(&[]).unwrap().contains("there are no values to draw"));
    }
}
