//! One plot: axes, lines, error bars, markers.

use super::axis::{Range, Tick};
use super::canvas::{Anchor, Canvas, GRID, INK, Place, SOFT_INK};
use super::figure::{Panel, Point, Series};
use super::marker::{draw_marker, draw_ring};
use super::text::{width, wrap};
use crate::error::Result;
use plotters::style::FontStyle;

const TITLE: f64 = 17.0;
const NAME: f64 = 14.0;
const LABEL: f64 = 14.0;
/// Values that are closer than this on average do not all have a marker.
const CLOSE: f64 = 9.0;
/// The distance of the markers then.
const MARKER_DISTANCE: f64 = 28.0;

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A series without the values that are not finite.
struct Drawable<'a> {
    series: &'a Series,
    /// Its points; a line does not go on over one that is left out.
    pieces: Vec<Vec<Point>>,
}

/// How many numbers of a panel are not finite and are therefore not drawn.
pub(super) fn left_out(panel: &Panel) -> usize {
    let points = panel.series.iter().flat_map(|series| &series.points);
    points.filter(|point| !drawn(point) || point.deviation.is_some_and(|d| !d.is_finite())).count()
}

fn drawn(point: &Point) -> bool {
    point.x.is_finite() && point.y.is_finite()
}

/// The error bar's half, where there is one to draw.
fn bar(point: &Point) -> Option<f64> {
    point.deviation.filter(|deviation| deviation.is_finite() && *deviation > 0.0)
}

/// Draws `panel` into `frame`.
pub(super) fn draw(canvas: &Canvas<'_>, panel: &Panel, frame: Frame) -> Result<()> {
    let drawables: Vec<Drawable<'_>> = panel.series.iter().map(Drawable::of).collect();
    let points = || drawables.iter().flat_map(|d| d.pieces.iter().flatten());
    let xs: Vec<f64> = points().map(|point| point.x).collect();
    let ys: Vec<f64> = points().map(|point| point.y).collect();
    let ends: Vec<f64> =
        points().filter_map(|p| bar(p).map(|d| [p.y - d, p.y + d])).flatten().collect();
    let title = wrap(&panel.title, TITLE, frame.width);
    for (index, line) in title.iter().enumerate() {
        let place = (frame.left + frame.width / 2.0, frame.top + 12.0 + 21.0 * index as f64);
        canvas.text(line, place, (Anchor::Centre, TITLE), (INK, FontStyle::Bold))?;
    }
    let top = frame.top + 21.0 * title.len() as f64 + 11.0;
    let bottom = frame.top + frame.height - 46.0;
    let ranges = Range::of(&panel.x, &xs, &[]).zip(Range::of(&panel.y, &ys, &ends));
    let Some((x_range, y_range)) = ranges else {
        let middle = (frame.left + frame.width / 2.0, (top + bottom) / 2.0);
        let style = ((Anchor::Centre, LABEL), (SOFT_INK, FontStyle::Normal));
        return canvas.text("there are no values to draw", middle, style.0, style.1);
    };
    let y_ticks = y_range.ticks(&panel.y, ((bottom - top) / 38.0) as usize + 1);
    let label_width = y_ticks.iter().map(|tick| width(&tick.label, LABEL)).fold(0.0, f64::max);
    let left = frame.left + 30.0 + label_width + 8.0;
    let right = frame.left + frame.width - 14.0;
    let x_ticks = {
        let most = |label: f64| (((right - left) / (label + 28.0)) as usize).clamp(2, 12);
        let rough = x_range.ticks(&panel.x, most(20.0));
        let widest = rough.iter().map(|tick| width(&tick.label, LABEL)).fold(0.0, f64::max);
        x_range.ticks(&panel.x, most(widest))
    };
    let plot = Plot { left, right, top, bottom, x_range, y_range };
    plot.axes(canvas, panel, (&x_ticks, &y_ticks), frame)?;
    let shifts = plot.shifts(&drawables);
    for (drawable, &shift) in drawables.iter().zip(&shifts) {
        plot.lines(canvas, drawable, shift)?;
    }
    for (drawable, &shift) in drawables.iter().zip(&shifts) {
        plot.bars_and_markers(canvas, drawable, shift)?;
    }
    for (drawable, &shift) in drawables.iter().zip(&shifts) {
        plot.ring(canvas, drawable, shift)?;
    }
    Ok(())
}

impl<'a> Drawable<'a> {
    fn of(series: &'a Series) -> Self {
        let pieces = series.points.split(|point| !drawn(point));
        let pieces = pieces.filter(|piece| !piece.is_empty()).map(<[Point]>::to_vec).collect();
        Self { series, pieces }
    }

    /// Where it has error bars.
    fn bars(&self) -> impl Iterator<Item = f64> {
        self.pieces.iter().flatten().filter(|point| bar(point).is_some()).map(|point| point.x)
    }
}

/// The rectangle between the axes.
struct Plot {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x_range: Range,
    y_range: Range,
}

impl Plot {
    fn x(&self, value: f64) -> f64 {
        self.left + self.x_range.position(value) * (self.right - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - self.y_range.position(value) * (self.bottom - self.top)
    }

    fn axes(
        &self,
        canvas: &Canvas<'_>,
        panel: &Panel,
        (x_ticks, y_ticks): (&[Tick], &[Tick]),
        frame: Frame,
    ) -> Result<()> {
        let &Self { left, right, top, bottom, .. } = self;
        let ink = (INK, FontStyle::Normal);
        for tick in x_ticks {
            let x = left + tick.position * (right - left);
            canvas.line(&[(x, top), (x, bottom)], &[], GRID, 1.0)?;
            canvas.line(&[(x, bottom), (x, bottom + 4.0)], &[], INK, 1.0)?;
            canvas.text(&tick.label, (x, bottom + 14.0), (Anchor::Centre, LABEL), ink)?;
        }
        for tick in y_ticks {
            let y = bottom - tick.position * (bottom - top);
            canvas.line(&[(left, y), (right, y)], &[], GRID, 1.0)?;
            canvas.line(&[(left - 4.0, y), (left, y)], &[], INK, 1.0)?;
            canvas.text(&tick.label, (left - 8.0, y), (Anchor::Right, LABEL), ink)?;
        }
        canvas.line(&[(left, top), (left, bottom), (right, bottom)], &[], INK, 1.0)?;
        let soft = (SOFT_INK, FontStyle::Normal);
        let below = ((left + right) / 2.0, bottom + 35.0);
        canvas.text(&panel.x.name, below, (Anchor::Centre, NAME), soft)?;
        let beside = (frame.left + 14.0, (top + bottom) / 2.0);
        canvas.text(&panel.y.name, beside, (Anchor::Upwards, NAME), soft)
    }

    /// How far each series is moved to the right, so that error bars at one x stand side by side.
    fn shifts(&self, drawables: &[Drawable<'_>]) -> Vec<f64> {
        let with_bars: Vec<usize> = (0..drawables.len())
            .filter(|&index| drawables[index].bars().next().is_some())
            .collect();
        let mut places: Vec<f64> = with_bars
            .iter()
            .flat_map(|&index| drawables[index].bars())
            .map(|x| self.x(x))
            .collect();
        places.sort_by(f64::total_cmp);
        const SAME: f64 = 0.5;
        let distances = || places.windows(2).map(|pair| pair[1] - pair[0]);
        let mut shifts = vec![0.0; drawables.len()];
        if distances().all(|distance| distance > SAME) {
            return shifts;
        }
        let nearest = distances().filter(|&d| d > SAME).fold(f64::INFINITY, f64::min);
        let step = (0.4 * nearest / with_bars.len() as f64).min(9.0);
        let middle = (with_bars.len() - 1) as f64 / 2.0;
        for (place, &index) in with_bars.iter().enumerate() {
            shifts[index] = (place as f64 - middle) * step;
        }
        shifts
    }

    fn lines(&self, canvas: &Canvas<'_>, drawable: &Drawable<'_>, shift: f64) -> Result<()> {
        let look = drawable.series.look;
        for piece in drawable.pieces.iter().filter(|_| look.has_line()) {
            let line: Vec<Place> =
                piece.iter().map(|p| (self.x(p.x) + shift, self.y(p.y))).collect();
            canvas.line(&line, look.dash.pattern(), look.colour, 2.0)?;
        }
        Ok(())
    }

    fn bars_and_markers(
        &self,
        canvas: &Canvas<'_>,
        drawable: &Drawable<'_>,
        shift: f64,
    ) -> Result<()> {
        let look = drawable.series.look;
        let distance =
            if look.has_line() && self.spacing(drawable) < CLOSE { MARKER_DISTANCE } else { 0.0 };
        let mut last: Option<f64> = None;
        for point in drawable.pieces.iter().flatten() {
            let (x, y) = (self.x(point.x) + shift, self.y(point.y));
            if let Some(deviation) = bar(point) {
                let ends = [self.y(point.y - deviation), self.y(point.y + deviation)];
                canvas.line(&[(x, ends[0]), (x, ends[1])], &[], look.colour, 1.5)?;
                for end in ends {
                    canvas.line(&[(x - 4.0, end), (x + 4.0, end)], &[], look.colour, 1.5)?;
                }
            }
            if last.is_none_or(|last| (x - last).abs() >= distance) {
                draw_marker(canvas, look, (x, y))?;
                last = Some(x);
            }
        }
        Ok(())
    }

    /// The mean distance between the values of a series; infinite for a single one.
    fn spacing(&self, drawable: &Drawable<'_>) -> f64 {
        let xs = || drawable.pieces.iter().flatten().map(|point| self.x(point.x));
        match (xs().reduce(f64::min), xs().reduce(f64::max), xs().count()) {
            (Some(low), Some(high), count @ 2..) => (high - low) / (count - 1) as f64,
            _ => f64::INFINITY,
        }
    }

    fn ring(&self, canvas: &Canvas<'_>, drawable: &Drawable<'_>, shift: f64) -> Result<()> {
        let Some(ring) = &drawable.series.ring else { return Ok(()) };
        match drawable.pieces.iter().flatten().find(|point| point.x == ring.x) {
            Some(point) => draw_ring(canvas, (self.x(point.x) + shift, self.y(point.y))),
            None => Ok(()),
        }
    }
}
