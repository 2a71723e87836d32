//! `report.html`: one self-contained page about a finished run.

mod confusion;
mod curves;
mod mistakes;

pub use curves::curves;

use crate::data::ImageSource;
use crate::error::Result;
use crate::train::Best;
use crate::train::Evaluation;
use crate::train::Outcome;
use crate::train::Row;
use palinode::network::{Network, count};
use palinode::residual::Residual;
use palinode::reversible::Differentiation;
use std::fmt::Write;

const STYLE: &str = include_str!("style.css");

/// What the page shows.
pub struct Report<'a, R: Residual> {
    /// Its heading.
    pub title: &'a str,
    /// The run's result.
    pub outcome: &'a Outcome,
    /// The content of `config.toml`.
    pub config: &'a str,
    /// How the units were differentiated.
    pub mode: Differentiation,
    /// The best-validation network.
    pub network: &'a Network<R>,
    /// All lines of `metrics.csv`.
    pub rows: &'a [Row],
    /// The best validation.
    pub best: Option<Best>,
    /// The test images and what the network says about them, where they were read.
    pub tested: Option<(&'a dyn ImageSource, &'a Evaluation)>,
}

impl<R: Residual> Report<'_, R> {
    /// The page.
    ///
    /// # Errors
    /// Where a part cannot be drawn or encoded.
    pub fn to_html(&self) -> Result<String> {
        let recipe = escape(self.config);
        let mut sections = vec![section("Learning curves", &curves(self.rows)?)];
        if let Some((test, evaluation)) = self.tested {
            sections.push(section("Confusion matrix", &confusion::table(test, evaluation)));
            let mistakes = mistakes::grid(test, evaluation)?;
            sections.push(section("The most confident mistakes", &mistakes));
        }
        sections.extend([
            section("Parameters by part", &self.parameters()),
            section("Epochs", &self.epochs()),
            section("Recipe", &format!("<pre>{recipe}</pre>")),
        ]);
        Ok(document(self.title, &(self.summary() + &sections.concat())))
    }

    fn summary(&self) -> String {
        let o = self.outcome;
        let config = self.network.config();
        let blocks: Vec<String> = config.blocks_per_unit().iter().map(usize::to_string).collect();
        let validation = self.best.map_or("–".to_owned(), |best| match best.accuracy {
            Some(accuracy) => format!("{:.2} % (epoch {})", 100.0 * accuracy, best.epoch),
            None => "none held out".to_owned(),
        });
        let number =
            |value: Option<f64>, text: &dyn Fn(f64) -> String| value.map_or("–".to_owned(), text);
        let figures = [
            ("Test accuracy", number(o.test_accuracy, &|a| format!("{:.2} %", 100.0 * a))),
            ("Test loss", number(o.test_loss, &|l| format!("{l:.4}"))),
            ("Best validation", validation),
            ("Parameters", thousands(count(self.network).total)),
            ("Blocks", blocks.join("-")),
            ("Differentiation", self.mode.name().to_owned()),
            ("Time", number(o.seconds, &|s| format!("{s:.0} s"))),
            ("Training speed", number(o.images_per_second, &|i| format!("{i:.0} images/s"))),
            (
                "Peak memory",
                number(o.peak_bytes.map(|b| b as f64), &|b| format!("{:.0} MB", b / 1e6)),
            ),
        ];
        let mut html = String::from("<dl class=\"figures\">\n");
        for (name, value) in figures {
            let _ = writeln!(html, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
        }
        let note = match self.tested {
            Some(_) => {
                "The test images were read with the weights of the best validation; nothing was chosen \
                 by them."
            }
            None => "The test images were not read.",
        };
        format!("{html}</dl>\n<p class=\"note\">{note}</p>\n")
    }

    fn parameters(&self) -> String {
        let counted = count(self.network);
        let mut html = String::from("<table class=\"numbers\">\n");
        for (part, parameters) in &counted.parts {
            let _ = writeln!(
                html,
                "<tr><th>{}</th><td>{}</td></tr>",
                escape(part),
                thousands(*parameters)
            );
        }
        let total = thousands(counted.total);
        let _ = writeln!(html, "<tr class=\"total\"><th>total</th><td>{total}</td></tr>");
        html + "</table>\n"
    }

    fn epochs(&self) -> String {
        let mut html = String::from(
            "<table class=\"numbers\">\n<tr><th>epoch</th><th>split</th><th>loss</th>\
             <th>accuracy</th><th>learning rate</th><th>seconds</th><th>images/s</th>\
             <th>peak MB</th></tr>\n",
        );
        for row in self.rows {
            let _ = writeln!(
                html,
                "<tr><td>{}</td><td>{}</td><td>{:.4}</td><td>{:.2} %</td><td>{:.2e}</td>\
                 <td>{:.1}</td><td>{:.0}</td><td>{:.0}</td></tr>",
                row.epoch,
                escape(&row.split),
                row.loss,
                100.0 * row.accuracy,
                row.learning_rate,
                row.seconds,
                row.images_per_second,
                row.peak_bytes as f64 / 1e6,
            );
        }
        format!("<details><summary>All figures</summary>\n{html}</table>\n</details>\n")
    }
}

/// A self-contained page.
pub fn document(title: &str, content: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n{content}</body>\n</html>\n",
        title = escape(title),
    )
}

/// A part of a page.
pub fn section(title: &str, content: &str) -> String {
    format!("<section>\n<h2>{title}</h2>\n{content}\n</section>\n")
}

/// 1751882 as 1,751,882.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Text as HTML shows it.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_text_are_written_for_people() {
        assert_eq!(thousands(1_751_882), "1,751,882");
        assert_eq!(thousands(890), "890");
        assert_eq!(escape("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
    }
}
