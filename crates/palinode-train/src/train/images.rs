//! The images of a run: the training part, split and checked, and the test part at its end.

use super::evaluate::{EVALUATION_BATCH, Evaluation, evaluate};
use crate::data::{Dataset, Mean, Split, describe, hold_out, overlap, subset};
use crate::error::{Error, Result};
use crate::recipe::Recipe;
use burn::tensor::Device;
use palinode::network::{DataInfo, Network};
use palinode::residual::BuiltIn;
use std::sync::Arc;

/// The training part, split, and what is known about it.
pub(super) struct TrainingData {
    /// Shared with the thread that prepares batches.
    pub training: Arc<Dataset>,
    pub validation: Dataset,
    /// Images of an epoch: as many as there would be without a subset.
    pub epoch_images: usize,
    pub info: DataInfo,
    pub checksum: u32,
}

impl TrainingData {
    pub fn load(recipe: &Recipe) -> Result<Self> {
        let all = recipe.data.load(Split::Train)?;
        // Now, not after the last epoch: can it be read, and has nobody trained on it?
        let test = recipe.data.load(Split::Test)?;
        let shared = overlap(&all, &test);
        if shared > recipe.data.allowed_overlap {
            let reason = format!(
                "{shared} of {} test images are also among the training images; a test on them would \
                 measure nothing (data.allowed_overlap says how many duplicates of the data set's own \
                 to put up with)",
                test.len()
            );
            return Err(Error::config("data", reason));
        }
        let (training, validation) = hold_out(&all.labels, recipe.data.validation, recipe.seed);
        let chosen = subset(&all.labels, &training, recipe.data.subset, recipe.seed);
        let epoch_images = training.len();
        let training = all.select(&chosen);
        // It goes into the header of every weight file, which has its limits.
        if recipe.data.mean == Mean::Pixel && training.image_len() > 1 << 20 {
            let reason = "images of more than a million numbers have one mean per channel";
            return Err(Error::config("data.mean", reason));
        }
        if training.is_empty() {
            return Err(Error::config("data.validation", "leaves no image to train on"));
        }
        Ok(Self {
            info: describe(&training, recipe.data.mean),
            validation: all.select(&validation),
            training: Arc::new(training),
            epoch_images,
            checksum: all.checksum(),
        })
    }

    pub fn network(&self, recipe: &Recipe) -> Result<Network<BuiltIn>> {
        let info = &self.info;
        let config = recipe.network(info.channels, info.size, info.classes.len())?;
        let mode = recipe.training.mode.unwrap_or_else(|| config.usual_mode());
        let network = config.init(recipe.seed, mode, &Device::flex().autodiff())?;
        Ok(network.with_kernels(recipe.training.kernels())?)
    }
}

/// The test part and what `network` says about it, if the recipe has it read.
pub(super) fn read_test(
    recipe: &Recipe,
    network: &Network<BuiltIn>,
    info: &DataInfo,
) -> Result<Option<(Dataset, Evaluation)>> {
    if !recipe.training.test {
        return Ok(None);
    }
    let test = recipe.data.load(Split::Test)?;
    let found = evaluate(network, &test, info, EVALUATION_BATCH)?;
    Ok(Some((test, found)))
}
