//! One reversible unit: residuals, a scheme and a mode of differentiation.

use crate::error::{Error, Result};
use crate::pass::{Memory, Phase, UnitSite};
use crate::residual::Residual;
use crate::reversible::{self, Blocks, Differentiation, Kernels};
use crate::scheme::{Scheme, State, Streams, sweep};
use burn::module::Module;
use burn::tensor::Tensor;
use std::sync::Arc;

/// N blocks of one scheme at one width: `[n, C, h, w]` → `[n, C, h, w]`.
///
/// What is integrated (`R`), how (the scheme) and how it is differentiated are three independent
/// choices; parameters do not depend on the last.
///
/// * [`forward`](Unit::forward): input → output, differentiable
/// * [`forward_state`](Unit::forward_state): input → last state, and what was kept beside it
/// * [`inverse`](Unit::inverse): these two → input
#[derive(Module, Debug)]
pub struct Unit<R: Residual> {
    /// The residuals in the order the scheme numbers them: for two per block
    /// (block 0, F₁), (block 0, F₂), (block 1, F₁), …
    pub residuals: Vec<R>,
    #[module(skip)]
    scheme: Arc<dyn Scheme>,
    #[module(skip)]
    mode: Differentiation,
    #[module(skip)]
    site: UnitSite,
    #[module(skip)]
    kernels: Kernels,
}

impl<R: Residual> Unit<R> {
    /// A unit of `residuals.len() / scheme.residuals_per_block()` blocks.
    ///
    /// # Errors
    /// [`Error::Config`] where the residuals do not make whole blocks, or the scheme has no inverse
    /// and the mode needs one; [`Error::NotRepeatable`] where the mode cannot evaluate one of them again.
    pub fn new(residuals: Vec<R>, scheme: Arc<dyn Scheme>, mode: Differentiation) -> Result<Self> {
        let per_block = scheme.residuals_per_block();
        if per_block == 0 || !residuals.len().is_multiple_of(per_block) {
            return Err(Error::config(
                "residuals",
                format!("{} residuals do not make blocks of {per_block}", residuals.len()),
            ));
        }
        mode.check(&residuals, scheme.as_ref())?;
        let site = UnitSite { unit: 0, first: 0, survival: [].into() };
        Ok(Self { residuals, scheme, mode, site, kernels: Kernels::default() })
    }

    /// The same unit as number `unit` (0 to 2) of a network: units of different numbers draw different
    /// dropout masks.
    pub fn numbered(mut self, unit: usize) -> Self {
        self.site.unit = unit;
        self
    }

    /// The same unit with stochastic depth: in every training step residual i takes part with
    /// probability `survival[i]`, elsewhere it is multiplied by it. Empty: all take part.
    pub fn with_survival(mut self, survival: impl Into<Arc<[f64]>>) -> Self {
        self.site.survival = survival.into();
        self
    }

    /// The same unit, `first` residuals of the network's unit coming before its own.
    pub(super) fn behind(mut self, first: usize) -> Self {
        self.site.first = first;
        self
    }

    /// The same unit, differentiated another way.
    ///
    /// # Errors
    /// [`Error::NotRepeatable`] where `mode` cannot evaluate one of the residuals again.
    pub fn with_mode(mut self, mode: Differentiation) -> Result<Self> {
        mode.check(&self.residuals, self.scheme())?;
        self.mode = mode;
        Ok(self)
    }

    /// The same unit, computed by the kernels another way.
    ///
    /// # Errors
    /// [`Error::Config`] where that would do nothing, or this machine cannot compute so; see [`Kernels`].
    pub fn with_kernels(mut self, kernels: Kernels) -> Result<Self> {
        kernels.check(&self.as_blocks(), self.mode)?;
        self.kernels = kernels;
        Ok(self)
    }

    /// N.
    pub fn blocks(&self) -> usize {
        self.as_blocks().count()
    }

    /// Residuals in one block.
    pub fn residuals_per_block(&self) -> usize {
        self.scheme.residuals_per_block()
    }

    /// The scheme.
    pub fn scheme(&self) -> &dyn Scheme {
        self.scheme.as_ref()
    }

    /// The unit's output, differentiable with respect to input and parameters in the unit's mode;
    /// `phase` is for norms and dropouts in the residuals.
    ///
    /// # Errors
    /// [`Error::Config`] for an odd number of channels under a two-stream scheme;
    /// [`Error::Backend`] for gradients on a backend the mode does not support.
    pub fn forward(&self, input: Tensor<4>, phase: Phase) -> Result<Tensor<4>> {
        self.check_channels(input.dims()[1])?;
        reversible::forward(self.mode, self.as_blocks(), input, phase)
    }

    /// The state after the last block, (Y_N, Z_N) or (X_{N−1}, X_N), and the batch statistics of the
    /// residuals' norms.
    ///
    /// # Errors
    /// [`Error::Config`] for an odd number of channels under a two-stream scheme.
    pub fn forward_state(&self, input: Tensor<4>, phase: Phase) -> Result<(State, Memory)> {
        self.check_channels(input.dims()[1])?;
        let mut memory = Memory::new(phase, self.site.clone());
        let state = self.as_blocks().forward(sweep::open(self.scheme(), input), &mut memory);
        Ok((state, memory))
    }

    /// The unit's output in a last state: both streams joined, or X_N.
    pub fn output(&self, last: State) -> Tensor<4> {
        sweep::close(self.scheme(), last)
    }

    /// The input, reconstructed from what [`forward_state`](Self::forward_state) gave.
    ///
    /// # Errors
    /// [`Error::Config`] where the scheme has no inverse.
    pub fn inverse(&self, last: State, memory: &Memory) -> Result<Tensor<4>> {
        let first = self.as_blocks().inverse(last, memory).ok_or_else(|| {
            Error::config("model.scheme", format!("{:?} has no inverse", self.scheme()))
        })?;
        Ok(sweep::close(self.scheme(), first))
    }

    fn as_blocks(&self) -> Blocks<'_, R> {
        Blocks {
            residuals: &self.residuals,
            scheme: &self.scheme,
            site: &self.site,
            kernels: self.kernels,
        }
    }

    fn check_channels(&self, channels: usize) -> Result<()> {
        if self.scheme.streams() == Streams::Two && !channels.is_multiple_of(2) {
            return Err(Error::config(
                "widths",
                format!("a two-stream scheme splits the channels in halves; {channels} is odd"),
            ));
        }
        Ok(())
    }
}
