//! A figure as SVG.

use super::canvas::{Anchor, Canvas, SOFT_INK, picture};
use super::figure::Figure;
use super::legend::Legend;
use super::panel::{self, Frame};
use super::text::wrap;
use crate::error::{Error, Result};
use plotters::style::FontStyle;

const MARGIN: f64 = 14.0;
const NOTE: f64 = 13.5;
const NOTE_LINE: f64 = 18.0;
const BETWEEN: f64 = 16.0;
/// A legend beside a panel begins at the height of the plot, below its title.
const BELOW_TITLE: f64 = 32.0;

impl Figure {
    /// The figure as an SVG document that needs no other file.
    ///
    /// # Errors
    /// [`palinode::Error::Format`] where there is no panel, or the picture cannot be written.
    pub(crate) fn to_svg(&self) -> Result<String> {
        if self.panels.is_empty() {
            return Err(Error::format("chart", "there is nothing to draw"));
        }
        let legend = Legend::of(self);
        let above = if legend.beside || legend.height == 0.0 { 0.0 } else { legend.height + 10.0 };
        let side = if legend.beside { legend.width + BETWEEN } else { 0.0 };
        let least = if legend.beside { BELOW_TITLE + legend.height } else { 0.0 };
        let room = self.width - 2.0 * MARGIN - side;
        let frames = self.frames(MARGIN + above, room, least);
        let ends = frames.iter().map(|frame| frame.top + frame.height);
        let bottom = ends.fold(0.0, f64::max);
        let notes: Vec<String> = self
            .all_notes()
            .iter()
            .flat_map(|note| wrap(note, NOTE, self.width - 2.0 * MARGIN))
            .collect();
        let height = (bottom + NOTE_LINE * notes.len() as f64 + MARGIN).ceil();
        picture((self.width, height), &self.name(), |canvas| {
            for (panel, frame) in self.panels.iter().zip(&frames) {
                panel::draw(canvas, panel, *frame)?;
            }
            let corner = match legend.beside {
                true => (self.width - MARGIN - legend.width, MARGIN + BELOW_TITLE),
                false => ((self.width - legend.width).max(0.0) / 2.0, MARGIN),
            };
            legend.draw(canvas, corner)?;
            draw_notes(canvas, &notes, bottom)
        })
    }

    /// Where the panels are: two to a row, and a last one alone, which is less high then. One panel in
    /// the figure is at least `least` high.
    fn frames(&self, top: f64, width: f64, least: f64) -> Vec<Frame> {
        let count = self.panels.len();
        let columns = count.min(2);
        let column = (width - BETWEEN * (columns - 1) as f64) / columns as f64;
        let height = (0.68 * column).clamp(300.0, 400.0).max(least);
        let frame = |index: usize| {
            let alone = count > 1 && index + 1 == count && count % 2 == 1;
            Frame {
                left: MARGIN + (index % columns) as f64 * (column + BETWEEN),
                top: top + (index / columns) as f64 * (height + BETWEEN),
                width: if alone { width } else { column },
                height: if alone { 0.65 * height } else { height },
            }
        };
        (0..count).map(frame).collect()
    }

    /// The notes, and what is not drawn.
    fn all_notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        for panel in &self.panels {
            match panel::left_out(panel) {
                0 => (),
                1 => {
                    notes.push(format!("{}: 1 value is not finite and is not drawn.", panel.title))
                }
                count => notes.push(format!(
                    "{}: {count} values are not finite and are not drawn.",
                    panel.title
                )),
            }
        }
        notes
    }

    /// The titles of the panels.
    fn name(&self) -> String {
        self.panels.iter().map(|panel| panel.title.as_str()).collect::<Vec<_>>().join("; ")
    }
}

fn draw_notes(canvas: &Canvas<'_>, notes: &[String], top: f64) -> Result<()> {
    for (index, line) in notes.iter().enumerate() {
        let place = (MARGIN, top + NOTE_LINE * (index as f64 + 0.5));
        canvas.text(line, place, (Anchor::Left, NOTE), (SOFT_INK, FontStyle::Normal))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::figure::{Axis, Panel, Point, Ring, Scale, Series};
    use super::super::look::Look;
    use super::*;

    fn panel(series: Vec<Series>) -> Panel {
        let y = Axis { scale: Scale::Log, ..Axis::new("cross-entropy") };
        Panel { title: "Loss".to_owned(), x: Axis::whole("epoch"), y, series }
    }

    fn drawn(series: Vec<Series>) -> String {
        Figure::new(vec![panel(series)]).to_svg().unwrap()
    }

    fn series(index: usize, ys: &[f64]) -> Series {
        let points = ys.iter().enumerate().map(|(x, &y)| Point::new(x as f64 + 1.0, y)).collect();
        Series::new(&format!("series {index}"), Look::nth(index), points)
    }

    /// Texts of an SVG with the positions of their anchors.
    fn texts(svg: &str) -> Vec<(f64, f64, String)> {
        let number = |part: &str, key: &str| -> f64 {
            part.split(&format!("{key}=\""))
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap()
                .parse()
                .unwrap()
        };
        svg.split("<text")
            .skip(1)
            .map(|part| {
                let text = part.split('>').nth(1).unwrap().split("</text").next().unwrap().trim();
                let text = text.trim_end_matches("</text").to_owned();
                (number(part, " x"), number(part, " y"), text)
            })
            .collect()
    }

    #[test]
    fn one_point_and_no_point_are_drawn() {
        assert!(drawn(vec![series(0, &[0.5])]).contains("<circle"));
        let empty = drawn(vec![series(0, &[])]);
        assert!(empty.contains("there are no values to draw") && empty.contains("series 0"));
        assert!(Figure::new(Vec::new()).to_svg().is_err());
    }

    #[test]
    fn values_that_are_not_finite_are_counted() {
        let svg = drawn(vec![series(0, &[0.5, f64::NAN, 0.4, 0.3, f64::INFINITY])]);
        assert!(svg.contains("Loss: 2 values are not finite and are not drawn."), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        let all = drawn(vec![series(0, &[f64::NAN])]);
        assert!(all.contains("no values to draw") && all.contains("1 value is not finite"));
        let mut bar = series(0, &[0.5, 0.4]);
        bar.points[1].deviation = Some(f64::NAN);
        assert!(drawn(vec![bar]).contains("1 value is not finite"));
    }

    #[test]
    fn the_legend_is_never_over_the_data() {
        for count in [1, 3, 4, 20] {
            let all: Vec<Series> =
                (0..count).map(|index| series(index, &[0.9, 0.5, 0.2])).collect();
            let figure = Figure::new(vec![panel(all)]);
            let legend = Legend::of(&figure);
            assert_eq!(legend.beside, count > 3);
            let svg = figure.to_svg().unwrap();
            let texts = texts(&svg);
            let title = texts.iter().find(|text| text.2 == "Loss").unwrap();
            let right_most = texts.iter().find(|text| text.2 == "epoch").unwrap();
            for index in 0..count {
                let name = format!("series {index}");
                let found = texts.iter().find(|text| text.2 == name).unwrap();
                let free = match legend.beside {
                    true => found.0 > right_most.0 + 4.0 * 150.0,
                    false => found.1 < title.1,
                };
                assert!(free, "{name} at {found:?}");
            }
        }
    }

    #[test]
    fn rings_are_drawn_and_named() {
        let mut marked = series(0, &[0.9, 0.5, 0.2]);
        marked.ring = Some(Ring { x: 2.0, name: "best validation (epoch 2)".to_owned() });
        let svg = drawn(vec![marked]);
        assert!(svg.contains("best validation (epoch 2)"));
        assert_eq!(svg.matches("fill=\"none\" stroke=\"#20252B\" stroke-width=\"7\"").count(), 2);
    }

    #[test]
    fn error_bars_at_one_x_stand_side_by_side() {
        let with_bars = |index| {
            let mut series = series(index, &[0.5, 0.6]);
            series.points.iter_mut().for_each(|point| point.deviation = Some(0.05));
            series
        };
        let svg = drawn(vec![with_bars(0), with_bars(1)]);
        // Bars are the upright lines in the series' colours.
        let uprights = |colour: &str| -> Vec<String> {
            let lines = svg.lines().filter(|line| line.contains(colour) && line.contains("points"));
            let ends = lines.filter_map(|line| {
                let points = line.split("points=\"").nth(1)?.split('"').next()?;
                let (from, to) = points.trim().split_once(' ')?;
                let x = from.split(',').next()?;
                (x == to.split(',').next()?).then(|| x.to_owned())
            });
            ends.collect()
        };
        let (blue, orange) = (uprights("#1F61A5"), uprights("#D05E1B"));
        assert_eq!((blue.len(), orange.len()), (2, 2));
        assert!(blue.iter().all(|x| !orange.contains(x)), "{blue:?} {orange:?}");
    }
}
