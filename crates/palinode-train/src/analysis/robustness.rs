//! The accuracy of a network on images that were changed a little, by chance or against it.

use crate::data::{Batch, Batches, ImageSource};
use crate::error::{Error, Result};
use crate::train::{correct, cross_entropy};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use palinode::network::weights::to_f32;
use palinode::network::{DataInfo, Network, Phase};
use palinode::random::{Generator, Purpose};
use palinode::residual::Residual;
use serde::Serialize;

/// How images are changed. All sizes are in the range of a pixel, 0…1. Changed pixels stay in this range, and the padding
/// around an image stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "attack", rename_all = "lowercase")]
pub enum Attack {
    /// Independent normal numbers of this deviation are added.
    Gaussian {
        /// The standard deviation.
        epsilon: f64,
    },
    /// The fast gradient sign method: ε times the sign of the loss's gradient. Source: Goodfellow, Shlens & Szegedy, 2015.
    Fgsm {
        /// ε.
        epsilon: f64,
    },
    /// Projected gradient descent: from a random point within ε of every pixel, `steps` steps of 2.5·ε/steps along the sign
    /// of the gradient, each brought back to within ε. Source: Madry et al., 2018.
    Pgd {
        /// ε.
        epsilon: f64,
        /// The number of steps.
        steps: usize,
    },
}

/// The accuracy under one attack.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Robustness {
    /// How the images were changed.
    #[serde(flatten)]
    pub attack: Attack,
    /// The fraction of images whose most probable class is the right one, in 0…1.
    pub accuracy: f64,
}

/// Accuracy of `network`, on an autodiff device, on the first `images` images of `source` under every attack. Norms use
/// their running statistics. The random numbers of batch b come from the streams of `seed`.
///
/// # Errors
/// As [`evaluate`](crate::train::evaluate).
pub fn robustness<R: Residual, S: ImageSource + ?Sized>(
    network: Network<R>,
    (source, info): (&S, &DataInfo),
    (images, batch_size): (usize, usize),
    attacks: &[Attack],
    seed: u64,
) -> Result<Vec<Robustness>> {
    let device = network.head.weight.val().device();
    let network = network.no_grad();
    let pixels = Pixels::of(info, &device);
    let count = images.min(source.len());
    let mut right = vec![0; attacks.len()];
    let mut batches = Batches::in_order(source, info, batch_size);
    let (mut seen, mut number) = (0, 0);
    while seen < count
        && let Some(batch) = batches.next_on(&device)?
    {
        let batch = batch.first(count - seen);
        for (attack, right) in attacks.iter().zip(&mut right) {
            let mut generator = Generator::with_stream(seed, Purpose::Input, number);
            let changed = pixels.changed(*attack, &network, &batch, &mut generator)?;
            let logits = to_f32(network.forward(changed, Phase::Inference)?);
            if logits.iter().any(|logit| !logit.is_finite()) {
                let place = format!("batch {number}, {attack:?}");
                return Err(Error::NonFinite { what: "a logit", place });
            }
            let labels = batch.indices.iter().map(|&index| source.label(index));
            *right += correct(&logits, &labels.collect::<Vec<_>>(), info.classes.len());
        }
        seen += batch.indices.len();
        number += 1;
    }
    let share = |right: usize| right as f64 / seen.max(1) as f64;
    let rows = attacks.iter().zip(right);
    Ok(rows.map(|(&attack, right)| Robustness { attack, accuracy: share(right) }).collect())
}

/// The range of every pixel after standardisation.
struct Pixels {
    /// The lowest and the highest value, `[1, channels, rows, columns]`.
    low: Tensor<4>,
    high: Tensor<4>,
    /// One for pixels of the image, zero for its padding.
    inside: Tensor<4>,
}

impl Pixels {
    fn of(info: &DataInfo, device: &Device) -> Self {
        let [rows, columns] = info.size;
        let shape = [1, info.channels, rows, columns];
        let (lookup, shift) = (info.lookup(), info.shift());
        let area = (rows * columns).max(1);
        let all = || 0..info.channels * rows * columns;
        let tensor = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, shape), device);
        let shifted = |byte: usize| {
            let value = |pixel: usize| {
                lookup[pixel / area][byte] - shift.as_ref().map_or(0.0, |shift| shift[pixel])
            };
            tensor(all().map(value).collect())
        };
        let inside = |pixel: usize| {
            let (row, column) = (pixel % area / columns, pixel % columns);
            let kept = |place: usize, extent: usize| {
                (info.padding..extent.saturating_sub(info.padding)).contains(&place)
            };
            f32::from(u8::from(kept(row, rows) && kept(column, columns)))
        };
        Self { low: shifted(0), high: shifted(255), inside: tensor(all().map(inside).collect()) }
    }

    /// The images of a batch after an attack.
    fn changed<R: Residual>(
        &self,
        attack: Attack,
        network: &Network<R>,
        batch: &Batch,
        generator: &mut Generator,
    ) -> Result<Tensor<4>> {
        let images = batch.images.clone().inner();
        let [low, high, inside] = [&self.low, &self.high, &self.inside].map(|t| t.clone().inner());
        // What the size 1 is after standardisation, and 0 in the padding.
        let unit = (high.clone() - low.clone()) * inside;
        let within = |x: Tensor<4>| x.max_pair(low.clone()).min_pair(high.clone());
        let (shape, device) = (images.dims(), images.device());
        let sign_of_gradient = |x: Tensor<4>| -> Result<Tensor<4>> {
            let x = x.autodiff().require_grad();
            let logits = network.forward(x.clone(), Phase::Inference)?;
            let gradients = cross_entropy(logits, batch.labels.clone()).backward();
            Ok(x.grad(&gradients).map_or_else(|| x.inner().zeros_like(), Tensor::sign))
        };
        let changed = match attack {
            Attack::Gaussian { epsilon } => {
                let noise: Tensor<4> = generator.normal(shape, epsilon, &device);
                within(images + noise * unit)
            }
            Attack::Fgsm { epsilon } => {
                let sign = sign_of_gradient(images.clone())?;
                within(images + sign * unit * epsilon)
            }
            Attack::Pgd { epsilon, steps } => {
                let size = unit * epsilon;
                let start: Tensor<4> = generator.uniform(shape, 1.0, &device);
                let mut x = within(images.clone() + start * size.clone());
                for _ in 0..steps {
                    let step = sign_of_gradient(x.clone())? * size.clone() * (2.5 / steps as f64);
                    let change = (x + step - images.clone()).max_pair(size.clone().neg());
                    x = within(images.clone() + change.min_pair(size.clone()));
                }
                x
            }
        };
        Ok(changed.autodiff())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::SourceName;
    use crate::data::Split;
    use palinode::network::NetworkConfig;
    use palinode::reversible::Differentiation;

    const PADDING: usize = 2;

    fn info(size: usize) -> DataInfo {
        DataInfo {
            channels: 1,
            size: [size, size],
            mean: vec![0.3],
            std: vec![0.35],
            pixel_mean: None,
            classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
            padding: PADDING,
            background: None,
        }
    }

    fn network(device: &Device, size: usize, classes: usize) -> Network {
        let config = NetworkConfig::named("hamiltonian-74").unwrap();
        let config = config.for_data(1, [size, size], classes).with_units([2, 1], [4, 8]);
        config.init(3, Differentiation::Stored, device).unwrap()
    }

    fn values(x: &Tensor<4>) -> Vec<f32> {
        to_f32(x.clone())
    }

    #[test]
    fn changed_images_stay_in_range_and_within_epsilon_and_raise_the_loss() {
        const SIZE: usize = 12;
        let device = Device::flex().autodiff();
        let (network, info) = (network(&device, SIZE, 3), info(SIZE));
        let network = network.no_grad();
        let pixels = Pixels::of(&info, &device);
        let (low, high) = ((0.0 - 0.3) / 0.35, (1.0 - 0.3) / 0.35);
        let raw: Tensor<4> =
            Generator::new(1, Purpose::Input).uniform([6, 1, SIZE, SIZE], 1.0, &device);
        // Pixels in 0…1, zero in the padding.
        let raw = (raw + 1.0) * 0.5 * pixels.inside.clone();
        let images = (raw - 0.3) / 0.35;
        let labels = Tensor::from_data(TensorData::from([0_i64, 1, 2, 0, 1, 2]), &device);
        let batch = Batch { images: images.clone(), labels, indices: (0..6).collect(), whole: 6 };
        let loss = |x: Tensor<4>| {
            let logits = network.forward(x, Phase::Inference).unwrap();
            cross_entropy(logits, batch.labels.clone()).into_scalar::<f64>()
        };
        let epsilon = 0.05;
        let clean = loss(images.clone());
        let generator = || Generator::new(2, Purpose::Input);
        let changed = |attack| pixels.changed(attack, &network, &batch, &mut generator()).unwrap();
        let fgsm = changed(Attack::Fgsm { epsilon });
        let pgd = changed(Attack::Pgd { epsilon, steps: 10 });
        let noisy = changed(Attack::Gaussian { epsilon });
        for (x, bounded) in [(&fgsm, true), (&pgd, true), (&noisy, false)] {
            let inside = values(&pixels.inside).repeat(6);
            let pairs = values(x).into_iter().zip(values(&images)).zip(inside);
            for ((new, old), inside) in pairs {
                assert!(f64::from(new) >= low - 1e-6 && f64::from(new) <= high + 1e-6, "{new}");
                let change = f64::from(new - old).abs() * 0.35;
                assert!(!bounded || change <= epsilon + 1e-6, "{change}");
                assert!(inside == 1.0 || change < 1e-6, "the padding changed by {change}");
            }
        }
        assert!(values(&noisy) != values(&images));
        // To first order FGSM raises the loss by ε‖∇‖₁ more than any other change of this size.
        let small = 1e-4;
        let risen = loss(changed(Attack::Fgsm { epsilon: small })) - clean;
        let other: Tensor<4> =
            Generator::new(9, Purpose::Input).normal(images.dims(), 1.0, &device);
        let random = loss(images + other.sign() * small / 0.35 * pixels.inside.clone()) - clean;
        assert!(risen > 0.0 && risen > 3.0 * random.abs(), "{risen:e} {random:e}");
        assert!(loss(fgsm.clone()) > clean);
        assert!(loss(pgd) >= 0.99 * loss(fgsm), "PGD is the stronger attack");
        assert!((loss(noisy) - clean).abs() < loss(changed(Attack::Fgsm { epsilon })) - clean);
    }

    #[test]
    fn unchanged_images_give_the_accuracy_of_an_evaluation() {
        let device = Device::flex().autodiff();
        let source = SourceName::default().load(None, Split::Test).unwrap();
        let mut info = info(32);
        info.classes = source.classes().to_vec();
        let network = network(&device, 32, 10);
        let attacks = [Attack::Gaussian { epsilon: 0.0 }, Attack::Fgsm { epsilon: 0.3 }];
        let sizes = (source.len(), 96);
        let found = robustness(network.clone(), (&source, &info), sizes, &attacks, 1).unwrap();
        let expected = crate::train::evaluate(&network, &source, &info, 96).unwrap().accuracy;
        assert_eq!(found[0].accuracy, expected);
        assert!(found[1].accuracy < expected, "{found:?}");
        let sizes = (130, 96);
        let part = robustness(network, (&source, &info), sizes, &attacks[..1], 1).unwrap();
        assert_eq!((part[0].accuracy * 130.0).fract(), 0.0, "of 130 images: {part:?}");
    }
}
