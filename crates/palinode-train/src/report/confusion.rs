//! The confusion matrix as a table.

use super::escape;
use crate::data::ImageSource;
use crate::train::{Evaluation, most_probable};
use std::fmt::Write;

/// Rows are the true classes, columns what the network said; the shade is the share of the row.
pub(super) fn table(test: &dyn ImageSource, evaluation: &Evaluation) -> String {
    let classes = test.classes().len();
    let mut counts = vec![vec![0_usize; classes]; classes];
    for (index, row) in evaluation.logits.chunks(classes.max(1)).enumerate() {
        counts[test.label(index)][most_probable(row)] += 1;
    }
    if classes > 20 {
        return dense(&counts) + &worst_pairs(test, &counts);
    }
    let mut html = String::from("<table class=\"confusion\">\n<thead><tr><th></th>");
    for class in test.classes() {
        let _ = write!(html, "<th><span>{}</span></th>", escape(class));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for (class, row) in test.classes().iter().zip(&counts) {
        let total = row.iter().sum::<usize>().max(1) as f64;
        let _ = write!(html, "<tr><th>{}</th>", escape(class));
        for &count in row {
            let share = count as f64 / total;
            // Light text on dark cells.
            let ink = if share > 0.5 { "#fff" } else { "inherit" };
            let _ = match count {
                0 => write!(html, "<td class=\"empty\">·</td>"),
                _ => write!(
                    html,
                    "<td style=\"background: rgba(var(--blue), {:.3}); color: {ink}\">{count}</td>",
                    0.08 + 0.92 * share
                ),
            };
        }
        html.push_str("</tr>\n");
    }
    html + "</tbody>\n</table>\n<p class=\"note\">Rows: true class. Columns: what the network said.</p>\n"
}

/// For many classes: shades alone, as one picture.
fn dense(counts: &[Vec<usize>]) -> String {
    let classes = counts.len();
    let mut svg = format!(
        "<svg viewBox=\"0 0 {classes} {classes}\" width=\"600\" height=\"600\" \
         shape-rendering=\"crispEdges\" style=\"background: #f1f4f7\">"
    );
    for (truth, row) in counts.iter().enumerate() {
        let total = row.iter().sum::<usize>().max(1) as f64;
        for (said, &count) in row.iter().enumerate().filter(|(_, count)| **count > 0) {
            let shade = 0.15 + 0.85 * count as f64 / total;
            let _ = write!(
                svg,
                "<rect x=\"{said}\" y=\"{truth}\" width=\"1\" height=\"1\" \
                 fill=\"rgb(31,97,165)\" fill-opacity=\"{shade:.3}\"/>"
            );
        }
    }
    svg + "</svg>\n<p class=\"note\">Rows: true class. Columns: what the network said.</p>\n"
}

/// For many classes: the pairs most often confused.
fn worst_pairs(test: &dyn ImageSource, counts: &[Vec<usize>]) -> String {
    let mut pairs: Vec<(usize, usize, usize)> = Vec::new();
    for (truth, row) in counts.iter().enumerate() {
        pairs.extend(row.iter().enumerate().map(|(said, &count)| (count, truth, said)));
    }
    pairs.retain(|&(count, truth, said)| count > 0 && truth != said);
    pairs.sort_by_key(|&(count, truth, said)| (std::cmp::Reverse(count), truth, said));
    let mut html = String::from(
        "<table class=\"numbers\">\n<tr><th>true class</th><th>said</th><th>images</th></tr>\n",
    );
    for &(count, truth, said) in pairs.iter().take(30) {
        let _ = writeln!(
            html,
            "<tr><th>{}</th><td>{}</td><td>{count}</td></tr>",
            escape(&test.classes()[truth]),
            escape(&test.classes()[said])
        );
    }
    html + "</table>\n"
}
