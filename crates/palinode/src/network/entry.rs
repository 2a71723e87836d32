//! The first block of a baseline's unit: narrower and finer on one side than on the other.

use super::Layout;
use super::transition::transition;
use crate::convolution::Convolution;
use crate::pass::{Memory, Phase, Survival, UnitSite};
use crate::residual::{Residual, Role, evaluate};
use crate::scheme::Streams;
use burn::module::Module;
use burn::tensor::Tensor;
use std::sync::Arc;

/// A block whose residual halves the resolution and widens the channels, and so cannot be undone.
///
/// One state: y = Dx + F(x). Two streams: Y⁺ = DY + F(Z), Z⁺ = DZ + G(Y⁺), F being the one that
/// changes the shape. D is the shortcut without parameters (2×2 average pool, zero channels, half
/// before and half after each of two streams, after the last of one state), or where the block has a projection a 1×1 convolution.
///
/// Source: Gomez et al. 2017 (two streams), He et al. 2016 (one state, D their option A), Xie et al.
/// 2017 (projection).
#[derive(Module, Debug)]
pub struct Entry<R: Residual> {
    /// F, or F and G.
    pub residuals: Vec<R>,
    /// D, where it has parameters: `weight` `[outputs, inputs, 1, 1]`.
    pub shortcut: Option<Convolution>,
    #[module(skip)]
    width: usize,
    #[module(skip)]
    site: UnitSite,
}

impl<R: Residual> Entry<R> {
    /// The first block of unit `unit`, whose state has `width` channels.
    pub(super) fn new(
        residuals: Vec<R>,
        shortcut: Option<Convolution>,
        width: usize,
        unit: usize,
        survival: Arc<[f64]>,
    ) -> Self {
        Self { residuals, shortcut, width, site: UnitSite { unit, first: 0, survival } }
    }

    /// The state behind the block.
    pub(super) fn forward(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        let streams = if self.residuals.len() == 2 { Streams::Two } else { Streams::One };
        let shortcut = match &self.shortcut {
            Some(projection) => projection.forward(x.clone()),
            None => transition(x.clone(), self.width, streams, Layout::Paper),
        };
        let mut memory = Memory::new(phase, self.site.clone());
        let mut added = |residual: usize, to: Tensor<4>, x: Tensor<4>| {
            memory.first(residual, Role::Forward, |pass| match pass.1 {
                Survival::Dropped => to,
                _ => to + evaluate(&self.residuals[residual], Role::Forward, x, pass),
            })
        };
        if streams == Streams::One {
            return added(0, shortcut, x);
        }
        let half = |x: &Tensor<4>, which: usize| {
            let channels = x.dims()[1] / 2;
            x.clone().narrow(1, which * channels, channels)
        };
        let y = added(0, half(&shortcut, 0), half(&x, 1));
        let z = added(1, half(&shortcut, 1), y.clone());
        Tensor::cat(vec![y, z], 1)
    }
}
