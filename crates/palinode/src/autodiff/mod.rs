//! Custom nodes in Burn's autodiff graph, and access to tensors as slices for the kernels.

mod backend;
mod handover;
mod node;
mod orphans;
mod parameters;
mod view;

pub(crate) use handover::Given;
pub(crate) use node::{Variable, node_id, record};
pub use orphans::free_orphans;
pub(crate) use parameters::{record_modules, views};
pub(crate) use view::{View, on_kernels, tensor, values, view};
