//! A whole reversible unit in one kernel.

mod backward;
mod forward;
mod gradient;
mod launch;
mod map;
mod shape;
mod tile;

pub use launch::CubeUnit;
pub use shape::{Limits, UnitOf};
