//! The first block of a baseline's unit, which changes the resolution and the number of channels.

use super::config::Layout;
use super::transition::Transition;
use crate::convolution::Convolution;
use crate::error::Result;
use crate::pass::Pass;
use crate::residual::Residual;
use crate::reversible::{Evaluations, ResidualPlace, Survival, UnitSite, check_like};
use crate::scheme::{Evaluation, Role, Streams};
use burn::module::Module;
use burn::tensor::Tensor;
use std::any::type_name;
use std::sync::Arc;

/// A block whose residual halves the resolution or increases the number of channels. It has no inverse.
///
/// One state: y = Dx + F(x). Two streams: Y⁺ = DY + F(Z), Z⁺ = DZ + G(Y⁺), where F changes the shape.
/// D is the shortcut. Without parameters, it is a 2×2 average pool followed by zero channels: half
/// before and half after each of two streams, or all after the last channel of one state. With a
/// projection, it is a 1×1 convolution.
///
/// Source: Gomez et al. 2017 (two streams), He et al. 2016 (one state, D their option A), Xie et al.
/// 2017 (projection).
#[derive(Module, Debug)]
pub struct Entry<R: Residual> {
    /// F, or F and G.
    pub residuals: Vec<R>,
    /// D as a projection, `weight` `[outputs, inputs, 1, 1]`; `None` if D has no parameters.
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
        Self {
            residuals,
            shortcut,
            width,
            site: UnitSite { unit, survival, ..UnitSite::default() },
        }
    }

    /// The state after the block. `outside` is the pass of the layers outside the units.
    pub(super) fn forward(&self, x: Tensor<4>, outside: &Pass) -> Result<Tensor<4>> {
        let streams = if self.residuals.len() == 2 { Streams::Two } else { Streams::One };
        let shortcut = match &self.shortcut {
            Some(projection) => projection.forward(x.clone(), outside),
            None => {
                let width = self.width;
                let transition = Transition { width, streams, layout: Layout::Paper, pools: true };
                transition.apply(x.clone(), outside)
            }
        };
        let (phase, context) = (outside.phase(), outside.context());
        let mut evaluations = Evaluations::new(phase, context, self.site.clone());
        let mut added = |residual: usize, to: Tensor<4>, x: Tensor<4>| {
            let expected = (to.dims(), to.dtype());
            let evaluation = Evaluation { residual, role: Role::Forward, stage: 0 };
            evaluations.first(evaluation, |pass, survival| {
                let value = || -> Result<Tensor<4>> {
                    let value = self.residuals[residual].forward(x, pass);
                    let (unit, index) = (self.site.unit, residual);
                    let name = ResidualPlace { residual: type_name::<R>(), index, unit };
                    check_like(&name, "returned", &value, expected)?;
                    Ok(value)
                };
                Ok(match survival {
                    Survival::Dropped => to,
                    Survival::Whole => to + value()?,
                    Survival::Expected(probability) => to + value()? * probability,
                })
            })
        };
        if streams == Streams::One {
            return added(0, shortcut, x);
        }
        let half = |x: &Tensor<4>, which: usize| {
            let channels = x.dims()[1] / 2;
            x.clone().narrow(1, which * channels, channels)
        };
        let y = added(0, half(&shortcut, 0), half(&x, 1))?;
        let z = added(1, half(&shortcut, 1), y.clone())?;
        Ok(Tensor::cat(vec![y, z], 1))
    }
}
