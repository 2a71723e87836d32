//! Images and labels: reading, splitting, augmenting, standardising.

#[cfg(feature = "download")]
mod archive;
mod augment;
mod batch;
mod cifar;
mod classes;
mod dataset;
mod decoders;
#[cfg(feature = "download")]
mod download;
mod fashion_mnist;
#[cfg(feature = "download")]
mod fetch;
mod folder;
mod idx;
mod image_source;
mod left_out;
mod mini;
mod named;
mod picture;
mod same;
mod split;
mod statistics;
mod stl10;

pub use augment::Augmentation;
pub use batch::{Ahead, Batch, Batches, Epoch};
pub use classes::Relabelled;
pub(crate) use classes::places_of;
pub use dataset::{Dataset, Split};
pub use decoders::DECODER_THREAD;
#[cfg(feature = "download")]
pub use download::Patience;
#[cfg(feature = "download")]
pub use fetch::fetch;
pub use folder::FolderOptions;
pub use image_source::{ImageSource, Selection, check_source, image_len};
pub use named::SourceName;
pub use picture::load_pictures;
pub use same::{Known, Twins};
pub use split::{hold_out, subset};
pub use statistics::{Mean, describe};
