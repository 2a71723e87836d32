#![doc = include_str!("../README.md")]
//!
//! # The layers, from the public API down
//!
//! 1. **What is computed**: [`mod@unit`], [`convolution`], [`inception`], [`norm`], [`pool`], [`dropout`] and [`projection`]. Their
//!    types say what is computed and check the arrays. [`recurrence`] says how the blocks of a unit follow
//!    each other; [`Form`], [`Activation`], [`Algorithm`], [`Precision`] and [`Grid`] are choices.
//! 2. **What it runs on**: a [`Context`] with an instruction set, threads, working memory and a
//!    [profile](profile). Every operation takes one; nothing is global.
//! 3. **Chunks**: `schedule` shares chunks of a few images among threads, adds up their gradients in the order of
//!    the chunks, and passes a panic on to the caller. `scratch` has the working memory.
//! 4. **Algorithms** on one chunk of padded images (`geometry`, `layout`): `winograd` and direct sums, for whole
//!    residuals (`evaluation`) and for convolutions alone.
//! 5. **Register tiles**: `register` is the inner loop of all products, `transpose` and [`Activation`] what is
//!    computed besides.
//! 6. **Instruction sets**: `token` proves that the machine has one, and compiles a computation for it; `amx` has
//!    what the compiler does not know. A step that is to run on vectors is a struct that implements
//!    `pulp::WithSimd`, so that it is compiled once for every instruction set.
//!
//! [`mod@reference`] computes all of it once more, by naive loops in the scalar type of the caller's choice, to be
//! compared with.
//!
//! # Errors and panics
//!
//! A kernel that is given arrays or shapes that do not fit returns an [`Error`], before it has changed anything.
//! Only the functions of [`mod@reference`] panic on such input.

mod activation;
mod algorithm;
#[cfg(target_arch = "x86_64")]
mod amx;
mod context;
pub mod convolution;
#[cfg(feature = "cube")]
pub mod cube;
pub mod dropout;
mod error;
mod evaluation;
mod form;
mod geometry;
mod grid;
pub mod heap;
pub mod inception;
mod isa;
mod layout;
mod microbatch;
pub mod norm;
mod norm_statistics;
pub mod peak;
pub mod pool;
mod precision;
pub mod profile;
pub mod projection;
pub mod recurrence;
pub mod reference;
mod register;
mod schedule;
mod scratch;
mod share;
mod token;
mod transpose;
pub mod unit;
mod winograd;

pub use activation::Activation;
pub use algorithm::Algorithm;
pub use context::{Context, ContextBuilder};
pub use error::Error;
pub use form::Form;
pub use grid::Grid;
pub use isa::Isa;
pub use microbatch::Microbatches;
pub use norm_statistics::NormStatistics;
pub use precision::Precision;
pub use share::{Fate, Leaf, LeafGradients, Ranks, Share};
