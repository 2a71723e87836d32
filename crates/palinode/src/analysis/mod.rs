//! Measuring what the project claims.

mod chart;
mod memory;

pub use chart::memory_chart;
pub use memory::{Meter, PeakBytes, StepMeasurement, measure_step};
