//! The names of the series, beside the panels or above them.

use super::canvas::{Anchor, Canvas, INK, Place};
use super::figure::Figure;
use super::look::Look;
use super::marker::{draw_marker, draw_ring};
use super::text::{width, wrap};
use crate::error::Result;
use plotters::style::FontStyle;

const SIZE: f64 = 15.0;
const LINE: f64 = 20.0;
/// Length of the piece of line that shows a look.
const SAMPLE: f64 = 34.0;
const GAP: f64 = 8.0;
const BETWEEN: f64 = 26.0;
/// A legend of more entries stands beside a single panel.
const MOST_ABOVE: usize = 3;

/// What stands before a name.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sign {
    /// A piece of the series' line with its marker.
    Line(Look),
    /// The marker of a series that is one point.
    Marker(Look),
    Ring,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    sign: Sign,
    lines: Vec<String>,
    /// The left end, at half the height of the first line, inside the legend.
    place: Place,
}

/// Where the legend of a figure is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Legend {
    entries: Vec<Entry>,
    /// Whether it is on the right of the panels, not above them.
    pub(super) beside: bool,
    /// Its size; zero where there is nothing to name.
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Legend {
    /// The legend of all names in `figure`, each once.
    pub(super) fn of(figure: &Figure) -> Self {
        let names = names(figure);
        let beside = figure.panels.len() == 1 && names.len() > MOST_ABOVE && figure.width >= 640.0;
        let share = if beside { 0.36 } else { 0.96 };
        let room = share * figure.width - SAMPLE - GAP;
        let (mut x, mut y, mut right, mut bottom) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
        let mut entries = Vec::new();
        for (name, sign) in names {
            let lines = wrap(&name, SIZE, room);
            let longest = lines.iter().map(|line| width(line, SIZE)).fold(0.0, f64::max);
            let extent = SAMPLE + GAP + longest;
            if x > 0.0 && (beside || x + extent > 0.96 * figure.width) {
                (x, y) = (0.0, bottom + if beside { 3.0 } else { 0.0 });
            }
            let height = LINE * lines.len() as f64;
            entries.push(Entry { sign, lines, place: (x, y + LINE / 2.0) });
            right = right.max(x + extent);
            bottom = bottom.max(y + height);
            x += extent + BETWEEN;
        }
        Self { entries, beside, width: right, height: bottom }
    }

    /// Draws it with its upper left corner at `corner`.
    pub(super) fn draw(&self, canvas: &Canvas<'_>, corner: Place) -> Result<()> {
        for Entry { sign, lines, place } in &self.entries {
            let (left, middle) = (corner.0 + place.0, corner.1 + place.1);
            match sign {
                Sign::Marker(look) => {
                    draw_marker(canvas, *look, (left + SAMPLE / 2.0, middle))?;
                }
                Sign::Line(look) => {
                    let ends = [(left, middle), (left + SAMPLE, middle)];
                    canvas.line(&ends, look.dash.pattern(), look.colour, 2.0)?;
                    draw_marker(canvas, *look, (left + SAMPLE / 2.0, middle))?;
                }
                Sign::Ring => draw_ring(canvas, (left + SAMPLE / 2.0, middle))?,
            }
            for (index, line) in lines.iter().enumerate() {
                let place = (left + SAMPLE + GAP, middle + LINE * index as f64);
                canvas.text(line, place, (Anchor::Left, SIZE), (INK, FontStyle::Normal))?;
            }
        }
        Ok(())
    }
}

/// Every name with what stands before it: first the series, then the rings.
fn names(figure: &Figure) -> Vec<(String, Sign)> {
    let series = || figure.panels.iter().flat_map(|panel| &panel.series);
    let named = series().filter_map(|s| {
        let sign = if s.points.len() > 1 && s.look.has_line() {
            Sign::Line(s.look)
        } else {
            Sign::Marker(s.look)
        };
        Some((s.name.clone()?, sign))
    });
    let ringed = series().filter_map(|s| Some((s.ring.as_ref()?.name.clone(), Sign::Ring)));
    let mut names: Vec<(String, Sign)> = Vec::new();
    for (name, sign) in named.chain(ringed) {
        if !names.iter().any(|(known, _)| *known == name) {
            names.push((name, sign));
        }
    }
    names
}
