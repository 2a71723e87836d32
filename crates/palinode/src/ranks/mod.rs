//! Ranks: processes or threads that train one network together, each on its share of every batch.
//!
//! * [`Group`]: sums over all ranks in one fixed tree, gradients in the background
//! * [`Link`]: how two ranks exchange bytes; a program brings its own, for instance MPI
//! * [`threads::links`]: links between the threads of one process
//!
//! A [`Context`](crate::Context) with a [`Share`] of a batch makes norms, dropouts and units
//! compute what they would compute for these images in the whole batch. The gradients of a network are then sums over the
//! images here; [`add_gradients`] adds those of all ranks.

mod delayed;
mod gradients;
mod group;
mod link;
mod sum;
pub mod threads;
mod traffic;

pub use delayed::Delayed;
pub use gradients::add_gradients;
pub use group::Group;
pub use link::{Channel, Link};
pub use palinode_kernels::{Leaf, LeafGradients, Ranks, Share};
pub use traffic::Traffic;
