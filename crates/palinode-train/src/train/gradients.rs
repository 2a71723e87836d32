//! The gradients of a network's parameters: taken from a backward pass, averaged, clipped.

use crate::error::{Error, Result};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Gradients, Tensor};
use palinode::device::is_cpu;
use palinode::network::Network;
use palinode::precision::NumberType;
use palinode::ranks::{Share, add_gradients};
use palinode::residual::Residual;
use palinode::reversible::Differentiation;

/// One gradient per parameter, flat, in the order of a visit; `None` for a parameter that is not
/// trained.
#[derive(Clone, Debug)]
pub struct ParameterGradients(Vec<Option<Tensor<1>>>);

impl ParameterGradients {
    /// Takes the gradients of `network`'s parameters out of a backward pass.
    ///
    /// A trained parameter that the loss does not depend on (a block left out by stochastic depth) has
    /// the gradient zero, in every mode of differentiation.
    pub fn take<R: Residual>(network: &Network<R>, gradients: &mut Gradients) -> Self {
        let mut visitor = Take { gradients, taken: Vec::new() };
        network.visit(&mut visitor);
        Self(visitor.taken)
    }

    /// Adds those of the other ranks that share the batch. All ranks call this together.
    ///
    /// # Errors
    /// As [`add_gradients`].
    pub fn add_ranks<R: Residual>(&mut self, share: &Share, network: &Network<R>) -> Result<()> {
        Ok(add_gradients(share, network, &mut self.0)?)
    }

    /// The gradients.
    pub fn as_slice(&self) -> &[Option<Tensor<1>>] {
        &self.0
    }

    /// The gradients, to be changed.
    pub(super) fn as_mut_slice(&mut self) -> &mut [Option<Tensor<1>>] {
        &mut self.0
    }

    pub(super) fn into_vec(self) -> Vec<Option<Tensor<1>>> {
        self.0
    }

    /// Scales all gradients so that their common norm is at most `limit`; 0: no limit. Returns the norm
    /// before that, `[1]`, which is not finite if a gradient is not; `None` without a limit.
    ///
    /// Everything stays on the device. The squares of each gradient are summed in its own precision; these sums
    /// are added in f64 on the CPU, and in the same precision on other devices, which may not have f64. A norm
    /// below the limit leaves every bit as it is.
    pub fn clip(&mut self, limit: f64) -> Option<Tensor<1>> {
        if limit == 0.0 {
            return None;
        }
        let squares: Vec<Tensor<1>> =
            self.0.iter().flatten().map(|gradient| gradient.clone().powi_scalar(2).sum()).collect();
        if squares.is_empty() {
            return None;
        }
        let squares = Tensor::cat(squares, 0);
        let dtype = squares.dtype();
        let on_cpu = is_cpu(&squares.device());
        let norm = if on_cpu { squares.cast(DType::F64) } else { squares }.sum().sqrt();
        let scale = norm.full_like(limit) / norm.clone().clamp_min(limit);
        let (scale, norm) = (scale.cast(dtype), norm.cast(dtype));
        for gradient in self.0.iter_mut().flatten() {
            *gradient = gradient.clone() * scale.clone();
        }
        Some(norm)
    }
}

/// What a loss is multiplied by before its backward pass, since f16 has no numbers as small as its gradients. Units in
/// other modes than `stored` scale the cotangent of every residual by itself.
pub(super) fn loss_scale<R: Residual>(precision: NumberType, network: &Network<R>) -> f64 {
    let stored = network.units.iter().any(|unit| unit.mode() == Differentiation::Stored);
    if precision == NumberType::F16 && stored { 1024.0 } else { 1.0 }
}

/// The gradients of a loss, by a backward pass through `scale` times the loss. Where several ranks share the batch, the
/// loss is the part of the images here, and the gradients are those of the whole.
///
/// # Errors
/// As [`ParameterGradients::add_ranks`].
pub(super) fn scaled_gradients<R: Residual>(
    network: &Network<R>,
    loss: Tensor<1>,
    scale: f64,
    share: Option<&Share>,
) -> Result<ParameterGradients> {
    let scaled = if scale == 1.0 { loss } else { loss * scale };
    let mut found = ParameterGradients::take(network, &mut scaled.backward());
    if let Some(share) = share {
        found.add_ranks(share, network)?;
    }
    if scale != 1.0 {
        for gradient in found.0.iter_mut().flatten() {
            *gradient = gradient.clone() / scale;
        }
    }
    Ok(found)
}

struct Take<'a> {
    gradients: &'a mut Gradients,
    taken: Vec<Option<Tensor<1>>>,
}

impl ModuleVisitor for Take<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weight = param.val();
        let gradient = weight.grad_remove(self.gradients);
        let gradient =
            gradient.or_else(|| weight.is_require_grad().then(|| weight.inner().zeros_like()));
        self.taken.push(gradient.map(|gradient| gradient.reshape([-1])));
    }
}

/// The mean gradient over the images of several batches.
///
/// Each batch counts by its images, so the result is the gradient of the mean loss over all of them.
#[derive(Debug, Default)]
pub struct GradientMean {
    /// Σ images · gradient; of a single batch, its gradient as it is.
    sum: Option<ParameterGradients>,
    batches: usize,
    first: usize,
    images: usize,
}

impl GradientMean {
    /// Adds the gradients of the mean loss over a batch of `images` images.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where they belong to other parameters than those before.
    pub fn add(&mut self, gradients: ParameterGradients, images: usize) -> Result<()> {
        self.batches += 1;
        self.images += images;
        let Some(sum) = &mut self.sum else {
            (self.sum, self.first) = (Some(gradients), images);
            return Ok(());
        };
        if sum.0.len() != gradients.0.len() {
            let reason = format!("{} gradients, expected {}", gradients.0.len(), sum.0.len());
            return Err(Error::config("gradient", reason));
        }
        for (sum, gradient) in sum.0.iter_mut().zip(gradients.0) {
            let before = match self.batches {
                2 => sum.take().map(|first| first * self.first as f64),
                _ => sum.take(),
            };
            *sum = match (before, gradient) {
                (Some(before), Some(gradient)) => Some(before + gradient * images as f64),
                (None, None) => None,
                (Some(_), None) | (None, Some(_)) => {
                    let reason = "a parameter is trained in one batch and not in another";
                    return Err(Error::config("gradient", reason));
                }
            };
        }
        Ok(())
    }

    /// The mean; `None` before the first batch. The gradient of a single batch keeps its bits.
    pub fn finish(self) -> Option<ParameterGradients> {
        let mut mean = self.sum?;
        if self.batches > 1 {
            for gradient in mean.0.iter_mut().flatten() {
                *gradient = gradient.clone() / self.images as f64;
            }
        }
        Some(mean)
    }
}
