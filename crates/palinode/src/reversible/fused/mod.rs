//! Units that `palinode-kernels` computes as a whole.
//!
//! These are units of residuals with a kernel form, in f32, under any built-in reversible scheme: on the CPU, and
//! on graphics cards whose memory beside the arithmetic holds a stream of an image, there also in half types. All
//! other units are computed block by block.

#[cfg(feature = "cube")]
mod card;
mod host;
#[cfg(feature = "cube")]
mod pieces;
mod plan;

use super::blocks::Blocks;
use super::differentiation::Differentiation;
use super::found::Reversed;
use super::last_state::LastState;
#[cfg(feature = "cube")]
use super::local::detach;
use super::watch::{Fingerprint, Watch};
use crate::error::{Error, Result};
use crate::pass::Phase;
use crate::residual::Residual;
use crate::scheme::Scheme;
use burn::tensor::Tensor;
use host::Numbers;
use palinode_kernels::{Algorithm, Precision};
use plan::plan;
use std::marker::PhantomData;

/// A unit that kernels can compute.
pub(super) enum Fused {
    Host(host::Host),
    #[cfg(feature = "cube")]
    Card(card::Card),
}

impl Fused {
    /// The unit, if kernels can compute it on `input` in `phase`.
    pub fn of<R: Residual>(
        blocks: &Blocks<'_, R>,
        input: &Tensor<4>,
        phase: Phase,
    ) -> Option<Self> {
        let plan = plan(blocks, phase)?;
        #[cfg(feature = "cube")]
        if crate::cube::is_cube(&input.device()) {
            return card::Card::of(plan, blocks, input).map(Self::Card);
        }
        host::Host::of(plan, blocks, input).map(Self::Host)
    }

    /// Whether the CPU's kernels can compute a unit on input in f32.
    pub fn knows<R: Residual>(blocks: &Blocks<'_, R>) -> bool {
        blocks.residuals.is_empty() || plan(blocks, Phase::Inference).is_some()
    }

    /// The same unit, computed by `algorithm` where there is a choice.
    pub fn by(self, algorithm: Algorithm) -> Self {
        match self {
            Self::Host(host) => Self::Host(host.by(algorithm)),
            #[cfg(feature = "cube")]
            card => card,
        }
    }

    /// The unit with the parameters of `residuals`.
    ///
    /// # Errors
    /// [`Error::Residual`] if a residual has more or fewer parameters than its
    /// [`KernelForm`](crate::residual::KernelForm).
    pub fn with<R: Residual>(self, residuals: &[R]) -> Result<Bound<R>> {
        Ok(match self {
            Self::Host(host) => Bound::Host(host, Numbers::of(residuals)?, PhantomData),
            #[cfg(feature = "cube")]
            Self::Card(card) => Bound::Card(card, detach(residuals)),
        })
    }
}

/// A unit that kernels can compute, with its parameters. It is what the graph keeps: the CPU's kernels take the arrays
/// alone, which are several times smaller than the modules around them.
pub(super) enum Bound<R: Residual> {
    Host(host::Host, Numbers, PhantomData<R>),
    #[cfg(feature = "cube")]
    Card(card::Card, Vec<R>),
}

impl<R: Residual> Bound<R> {
    /// The last state for `input`, and what the first one was, if it is watched.
    ///
    /// # Errors
    /// [`Error::Kernels`] if a parameter has another length than its residual needs.
    pub fn forward(
        &self,
        scheme: &dyn Scheme,
        input: Tensor<4>,
        watch: Option<&Watch>,
    ) -> Result<(LastState, Option<Fingerprint>)> {
        match self {
            Self::Host(host, numbers, _) => host.forward(numbers, scheme, input, watch.is_some()),
            #[cfg(feature = "cube")]
            Self::Card(card, residuals) => card.forward(residuals, scheme, input, watch),
        }
    }

    /// Back through all blocks, from the last state and the gradient with respect to the output.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn backward(
        &self,
        scheme: &dyn Scheme,
        last: LastState,
        gradient: Tensor<4>,
        watch: Option<&Watch>,
    ) -> Result<Reversed> {
        match self {
            Self::Host(host, numbers, _) => {
                host.backward(numbers, scheme, last, gradient, watch.is_some())
            }
            #[cfg(feature = "cube")]
            Self::Card(card, residuals) => card.backward(residuals, scheme, last, gradient, watch),
        }
    }
}

/// Whether kernels compute a unit as a whole on `input` in `phase`.
pub(crate) fn is_fused<R: Residual>(
    blocks: &Blocks<'_, R>,
    input: &Tensor<4>,
    phase: Phase,
) -> bool {
    Fused::of(blocks, input, phase).is_some()
}

/// Bytes of working memory that the CPU's kernels need in the backward pass of a unit on images `[n, C, h, w]`; `None`
/// if it is computed block by block.
pub(crate) fn scratch_bytes<R: Residual>(
    blocks: &Blocks<'_, R>,
    input: [usize; 4],
) -> Result<Option<usize>> {
    let [.., height, width] = input;
    let plan = plan(blocks, Phase::Training { seed: 0, step: 0 });
    let host = plan.and_then(|plan| host::Host::of_size(plan, blocks.context, [height, width]));
    let Some(host) = host else { return Ok(None) };
    let has_bias = |residual: &R| residual.kernel_form().is_some_and(|form| form.input_bias);
    let input_bias = blocks.residuals.iter().any(has_bias);
    host.scratch_bytes(blocks.scheme.as_ref(), input, input_bias).map(Some)
}

/// Refuses a context that asks for an algorithm or a precision that would have no effect on a unit.
pub(crate) fn check_context<R: Residual>(
    blocks: &Blocks<'_, R>,
    mode: Differentiation,
    on_cpu: bool,
) -> Result<()> {
    let field = match (blocks.context.algorithm(), blocks.context.gradients()) {
        (None, Precision::F32) => return Ok(()),
        (_, Precision::F32) => "training.algorithm",
        _ => "training.gradients",
    };
    if on_cpu && mode == Differentiation::Reversible && Fused::knows(blocks) {
        return Ok(());
    }
    let reason = "applies to units that the CPU's kernels compute as a whole: units of the built-in \
                  residuals without norm and dropout, in mode `reversible`";
    Err(Error::config(field, reason))
}
