//! The training images that a run is looked at on.

use crate::data::{Batch, Batches};
use crate::error::Result;
use crate::train::training_data::TrainingData;
use burn::tensor::Device;
use std::sync::Arc;

/// The first training images, as a batch.
pub fn sample(data: &TrainingData, images: usize, device: &Device) -> Result<Option<Batch>> {
    Batches::in_order(Arc::clone(&data.training), data.info(), images).next_on(device)
}
