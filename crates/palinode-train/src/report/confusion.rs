//! The confusion matrix, and the precision and recall of every class.

use super::numbers::{or_dash, percent, thousands};
use crate::data::ImageSource;
use crate::train::{Evaluation, most_probable};
use std::cmp::Reverse;

/// With more classes the matrix is shown as shades alone.
const MOST_IN_NUMBERS: usize = 20;
const WORST_PAIRS: usize = 30;

/// What the page shows of a confusion matrix.
pub(super) struct Confusion {
    pub(super) classes: Vec<String>,
    /// By true class.
    pub(super) rows: Vec<ConfusionRow>,
    /// True class, predicted class, images; the most frequent first.
    pub(super) worst_pairs: Vec<[String; 3]>,
    /// Class, images, predicted, correct, precision, recall.
    pub(super) scores: Vec<[String; 6]>,
}

/// The images of one class.
pub(super) struct ConfusionRow {
    pub(super) class: String,
    /// By predicted class.
    pub(super) cells: Vec<Cell>,
}

pub(super) struct Cell {
    pub(super) count: usize,
    /// Opacity of the background, in 0…1.
    pub(super) shade: String,
}

impl Cell {
    fn new(count: usize, total: usize) -> Self {
        let share = count as f64 / total.max(1) as f64;
        Self { count, shade: format!("{:.3}", 0.08 + 0.92 * share) }
    }

    /// Whether text on it has to be light.
    pub(super) fn is_dark(&self) -> bool {
        self.shade.as_str() > "0.540"
    }
}

impl Confusion {
    /// What a network says about the images of `test`.
    pub(super) fn new(test: &dyn ImageSource, evaluation: &Evaluation) -> Self {
        let names = test.classes();
        let mut counts = vec![vec![0_usize; names.len()]; names.len()];
        for (index, logits) in evaluation.logits.chunks(names.len().max(1)).enumerate() {
            counts[test.label(index)][most_probable(logits)] += 1;
        }
        let row = |(class, counts): (&String, &Vec<usize>)| {
            let total = counts.iter().sum();
            let cells = counts.iter().map(|&count| Cell::new(count, total)).collect();
            ConfusionRow { class: class.clone(), cells }
        };
        Self {
            classes: names.to_vec(),
            rows: names.iter().zip(&counts).map(row).collect(),
            worst_pairs: worst_pairs(names, &counts),
            scores: scores(names, &counts),
        }
    }

    /// Whether there are too many classes for a matrix of numbers.
    pub(super) fn is_dense(&self) -> bool {
        self.classes.len() > MOST_IN_NUMBERS
    }
}

fn worst_pairs(classes: &[String], counts: &[Vec<usize>]) -> Vec<[String; 3]> {
    let mut pairs: Vec<(usize, usize, usize)> = Vec::new();
    for (truth, row) in counts.iter().enumerate() {
        pairs.extend(row.iter().enumerate().map(|(predicted, &count)| (count, truth, predicted)));
    }
    pairs.retain(|&(count, truth, predicted)| count > 0 && truth != predicted);
    pairs.sort_by_key(|&(count, truth, predicted)| (Reverse(count), truth, predicted));
    let named = |&(count, truth, predicted): &(usize, usize, usize)| {
        [classes[truth].clone(), classes[predicted].clone(), thousands(count)]
    };
    pairs.iter().take(WORST_PAIRS).map(named).collect()
}

fn scores(classes: &[String], counts: &[Vec<usize>]) -> Vec<[String; 6]> {
    let score = |(class, name): (usize, &String)| {
        let images: usize = counts[class].iter().sum();
        let predicted: usize = counts.iter().map(|row| row[class]).sum();
        let correct = counts[class][class];
        let share_of = |all: usize| (all > 0).then(|| correct as f64 / all as f64);
        [
            name.clone(),
            thousands(images),
            thousands(predicted),
            thousands(correct),
            or_dash(share_of(predicted), percent),
            or_dash(share_of(images), percent),
        ]
    };
    classes.iter().enumerate().map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    /// Images with the given (true class, predicted class) among the classes a, b, c.
    fn confusion(pairs: &[(u8, usize)]) -> Confusion {
        let logits = |&(_, predicted): &(u8, usize)| {
            (0..3).map(move |class| if class == predicted { 1.0 } else { 0.0 })
        };
        let test = Dataset::new(
            vec![0; pairs.len()],
            pairs.iter().map(|pair| pair.0).collect(),
            1,
            [1, 1],
            ["a", "b", "c"].map(str::to_owned).to_vec(),
        );
        let logits = pairs.iter().flat_map(logits).collect();
        Confusion::new(&test, &Evaluation { loss: 0.0, accuracy: 0.0, logits })
    }

    fn scores(confusion: &Confusion) -> Vec<[String; 6]> {
        let plain = |cell: &String| cell.replace('\u{a0}', " ");
        confusion.scores.iter().map(|row| row.each_ref().map(plain)).collect()
    }

    #[test]
    fn precision_and_recall_by_hand() {
        // Class a: 3 of 4 images are right, and 1 image of b is predicted as a.
        let found =
            confusion(&[(0, 0), (0, 0), (0, 0), (0, 1), (1, 0), (1, 1), (1, 1), (1, 1), (1, 1)]);
        assert_eq!(
            scores(&found),
            [
                ["a", "4", "4", "3", "75.00 %", "75.00 %"],
                ["b", "5", "5", "4", "80.00 %", "80.00 %"],
                ["c", "0", "0", "0", "–", "–"],
            ]
        );
    }

    #[test]
    fn precision_is_not_recall() {
        let found = confusion(&[(0, 0), (0, 1), (0, 1), (0, 1), (1, 1), (2, 2)]);
        assert_eq!(scores(&found)[0][4..], ["100.00 %", "25.00 %"]);
        assert_eq!(scores(&found)[1][4..], ["25.00 %", "100.00 %"]);
        assert_eq!(found.worst_pairs, [["a", "b", "3"].map(str::to_owned)]);
    }

    #[test]
    fn shades_are_shares_of_the_row() {
        let found = confusion(&[(0, 0), (0, 0), (0, 0), (0, 1)]);
        let shades: Vec<&str> =
            found.rows[0].cells.iter().map(|cell| cell.shade.as_str()).collect();
        assert_eq!(shades, ["0.770", "0.310", "0.080"]);
        assert!(found.rows[0].cells[0].is_dark() && !found.rows[0].cells[1].is_dark());
        assert!(!found.is_dense());
    }
}
