//! Networks: stem, units, transitions, head; their descriptions, weights and files.

mod arrays;
mod classifier;
mod config;
mod count;
mod data_info;
mod entry;
mod estimate;
mod file;
mod head;
mod init;
mod linearized;
mod modes;
mod named;
mod names;
mod operations;
mod peak;
mod state_kind;
mod stem;
mod transition;
mod unit;
mod validate;
mod variant;
pub mod weights;

pub use classifier::Network;
pub use config::{Layout, NetworkConfig, StemActivation, StemConfig, TransitionKind, UNITS};
pub use count::{ParameterCount, count};
pub use data_info::DataInfo;
pub use entry::Entry;
pub use estimate::Parts;
pub use file::{WeightFile, arrays_from_bytes, arrays_to_bytes, load_arrays, save_arrays};
pub use head::Head;
pub use init::Site;
pub use linearized::LinearizedNetwork;
pub use modes::Modes;
pub use named::{NAMED, Named};
pub use peak::{MemoryModel, StepPeak};
pub use state_kind::StateKind;
pub use stem::Stem;
pub use unit::Unit;
pub use variant::Variant;

pub use crate::norm::BatchNorm;
pub use crate::pass::Phase;
