//! Dropout whose masks are a function of seed, step, layer and element.

use crate::node::{Variable, record};
use crate::pass::{Draw, Pass};
use crate::profile::{Part, time};
use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

/// Elements whose numbers one task draws.
const STRETCH: usize = 1 << 14;

/// Inverted dropout: in training every element is zero with probability `rate`, and otherwise divided
/// by 1 − `rate`; elsewhere nothing changes.
///
/// Masks come from a counter-based generator (ChaCha8), so no mask is ever stored: the backward pass,
/// and a second evaluation inside a reversible unit, draw the same one again. They do not depend on
/// the number of threads, and no random stream of anybody else's moves.
#[derive(Module, Debug)]
pub struct Dropout {
    #[module(skip)]
    rate: f64,
}

impl Dropout {
    /// Dropping a share `rate` in 0…1 (1 excluded) of all elements.
    pub fn new(rate: f64) -> Self {
        Self { rate: rate.clamp(0.0, 1.0 - f64::EPSILON) }
    }

    /// Whether nothing is ever dropped.
    pub fn is_off(&self) -> bool {
        self.rate == 0.0
    }

    /// x with elements dropped as `pass` says; any shape of four axes.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let Some(draw) = pass.draw().filter(|_| !self.is_off()) else { return x };
        let rate = self.rate;
        let value = time(Part::Dropouts, || masked(x.clone().inner(), rate, draw));
        if !x.is_tracked() {
            return if x.is_autodiff() { value.autodiff() } else { value };
        }
        let recorded =
            record(Part::Dropouts, [Variable::Array(x.clone())], value, move |slope, _| {
                [Some(Variable::Array(masked(slope, rate, draw)))]
            });
        // A backend that a node of ours cannot be recorded on multiplies by a mask that it keeps.
        recorded.unwrap_or_else(|_| {
            let mask = masked(x.clone().inner().ones_like(), rate, draw);
            x * mask.autodiff()
        })
    }
}

/// x times the mask of `draw`.
fn masked(x: Tensor<4>, rate: f64, draw: Draw) -> Tensor<4> {
    let shape = x.dims();
    let mut mask = vec![0.0_f32; shape.iter().product()];
    let kept = (1.0 / (1.0 - rate)) as f32;
    let threshold = (rate * (f64::from(u32::MAX) + 1.0)) as u32;
    mask.par_chunks_mut(STRETCH).enumerate().for_each(|(stretch, mask)| {
        let mut generator = draw.from(stretch * STRETCH);
        for element in mask {
            *element = if generator.word() >= threshold { kept } else { 0.0 };
        }
    });
    let mask = Tensor::<4>::from_data(TensorData::new(mask, shape), (&x.device(), x.dtype()));
    x * mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::Phase;
    use burn::tensor::{DType, Device};

    fn dropped(step: u64, layer: u64) -> Vec<f32> {
        let x = Tensor::<4>::ones([2, 3, 64, 100], &Device::flex());
        let pass = Pass::first(Phase::Training { seed: 1, step }, layer);
        Dropout::new(0.4).forward(x, &pass).into_data().try_into_vec().unwrap()
    }

    #[test]
    fn the_share_is_right_and_every_step_and_layer_has_its_own_mask() {
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
    fn the_gradient_has_the_same_mask_and_other_phases_change_nothing() {
        let x = Tensor::<4>::ones([2, 2, 3, 3], &Device::flex()).cast(DType::F64);
        let x = x.autodiff().require_grad();
        let pass = || Pass::first(Phase::Training { seed: 1, step: 0 }, 0);
        let y = Dropout::new(0.5).forward(x.clone(), &pass());
        let gradient = x.grad(&y.clone().sum().backward()).unwrap();
        assert!((y.inner() - gradient).abs().max().into_scalar::<f64>() == 0.0);
        for phase in [Phase::BatchStatistics, Phase::Inference] {
            let y = Dropout::new(0.5).forward(x.clone(), &Pass::first(phase, 0));
            assert_eq!((y - x.clone()).abs().max().into_scalar::<f64>(), 0.0);
        }
    }
}
