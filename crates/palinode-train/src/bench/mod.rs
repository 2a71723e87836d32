//! Measurements: time and memory of training steps, and time of plain convolutions.

mod chart;
mod convolutions;
mod memory;
mod meter;
mod step;

pub use chart::memory_chart;
pub use convolutions::ConvolutionStack;
pub use memory::{StepMeasurement, measure_step};
pub use meter::{DeviceMeter, Meter};
pub use palinode_kernels::peak::measured_peak;
pub use step::{PeakBytes, StepBench, StepPlan, Stepped};
