//! Shapes in an SVG, at positions with fractions of a pixel.

use super::look::Colour;
use crate::error::{Error, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// plotters has whole coordinates alone: a picture is drawn so many times as large as it is shown.
const FINENESS: f64 = 4.0;

/// plotters writes the font size that a text of this height has.
const HEIGHT_OF_FONT: f64 = 1.24;

pub(super) const INK: Colour = [32, 37, 43];
pub(super) const SOFT_INK: Colour = [88, 97, 107];
pub(super) const GRID: Colour = [226, 230, 234];

/// x to the right, y down, in pixels.
pub(super) type Place = (f64, f64);

/// Which side of a text is at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Left,
    Right,
    Centre,
    /// The centre of a text that runs upwards.
    Upwards,
}

/// A picture that is being drawn.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Draws a picture of (width, height) pixels; `name` is read out where the picture cannot be seen.
pub(super) fn picture(
    (width, height): (f64, f64),
    name: &str,
    drawing: impl FnOnce(&Canvas<'_>) -> Result<()>,
) -> Result<String> {
    let size = [width, height].map(|length| (length * FINENESS).round() as u32);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (size[0], size[1])).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let canvas = Canvas { area };
        drawing(&canvas)?;
        canvas.area.present().map_err(failed)?;
    }
    let shown =
        format!("width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"{}\"", {
            let name = name.replace('&', "&amp;").replace('<', "&lt;");
            name.replace('"', "&quot;")
        });
    Ok(svg.replacen(&format!("width=\"{}\" height=\"{}\"", size[0], size[1]), &shown, 1))
}

fn failed(error: impl std::error::Error) -> Error {
    Error::format("chart", error.to_string())
}

fn whole((x, y): Place) -> (i32, i32) {
    let fine = |length: f64| (length * FINENESS).round() as i32;
    (fine(x), fine(y))
}

fn rgb([red, green, blue]: Colour) -> RGBColor {
    RGBColor(red, green, blue)
}

fn stroke(colour: Colour, width: f64) -> ShapeStyle {
    rgb(colour).stroke_width((width * FINENESS).round() as u32)
}

impl Canvas<'_> {
    /// A line through `points`, with strokes and gaps of the lengths in `pattern` by turns; solid
    /// without one.
    pub(super) fn line(
        &self,
        points: &[Place],
        pattern: &[f64],
        colour: Colour,
        width: f64,
    ) -> Result<()> {
        let strokes =
            if pattern.is_empty() { vec![points.to_vec()] } else { strokes(points, pattern) };
        for points in strokes.iter().filter(|points| points.len() > 1) {
            let points: Vec<_> = points.iter().copied().map(whole).collect();
            self.area.draw(&PathElement::new(points, stroke(colour, width))).map_err(failed)?;
        }
        Ok(())
    }

    /// A filled polygon.
    pub(super) fn polygon(&self, corners: &[Place], colour: Colour) -> Result<()> {
        let corners: Vec<_> = corners.iter().copied().map(whole).collect();
        self.area.draw(&Polygon::new(corners, rgb(colour).filled())).map_err(failed)
    }

    /// A disc, or a ring with a line of `line` pixels.
    pub(super) fn circle(
        &self,
        centre: Place,
        radius: f64,
        line: Option<f64>,
        colour: Colour,
    ) -> Result<()> {
        let style = line.map_or_else(|| rgb(colour).filled(), |width| stroke(colour, width));
        let radius = (radius * FINENESS).round() as u32;
        self.area.draw(&Circle::new(whole(centre), radius, style)).map_err(failed)
    }

    /// One line of text, its middle at the height of `place`.
    pub(super) fn text(
        &self,
        text: &str,
        place: Place,
        (anchor, size): (Anchor, f64),
        (colour, weight): (Colour, FontStyle),
    ) -> Result<()> {
        let size = size * HEIGHT_OF_FONT * FINENESS;
        let font = FontDesc::new(FontFamily::SansSerif, size, weight);
        let (side, font) = match anchor {
            Anchor::Left => (HPos::Left, font),
            Anchor::Right => (HPos::Right, font),
            Anchor::Centre => (HPos::Center, font),
            Anchor::Upwards => (HPos::Center, font.transform(FontTransform::Rotate270)),
        };
        let colour = rgb(colour);
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(side, VPos::Center));
        self.area.draw(&Text::new(text, whole(place), style)).map_err(failed)
    }
}

/// The strokes of a dashed line through `points`.
fn strokes(points: &[Place], pattern: &[f64]) -> Vec<Vec<Place>> {
    let mut strokes = Vec::new();
    let mut lengths = pattern.iter().copied().cycle();
    let mut left = lengths.next().unwrap_or(f64::INFINITY);
    let mut on = true;
    let mut stroke: Vec<Place> = points.first().copied().into_iter().collect();
    for pair in points.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let distance = (to.0 - from.0).hypot(to.1 - from.1);
            if distance <= left {
                left -= distance;
                if on {
                    stroke.push(to);
                }
                break;
            }
            let share = left / distance;
            from = (from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1));
            if on {
                stroke.push(from);
                strokes.push(std::mem::take(&mut stroke));
            } else {
                stroke.push(from);
            }
            on = !on;
            left = lengths.next().unwrap_or(f64::INFINITY).max(0.5);
        }
    }
    strokes.push(stroke);
    strokes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_go_round_corners() {
        let found = strokes(&[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)], &[7.0, 2.0]);
        assert_eq!(
            found,
            [
                vec![(0.0, 0.0), (7.0, 0.0)],
                vec![(9.0, 0.0), (10.0, 0.0), (10.0, 6.0)],
                vec![(10.0, 8.0), (10.0, 10.0)],
            ]
        );
        assert!(strokes(&[], &[7.0, 2.0]).concat().is_empty());
    }

    #[test]
    fn pictures_are_shown_at_their_size_and_have_a_name() {
        let svg = picture((40.0, 30.0), "a < \"b\"", |canvas| {
            canvas.line(&[(0.0, 0.0), (40.0, 30.0)], &[], INK, 1.0)
        });
        let svg = svg.unwrap();
        assert!(svg.starts_with("<svg width=\"40\" height=\"30\" role=\"img\""), "{svg}");
        assert!(
            svg.contains("aria-label=\"a &lt; &quot;b&quot;\" viewBox=\"0 0 160 120\""),
            "{svg}"
        );
    }
}
