//! The shapes at the values of a series.

use super::canvas::{Canvas, INK, Place};
use super::look::{Look, Marker};
use crate::error::Result;

/// The ring around a marked value.
pub(super) fn draw_ring(canvas: &Canvas<'_>, place: Place) -> Result<()> {
    canvas.circle(place, 7.5, Some(1.75), INK)
}

/// The shape at a value.
pub(super) fn draw_marker(canvas: &Canvas<'_>, look: Look, (x, y): Place) -> Result<()> {
    let corners = |corners: &[Place]| {
        let corners: Vec<Place> = corners.iter().map(|&(dx, dy)| (x + dx, y + dy)).collect();
        canvas.polygon(&corners, look.colour)
    };
    let stroke =
        |(dx, dy): Place| canvas.line(&[(x - dx, y - dy), (x + dx, y + dy)], &[], look.colour, 2.0);
    match look.marker {
        Marker::Circle => canvas.circle((x, y), 3.75, None, look.colour),
        Marker::Square => corners(&[(-3.5, -3.5), (3.5, -3.5), (3.5, 3.5), (-3.5, 3.5)]),
        Marker::Triangle => corners(&[(0.0, -4.75), (4.5, 3.25), (-4.5, 3.25)]),
        Marker::TriangleDown => corners(&[(0.0, 4.75), (4.5, -3.25), (-4.5, -3.25)]),
        Marker::Diamond => corners(&[(0.0, -5.0), (4.5, 0.0), (0.0, 5.0), (-4.5, 0.0)]),
        Marker::Cross => stroke((3.75, 3.75)).and_then(|()| stroke((3.75, -3.75))),
        Marker::None => Ok(()),
        Marker::Plus => stroke((4.75, 0.0)).and_then(|()| stroke((0.0, 4.75))),
    }
}
