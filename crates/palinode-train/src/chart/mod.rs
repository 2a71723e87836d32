//! Charts as SVG: learning curves, the figures of an experiment, memory against depth.
//!
//! A [`Figure`] describes what to show; [`Figure::to_svg`] draws it. Every chart of this crate is drawn
//! here, so all of them have the same look:
//!
//! * The legend stands above the panels or beside them, never over the data.
//! * Ticks stand at round numbers.
//! * Every series has its own colour, dash and marker ([`Look::nth`]).
//! * Error bars of several series at one x stand side by side.
//! * Values that are not finite are left out, and a note under the chart says how many.

mod axis;
mod canvas;
mod draw;
mod figure;
mod legend;
mod look;
mod marker;
mod panel;
mod text;
mod ticks;

pub(crate) use figure::{Axis, Figure, Panel, Point, Ring, Scale, Series};
pub(crate) use look::Look;
