//! `palinode predict`.

use crate::arrays::{self, read_images};
use crate::options::{DataSplit, OnDevice, at_most};
use crate::output::{plain, say, shown};
use anyhow::ensure;
use clap::Args;
use palinode::Context;
use palinode::device::{check_available, read};
use palinode::network::{Network, Phase, WeightFile};
use palinode::reversible::Differentiation;
use palinode::tensor::{Device, Tensor, TensorData};
use palinode_train::Error;
use palinode_train::data::{Batches, ImageSource, load_pictures};
use palinode_train::train::{EVALUATION_BATCH, Evaluation, evaluate};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Options of `palinode predict`: pictures, a data set (--data), or an array (--input).
#[derive(Debug, Args)]
pub struct Predict {
    /// Picture files to classify: PNG, JPEG, WebP, BMP, TIFF, the first frame of a GIF.
    #[arg(value_name = "PICTURE")]
    pictures: Vec<PathBuf>,
    /// Weight file.
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// float32 `[n, channels, rows, columns]`, already standardised.
    #[arg(long, value_name = "X.npy", conflicts_with = "pictures")]
    input: Option<PathBuf>,
    #[command(flatten)]
    data: DataSplit,
    /// File for the logits: float32 `[n, classes]`.
    #[arg(long, value_name = "Y.npy")]
    logits: Option<PathBuf>,
    /// File for the standardised images, in the form that --input reads.
    #[arg(long, value_name = "X.npy", conflicts_with = "input")]
    images: Option<PathBuf>,
    /// Number of most probable classes to print for a picture.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_most(256))]
    top: usize,
    /// Batch size.
    #[arg(long, value_name = "N", default_value_t = EVALUATION_BATCH, value_parser = at_most(65_536))]
    batch_size: usize,
    #[command(flatten)]
    device: OnDevice,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Predict {
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let others = !self.pictures.is_empty() || self.input.is_some();
        ensure!(
            !(others && self.data.is_given()),
            "--data: give only one of a data set, an array (--input) and pictures"
        );
        let file = WeightFile::load(&self.weights)?;
        let network = file.network(Differentiation::Stored, &self.device.open()?)?;
        let network = network.with_context(context)?;
        let classes = file.data.classes.len();
        if !self.pictures.is_empty() {
            let dataset = load_pictures(&self.pictures, &file.data, Some(self.data.largest_side))?;
            self.write_images(&dataset, &file)?;
            let found = evaluate(&network, &dataset, &file.data, self.batch_size)?;
            self.write_logits(&found.logits, classes)?;
            return self.print_pictures(&file, &found);
        }
        let Some(logits_path) = &self.logits else {
            anyhow::bail!("give pictures to classify, or --logits FILE for an array or a data set");
        };
        let logits = match &self.input {
            Some(input) => self.forward(&network, input)?,
            None => {
                let dataset = self.data.load(&file)?;
                self.write_images(&dataset, &file)?;
                evaluate(&network, &dataset, &file.data, self.batch_size)?.logits
            }
        };
        self.write_logits(&logits, classes)?;
        let images = logits.len() / classes;
        if self.json {
            say!("{}", json!({ "images": images }))?;
        } else {
            say!("logits of {images} images in {}", logits_path.display())?;
        }
        Ok(())
    }

    fn write_logits(&self, logits: &[f32], classes: usize) -> anyhow::Result<()> {
        match &self.logits {
            Some(path) => arrays::write(path, &[logits.len() / classes, classes], logits),
            None => Ok(()),
        }
    }

    fn write_images(&self, images: &impl ImageSource, file: &WeightFile) -> anyhow::Result<()> {
        let Some(path) = &self.images else { return Ok(()) };
        let mut values = Vec::new();
        let mut batches = Batches::in_order(images, &file.data, self.batch_size);
        while let Some(batch) = batches.next_on(&Device::flex())? {
            values.extend(batch.images.into_data().try_into_vec::<f32>()?);
        }
        let [rows, columns] = images.size();
        arrays::write(path, &[images.len(), images.channels(), rows, columns], &values)
    }

    /// Logits of an array of images.
    fn forward(&self, network: &Network, path: &Path) -> anyhow::Result<Vec<f32>> {
        let (shape, values) = read_images(path, network)?;
        let batch = self.batch_size.min(shape[0]);
        let device = network.head.weight.val().device();
        check_available(&device, &network.config().forward_bytes(batch))?;
        let length: usize = shape[1..].iter().product();
        let mut logits = Vec::new();
        for chunk in values.chunks(length * self.batch_size.max(1)) {
            let shape = [chunk.len() / length, shape[1], shape[2], shape[3]];
            let images = TensorData::new(chunk.to_vec(), shape);
            let images = Tensor::from_data(images, &device);
            let output = network.forward(images, Phase::Inference)?;
            logits.extend(read(output)?.into_iter().map(|logit| logit as f32));
        }
        if let Some(place) = logits.iter().position(|logit| !logit.is_finite()) {
            let classes = network.config().classes;
            let place = format!("image {} of {}", place / classes.max(1), path.display());
            return Err(Error::NonFinite { what: "a logit", place }.into());
        }
        Ok(logits)
    }

    fn print_pictures(&self, file: &WeightFile, found: &Evaluation) -> anyhow::Result<()> {
        let classes = &file.data.classes;
        let probabilities = found.probabilities(classes.len());
        let mut results = Vec::new();
        for (path, row) in self.pictures.iter().zip(probabilities.chunks(classes.len())) {
            let mut order: Vec<usize> = (0..row.len()).collect();
            order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
            order.truncate(self.top);
            if self.json {
                let ranked: Vec<_> = order
                    .iter()
                    .map(|&class| json!({ "class": classes[class], "probability": row[class] }))
                    .collect();
                results.push(json!({ "file": shown(path), "classes": ranked }));
            } else {
                let ranked: Vec<String> = order
                    .iter()
                    .map(|&class| format!("{} {:.1} %", classes[class], 100.0 * row[class]))
                    .collect();
                say!("{}: {}", plain(&shown(path)), plain(&ranked.join(", ")))?;
            }
        }
        if self.json {
            say!("{}", json!({ "images": results.len(), "pictures": results }))?;
        }
        Ok(())
    }
}
