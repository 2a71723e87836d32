//! Loss and accuracy of a network on a data set.

use crate::data::{Batches, ImageSource};
use crate::error::{Error, Result};
use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};
use palinode::device::check_available;
use palinode::network::weights::to_f32;
use palinode::network::{DataInfo, Network, Phase};
use palinode::ranks::Group;
use palinode::residual::Residual;

/// Loss, accuracy and logits of a network on a data set.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Mean cross-entropy.
    pub loss: f64,
    /// Fraction of images whose most probable class is the right one, in 0…1.
    pub accuracy: f64,
    /// Logits, `[images, classes]`, in the data's order.
    pub logits: Vec<f32>,
}

impl Evaluation {
    /// Class probabilities, `[images, classes]`.
    pub fn probabilities(&self, classes: usize) -> Vec<f32> {
        let mut probabilities = self.logits.clone();
        for row in probabilities.chunks_mut(classes.max(1)) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|logit| *logit = (*logit - largest).exp());
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|value| *value /= sum);
        }
        probabilities
    }
}

/// Default batch size of an evaluation.
pub const EVALUATION_BATCH: usize = 128;

/// The batch size of an evaluation where a training step has batches of `training` images: no more, so that it needs no more
/// memory. (Logits do not depend on it.)
pub(super) fn evaluation_batch(training: usize) -> usize {
    EVALUATION_BATCH.min(training)
}

/// Mean cross-entropy of logits `[n, classes]` against labels `[n]`, differentiable.
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, labels)
}

/// Cross-entropy of every image against smoothed targets, `[n]`: 1 − ε + ε/classes for the label, ε/classes for every
/// other class. Logits are `[n, classes]`, labels `[n]`.
pub fn losses(logits: Tensor<2>, labels: Tensor<1, Int>, epsilon: f64) -> Tensor<1> {
    let images = logits.dims()[0];
    let logarithms = log_softmax(logits, 1);
    let own = logarithms.clone().gather(1, labels.reshape([images, 1])).reshape([images]).neg();
    if epsilon == 0.0 {
        return own;
    }
    let others = logarithms.mean_dim(1).reshape([images]).neg();
    own * (1.0 - epsilon) + others * epsilon
}

/// Sum over the rows of log Σ exp(logit) − logit of the label, in f64.
fn cross_entropy_sum(logits: &[f32], labels: &[usize], classes: usize) -> f64 {
    let rows = logits.chunks(classes.max(1)).zip(labels);
    rows.map(|(row, &label)| {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
        sum.ln() - f64::from(row[label] - largest)
    })
    .sum()
}

/// How many rows of logits have their largest value at the label.
pub(crate) fn correct(logits: &[f32], labels: &[usize], classes: usize) -> usize {
    let rows = logits.chunks(classes.max(1)).zip(labels);
    rows.filter(|(row, label)| most_probable(row) == **label).count()
}

/// Index of the largest value, the first where several are.
pub(crate) fn most_probable(row: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = index;
        }
    }
    best
}

/// Evaluates the network on all images of `source` with its running statistics, `batch_size` images at
/// a time.
///
/// # Errors
/// [`palinode::Error::Config`] where the images do not fit the network, or where the classes of `source` are
/// not those of `info` in the same order ([`Relabelled`](crate::data::Relabelled) brings them into it);
/// [`Error::NonFinite`] where a logit is NaN or infinite; what keeps an image from being read; as
/// [`Network::forward`].
pub fn evaluate<R: Residual, S: ImageSource + ?Sized>(
    network: &Network<R>,
    source: &S,
    info: &DataInfo,
    batch_size: usize,
) -> Result<Evaluation> {
    let device = network.head.weight.val().device();
    let images = batch_size.min(source.len());
    check_available(&device, &network.config().forward_bytes(images))?;
    evaluate_together(network, source, info, batch_size, None)
}

/// [`evaluate`] by all ranks of a group: each takes some of the batches, and all get the same result. Whether there is memory
/// for it is not asked: what a training step has freed is often still the allocator's.
pub(super) fn evaluate_together<R: Residual, S: ImageSource + ?Sized>(
    network: &Network<R>,
    source: &S,
    info: &DataInfo,
    batch_size: usize,
    group: Option<&Group>,
) -> Result<Evaluation> {
    let network = network.valid();
    let device = network.head.weight.val().device();
    let classes = network.config().classes;
    if source.classes() != info.classes {
        let reason = format!(
            "the classes of the images are {}, those of the network {}",
            source.classes().join(", "),
            info.classes.join(", ")
        );
        return Err(Error::config("classes", reason));
    }
    let labels: Vec<usize> = (0..source.len()).map(|index| source.label(index)).collect();
    if let Some(label) = labels.iter().find(|&&label| label >= classes) {
        let reason = format!("an image has label {label}, but the network has {classes} classes");
        return Err(Error::config("data", reason));
    }
    let mut logits = Vec::with_capacity(source.len() * classes);
    let mut batches = Batches::in_order(source, info, batch_size);
    let (rank, ranks) = group.map_or((0, 1), |group| (group.rank(), group.count()));
    batches.skip_batches(rank);
    while let Some(batch) = batches.next_on(&device)? {
        logits.extend(to_f32(network.forward(batch.images, Phase::Inference)?));
        batches.skip_batches(ranks - 1);
    }
    if let Some(group) = group {
        logits = in_order(group, &logits, batch_size.max(1) * classes);
    }
    if let Some(place) = logits.iter().position(|logit| !logit.is_finite()) {
        let place = source.name(place / classes.max(1));
        return Err(Error::NonFinite { what: "a logit", place });
    }
    if labels.is_empty() {
        return Err(Error::config("data", "there is no image to evaluate"));
    }
    let count = source.len() as f64;
    Ok(Evaluation {
        loss: cross_entropy_sum(&logits, &labels, classes) / count,
        accuracy: correct(&logits, &labels, classes) as f64 / count,
        logits,
    })
}

/// The logits of all batches, `length` numbers each but for the last, of which every rank has its own.
fn in_order(group: &Group, own: &[f32], length: usize) -> Vec<f32> {
    let bytes: Vec<u8> = own.iter().flat_map(|logit| logit.to_le_bytes()).collect();
    let logits = |bytes: Vec<u8>| -> Vec<f32> {
        bytes.as_chunks().0.iter().copied().map(f32::from_le_bytes).collect()
    };
    let all: Vec<Vec<f32>> = group.gather(&bytes).into_iter().map(logits).collect();
    let mut batches: Vec<_> = all.iter().map(|own| own.chunks(length)).collect();
    let mut found = Vec::new();
    // The first rank has as many batches as any other, or one more.
    loop {
        for own in &mut batches {
            let Some(batch) = own.next() else { return found };
            found.extend_from_slice(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothed_targets_by_hand() {
        use burn::tensor::{DType, Device};
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats([[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]], &device);
        let labels = Tensor::<1, Int>::from_ints([0, 2], &device);
        let logits = logits.cast(DType::F64);
        let plain = cross_entropy(logits.clone(), labels.clone());
        let found = losses(logits.clone(), labels.clone(), 0.0).mean();
        assert!((found - plain).abs().into_scalar::<f64>() < 1e-15);
        let found = losses(logits, labels, 0.3).mean();
        let rows = [[1.0_f64, 0.0, -1.0], [0.0, 2.0, 0.0]];
        let targets = [[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]];
        let expected: f64 = rows
            .iter()
            .zip(targets)
            .map(|(row, targets)| {
                let normalizer = row.iter().map(|logit| logit.exp()).sum::<f64>().ln();
                row.iter().zip(targets).map(|(logit, t)| t * (normalizer - logit)).sum::<f64>()
            })
            .sum();
        assert!((found.into_scalar::<f64>() - expected / 2.0).abs() < 1e-12);
    }

    #[test]
    fn loss_and_accuracy_by_hand() {
        let logits = [0.0, 0.0, 2.0, 0.0, 1000.0, -1000.0];
        let labels = [1, 0, 1];
        let expected = 2.0_f64.ln() + (1.0 + (-2.0_f64).exp()).ln() + 2000.0;
        assert!((cross_entropy_sum(&logits, &labels, 2) - expected).abs() < 1e-12);
        assert_eq!(correct(&logits, &labels, 2), 1);
    }
}
