//! Images and labels: reading, splitting, augmenting, standardising.

#[cfg(feature = "download")]
mod archive;
mod augment;
mod batch;
mod checked;
mod cifar;
mod classes;
mod dataset;
mod decoders;
mod digest;
#[cfg(feature = "download")]
mod download;
mod fashion_mnist;
#[cfg(feature = "download")]
mod fetch;
mod folder;
mod idx;
mod image_source;
mod kept;
mod left_out;
mod mini;
mod named;
mod picture;
mod pictures;
mod same;
mod split;
mod statistics;
mod stl10;
mod survey;

pub use augment::Augmentation;
pub use batch::{Ahead, Batch, Batches, Epoch};
pub use checked::Checked;
pub use classes::Relabelled;
pub(crate) use classes::places_of;
pub use dataset::{Dataset, Split};
pub use decoders::DECODER_THREAD;
pub(crate) use decoders::{first_reasons, unreadable};
#[cfg(feature = "download")]
pub use download::Patience;
#[cfg(feature = "download")]
pub use fetch::fetch;
pub use folder::FolderOptions;
pub use image_source::{ImageSource, Selection, check_source, class_counts, image_len};
pub use kept::{Kept, Room};
pub use named::SourceName;
pub use pictures::load_pictures;
pub use same::Twins;
pub use split::{hold_out, subset};
pub use statistics::Mean;
pub(crate) use survey::Part;
pub use survey::{Survey, describe};
