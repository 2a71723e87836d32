//! Measuring what the project claims.

mod chart;
mod memory;
pub(crate) mod profile;
mod reversal;
mod stack;
mod step;

pub use chart::memory_chart;
pub use memory::{StepMeasurement, measure_step};
pub use palinode_kernels::peak::measured_peak;
pub use reversal::reversal_errors;
pub use stack::ConvolutionStack;
pub use step::{Meter, PeakBytes, StepBench, Stepped};
