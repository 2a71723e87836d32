//! Sweeps of reversible residual units over plain slices, without any framework.
//!
//! * [`mod@unit`]: reversible units, forwards, back, and backwards with all gradients, a chunk of images
//!   at a time inside the cache, by Winograd's algorithms or direct sums ([`Algorithm`]);
//! * [`mod@convolution`], [`mod@inception`], [`mod@norm`], [`mod@pool`]: what stands around units in a
//!   network, and in residuals that no unit sweep knows;
//! * [`Context`]: what all of them run on, an instruction set ([`Isa`]) and threads;
//! * [`mod@reference`]: any unit by naive loops in the scalar type of the caller's choice, storing
//!   every state and differentiating by the chain rule. Every faster path is tested against it, so
//!   it is written to be read, not to be quick.
//!
//! ```
//! use palinode_kernels::reference::{Recurrence, ReferenceUnit, Shape};
//! use palinode_kernels::{Activation, Form};
//!
//! let shape = Shape { batch: 1, channels: 2, height: 3, width: 3 };
//! let unit = ReferenceUnit::<f64> {
//!     recurrence: Recurrence::Verlet,
//!     form: Form::Symmetric,
//!     activation: Activation::Tanh,
//!     step: 0.1,
//!     shape,
//!     blocks: 1,
//!     kernels: vec![0.1; 2 * shape.kernel_len()],
//!     biases: vec![0.0; 2 * shape.channels],
//!     input_biases: vec![0.0; 2 * shape.channels],
//! };
//! let start = (vec![1.0; shape.len()], vec![0.5; shape.len()]);
//! let end = unit.forward(start.clone());
//! let back = unit.inverse(end);
//! assert!(start.0.iter().zip(&back.0).all(|(a, b)| (a - b).abs() < 1e-14));
//! ```

mod activation;
mod algorithm;
#[cfg(target_arch = "x86_64")]
mod amx;
mod context;
pub mod convolution;
pub mod dropout;
mod element;
mod error;
mod evaluation;
mod fixed;
mod form;
mod geometry;
pub mod heap;
pub mod inception;
mod isa;
mod layout;
pub mod norm;
pub mod peak;
pub mod pool;
mod precision;
pub mod profile;
pub mod recurrence;
pub mod reference;
mod register;
mod schedule;
mod scratch;
mod token;
mod transpose;
pub mod unit;
mod winograd;

pub use activation::Activation;
pub use algorithm::Algorithm;
pub use context::{Context, ContextBuilder};
pub use error::Error;
pub use fixed::Fixed;
pub use form::Form;
pub use isa::Isa;

pub use precision::Precision;
pub use unit::Number;
