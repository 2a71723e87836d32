//! How a residual is integrated: the schemes. All but [`Euler`] are reversible by construction.
//!
//! A scheme describes what one block does to the state of a unit, as one or several [`Update`]s. Most of them add a function
//! of one half of the state to the other half, so subtracting the same function inverts them (to the bit, on a [`Grid`]).
//! The forward sweep, the inverse sweep and the gradients follow from the updates alone ([`sweep`]), for every residual, and
//! so does the linearised ODE ([`Field`]).

mod coupling;
mod damped;
mod definition;
mod euler;
mod evaluation;
mod field;
mod forest_ruth;
mod gradient;
mod grid;
mod hamiltonian;
mod increment;
mod leapfrog;
mod midpoint;
mod momentum;
mod name;
mod reversible_runge_kutta;
mod runge_kutta;
pub mod sweep;
mod update;
mod verlet;

pub use coupling::Coupling;
pub use damped::Damped;
pub use definition::{Scheme, StabilityRegion};
pub use euler::Euler;
pub use evaluation::{Differentiate, Evaluate, Evaluation};
pub use field::{Derivative, Field};
pub use forest_ruth::ForestRuth;
pub use grid::Grid;
pub(crate) use grid::rounded;
pub use hamiltonian::Hamiltonian;
pub use leapfrog::{Leapfrog, Start};
pub use midpoint::Midpoint;
pub use momentum::Momentum;
pub use name::{SchemeName, SchemeOptions};
pub use reversible_runge_kutta::ReversibleRungeKutta;
pub use runge_kutta::RungeKutta;
pub use update::{Drift, Half, Increment, Role, State, Streams, Term, Update};
pub use verlet::Verlet;
