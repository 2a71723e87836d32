//! Dropout whose masks are a function of seed, step, position in the network and element.

use crate::autodiff::{Variable, record};
use crate::pass::{Draw, Pass};
use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use palinode_kernels::Context;
use palinode_kernels::profile::Section;

/// Inverted dropout. In training, every element is set to zero with probability `rate` and divided by
/// 1 − `rate` otherwise. In other phases the input is returned unchanged.
///
/// Masks come from a counter-based generator (ChaCha8), so they are not stored. The backward pass and
/// a second evaluation inside a reversible unit draw the same mask again. Masks depend neither on the
/// number of threads nor on other random numbers that the program draws.
#[derive(Module, Debug)]
pub struct Dropout {
    #[module(skip)]
    rate: f64,
    #[module(skip)]
    number: u64,
}

impl Dropout {
    /// A dropout that drops each element with probability `rate`, 0 ≤ `rate` < 1. A rate outside this
    /// range is clamped to it. A unit refuses a NaN rate in training.
    pub fn new(rate: f64) -> Self {
        Self { rate: rate.clamp(0.0, 1.0 - f64::EPSILON), number: 0 }
    }

    /// The same dropout with number `number` in its residual. Dropouts with different numbers draw
    /// different masks. All dropouts of one residual must have different numbers. The default is 0.
    pub fn numbered(self, number: u64) -> Self {
        Self { number, ..self }
    }

    /// Whether the rate is 0, so that nothing is ever dropped.
    pub fn is_off(&self) -> bool {
        self.rate == 0.0
    }

    /// x with the mask of `pass` applied: `[n, c, h, w]` → `[n, c, h, w]`.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        if self.is_off() {
            return x;
        }
        let Some(draw) = pass.draw(self.number) else { return x };
        if self.rate.is_nan() {
            pass.refuse("the rate of a dropout is not a number");
            return x;
        }
        let (rate, context) = (self.rate, pass.context().clone());
        let time =
            |x| context.profile().time(Section::Dropouts, || masked(&context, x, rate, draw));
        let value = time(x.clone().inner());
        if !x.is_tracked() {
            return if x.is_autodiff() { value.autodiff() } else { value };
        }
        let parents = [Variable::Array(x.clone())];
        let kept = context.clone();
        let vjp = move |gradient, _| [Some(Variable::Array(masked(&kept, gradient, rate, draw)))];
        let recorded = record(&context, Section::Dropouts, parents, value, vjp);
        // On devices that this library was not built for, our node cannot be recorded: Burn keeps the mask
        // and differentiates the product.
        recorded.unwrap_or_else(|_| {
            let mask = masked(&context, x.clone().inner().ones_like(), rate, draw);
            x * mask.autodiff()
        })
    }
}

/// x times the mask of `draw`.
fn masked(context: &Context, x: Tensor<4>, rate: f64, draw: Draw) -> Tensor<4> {
    #[cfg(feature = "cube")]
    if crate::cube::is_cube(&x.device()) {
        return crate::cube::drop_elements(x, draw.mask(rate));
    }
    let shape = x.dims();
    let mut mask = vec![0.0_f32; shape.iter().product()];
    let first = context.first_image() * shape[1..].iter().product::<usize>();
    draw.mask(rate)
        .fill(context, first, &mut mask)
        .expect("the rate is in 0…1, the place below 2²⁸");
    let mask = Tensor::<4>::from_data(TensorData::new(mask, shape), (&x.device(), x.dtype()));
    x * mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::{Phase, Place};
    use burn::tensor::{DType, Device};

    fn dropped(step: u64, layer: usize) -> Vec<f32> {
        let x = Tensor::<4>::ones([2, 3, 64, 100], &Device::flex());
        let place = Place::Unit { unit: 1, function: layer };
        let pass = Pass::first(Phase::Training { seed: 1, step }, &Context::new(), place);
        Dropout::new(0.4).forward(x, &pass).into_data().try_into_vec().unwrap()
    }

    #[test]
    fn the_dropped_share_is_the_rate_and_masks_differ_between_steps_and_layers() {
        let mask = dropped(5, 7);
        let zeros = mask.iter().filter(|&&value| value == 0.0).count();
        // Four standard deviations of 38,400 draws are 384.
        assert!(zeros.abs_diff(15_360) < 384, "{zeros} of 38400 dropped");
        assert!(mask.iter().all(|&value| value == 0.0 || value == (1.0 / 0.6_f64) as f32));
        assert_eq!(mask, dropped(5, 7));
        for other in [dropped(6, 7), dropped(5, 8)] {
            let same = mask.iter().zip(&other).filter(|(a, b)| a == b).count() as f64;
            // Independent masks agree with probability 0.4² + 0.6².
            assert!((same / 38_400.0 - 0.52).abs() < 0.011, "{same} of 38400 agree");
        }
    }

    #[test]
    fn the_gradient_has_the_same_mask_and_other_phases_drop_nothing() {
        let x = Tensor::<4>::ones([2, 2, 3, 3], &Device::flex()).cast(DType::F64);
        let x = x.autodiff().require_grad();
        let context = Context::new();
        let pass = || Pass::new(Phase::Training { seed: 1, step: 0 }, &context);
        let y = Dropout::new(0.5).forward(x.clone(), &pass());
        let gradient = x.grad(&y.clone().sum().backward()).unwrap();
        assert!((y.inner() - gradient).abs().max().into_scalar::<f64>() == 0.0);
        for phase in [Phase::BatchStatistics, Phase::Inference] {
            let y = Dropout::new(0.5).forward(x.clone(), &Pass::new(phase, &context));
            assert_eq!((y - x.clone()).abs().max().into_scalar::<f64>(), 0.0);
        }
    }
}
