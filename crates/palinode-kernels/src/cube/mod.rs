//! The kernels for graphics cards.
//!
//! They are written in CubeCL, which compiles them for CUDA, ROCm, Metal, Vulkan and WebGPU while the program
//! runs. The functions here take a client (the queue of a device) and buffers on it. A launch returns before
//! the device has finished.
//!
//! A *cube* is a group of threads that share memory and can wait for each other (CUDA's block); its threads are
//! called *units* in CubeCL, which have nothing to do with the units of a network.

mod buffer;
mod convolution;
mod dropout;
mod sum;
mod unit;

pub use convolution::weight_gradient;
pub use dropout::drop_elements;
pub use unit::{CubeUnit, Limits, UnitOf};
