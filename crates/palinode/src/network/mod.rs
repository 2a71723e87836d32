//! Networks: stem, units, transitions, head.
mod unit;
pub use unit::Unit;
