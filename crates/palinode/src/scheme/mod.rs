//! How a residual is integrated: the schemes. All but [`Euler`] are reversible by construction.
//!
//! A scheme describes what one block does to the state of a unit, as an [`Update`]. Every update except
//! Euler's adds a function of one half of the state to the other half, so subtracting the same function
//! inverts it (to the bit, on a [`Grid`]). The forward sweep, the inverse sweep and the gradients follow from the update alone
//! ([`sweep`]), for every residual.

mod coupling;
mod euler;
pub mod field;
mod grid;
mod hamiltonian;
mod leapfrog;
mod midpoint;
mod name;
pub mod sweep;
mod update;
mod verlet;

pub use coupling::Coupling;
pub use euler::Euler;
pub use grid::Grid;
pub(crate) use grid::rounded;
pub use hamiltonian::Hamiltonian;
pub use leapfrog::{Leapfrog, Start};
pub use midpoint::Midpoint;
pub use name::SchemeName;
pub use update::{Drift, Role, Scheme, StabilityRegion, State, Streams, Term, Update};
pub use verlet::Verlet;
