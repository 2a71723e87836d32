//! Images and labels: reading, splitting, augmenting, standardising.

mod augment;
mod batch;
mod cifar;
mod dataset;
#[cfg(feature = "download")]
mod download;
mod fashion_mnist;
#[cfg(feature = "download")]
mod fetch;
mod folder;
mod hold_out;
mod idx;
mod mini;
mod overlap;
mod picture;
mod source;
mod statistics;
mod stl10;
mod subset;

pub use augment::Augmentation;
pub use batch::{Ahead, Batch, Batches, Epoch};
pub use dataset::{Dataset, Split};
#[cfg(feature = "download")]
pub use download::Patience;
#[cfg(feature = "download")]
pub use fetch::fetch;
pub use folder::FolderOptions;
pub use hold_out::hold_out;
pub use overlap::overlap;
pub use picture::load_pictures;
pub use source::SourceName;
pub use statistics::{Mean, describe};
pub use subset::subset;
