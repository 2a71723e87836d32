//! Reversible units over slices: forward, back, and backward with all gradients, inside the cache.
//!
//! A chunk of a few images goes through a whole unit before the next one begins, so its state never
//! leaves the cache. That is what reversibility buys on a CPU. Threads share the chunks, but the number
//! of chunks and their order in every sum depend on the shape alone: the same input gives the same bits
//! for any number of threads.
//!
//! From the top down: [`UnitKernel`] (`definition`) says what is computed, `operations` has what callers can ask for.
//! `sweep` and `backward` take chunks through all blocks, `residuals` evaluates one residual by the algorithm
//! of the unit (`engine`): by `direct` sums, or by a Winograd algorithm.

mod backward;
mod block;
mod definition;
mod direct;
mod engine;
mod operations;
mod parameters;
mod residuals;
mod state;
mod sweep;

pub use definition::UnitKernel;
pub use parameters::{Gradients, Parameters};
pub use state::StateSlices;
