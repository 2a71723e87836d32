//! One reversible unit: residuals, a scheme and a mode of differentiation.

use crate::device::{is_cpu, read};
use crate::error::{Error, Result};
use crate::pass::Phase;
use crate::precision::NumberType;
use crate::residual::Residual;
use crate::reversible::{
    self, Blocks, Differentiation, Evaluations, Linearized, UnitSite, Watch, check_context,
    scratch_bytes,
};
use crate::scheme::{Grid, Scheme, State, Streams, Update, sweep};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor};
use palinode_kernels::Context;
use std::sync::Arc;

/// N blocks of one scheme at one width: `[n, C, h, w]` → `[n, C, h, w]`.
///
/// The residual `R`, the scheme and the mode of differentiation are three independent choices. The
/// parameters do not depend on the mode.
///
/// * [`forward`](Unit::forward): input → output, differentiable
/// * [`forward_state`](Unit::forward_state): input → last state and batch statistics
/// * [`inverse`](Unit::inverse): last state and batch statistics → input
#[derive(Module, Debug)]
pub struct Unit<R: Residual> {
    /// The residuals in the order of the scheme's numbering. With two per block:
    /// (block 0, F₁), (block 0, F₂), (block 1, F₁), …
    pub residuals: Vec<R>,
    #[module(skip)]
    scheme: Arc<dyn Scheme>,
    #[module(skip)]
    mode: Differentiation,
    #[module(skip)]
    site: UnitSite,
    #[module(skip)]
    context: Context,
}

impl<R: Residual> Unit<R> {
    /// A unit of `residuals.len() / scheme.residuals_per_block()` blocks.
    ///
    /// # Errors
    /// [`Error::Config`] if the residuals do not make whole blocks, or if the mode needs an inverse and
    /// the scheme has none; [`Error::NotRepeatable`] if the mode evaluates residuals twice and one of
    /// them has side effects.
    pub fn new(residuals: Vec<R>, scheme: Arc<dyn Scheme>, mode: Differentiation) -> Result<Self> {
        let per_block = scheme.residuals_per_block();
        if per_block == 0 || !residuals.len().is_multiple_of(per_block) {
            return Err(Error::config(
                "residuals",
                format!("{} residuals do not make blocks of {per_block}", residuals.len()),
            ));
        }
        mode.check(&residuals, scheme.as_ref())?;
        let evaluations: usize = scheme.updates(0).iter().map(Update::evaluations).sum();
        let site = UnitSite { once: evaluations == per_block, ..UnitSite::default() };
        let context = Context::default();
        Ok(Self { residuals, scheme, mode, site, context })
    }

    /// The same unit as unit `unit` of a network. Units with different numbers draw different dropout
    /// masks.
    pub fn numbered(mut self, unit: usize) -> Self {
        self.site.unit = unit;
        self
    }

    /// The same unit with stochastic depth. In a training step, residual i is evaluated with
    /// probability `survival[i]` and dropped otherwise. In other phases its value is multiplied by
    /// `survival[i]`. If `survival` is empty, no residual is dropped.
    pub fn with_survival(mut self, survival: impl Into<Arc<[f64]>>) -> Self {
        self.site.survival = survival.into();
        self
    }

    /// The same unit with its residuals evaluated in the type `precision`.
    ///
    /// # Errors
    /// [`Error::Config`] if the device of the parameters does not compute in this type.
    pub fn with_precision(mut self, precision: NumberType) -> Result<Self> {
        if let Some(device) = self.device() {
            precision.check_on(&device)?;
        }
        self.site.precision = precision;
        Ok(self)
    }

    /// The same unit with its state on a grid in training, in every mode; `None`: any numbers. A unit whose scheme has
    /// no exact inverse stays as it is.
    pub fn with_grid(mut self, grid: Option<Grid>) -> Self {
        self.site.grid = grid.filter(|_| self.scheme.is_exact());
        self
    }

    /// The grid that the state lies on in training.
    pub fn grid(&self) -> Option<Grid> {
        self.site.grid
    }

    /// The same unit, kept in `parts` parts of nearly the same number of blocks in mode `reversible`: the state is kept
    /// after each of them, so that reconstructed states drift through the blocks of one part only. 1 is the whole unit, as
    /// is any number for a scheme whose blocks do not take the residuals in their order.
    pub fn with_parts(mut self, parts: usize) -> Self {
        self.site.parts = parts.clamp(1, self.blocks().max(1));
        self
    }

    /// In how many parts the unit is kept in mode `reversible`.
    pub fn parts(&self) -> usize {
        self.site.parts.max(1)
    }

    /// The same unit, whose drift is recorded in `watch` in every backward pass of mode `reversible`; `None`: it is not.
    pub fn with_watch(mut self, watch: Option<&Watch>) -> Self {
        self.site.watch = watch.cloned();
        self
    }

    /// The same unit after an entry of `first` residuals, which come first in the numbering.
    pub(super) fn behind(mut self, first: usize) -> Self {
        self.site.first = first;
        self
    }

    /// The same unit, differentiated in mode `mode`.
    ///
    /// # Errors
    /// [`Error::Config`] if `mode` needs an inverse and the scheme has none; [`Error::NotRepeatable`]
    /// if `mode` evaluates residuals twice and one of them has side effects.
    pub fn with_mode(mut self, mode: Differentiation) -> Result<Self> {
        mode.check(&self.residuals, self.scheme())?;
        let on_cpu = self.device().is_none_or(|device| is_cpu(&device));
        check_context(&self.as_blocks(), mode, on_cpu)?;
        self.mode = mode;
        Ok(self)
    }

    /// The same unit, computed with `context`.
    ///
    /// # Errors
    /// [`Error::Config`] if `context` asks for an algorithm or a precision that has no effect on this
    /// unit: only units of the built-in residuals without norm and dropout, in mode `reversible` and on the
    /// CPU, have a choice.
    pub fn with_context(mut self, context: &Context) -> Result<Self> {
        self.context = context.clone();
        let on_cpu = self.device().is_none_or(|device| is_cpu(&device));
        check_context(&self.as_blocks(), self.mode, on_cpu)?;
        Ok(self)
    }

    /// Bytes of working memory of the CPU's kernels in the backward pass of mode `reversible`, for input
    /// `[n, C, h, w]` and beside state and cotangent; `None` if the unit is computed block by block.
    ///
    /// # Errors
    /// [`Error::Kernels`] if the context asks for a precision that the kernels do not have.
    pub fn scratch_bytes(&self, input: [usize; 4]) -> Result<Option<usize>> {
        scratch_bytes(&self.as_blocks(), input)
    }

    /// How the unit is differentiated.
    pub fn mode(&self) -> Differentiation {
        self.mode
    }

    /// The number of blocks N.
    pub fn blocks(&self) -> usize {
        self.as_blocks().count()
    }

    /// The number of residuals in one block.
    pub fn residuals_per_block(&self) -> usize {
        self.scheme.residuals_per_block()
    }

    /// The scheme.
    pub fn scheme(&self) -> &dyn Scheme {
        self.scheme.as_ref()
    }

    /// The unit's output for `input` `[n, C, h, w]`, differentiable with respect to input and parameters
    /// in the unit's mode. `phase` is for the norms and dropouts in the residuals.
    ///
    /// # Errors
    /// [`Error::Input`] if a two-stream scheme gets an odd number of channels, or if the element type
    /// differs from the parameters'; [`Error::Residual`] if a residual changes the shape or the element
    /// type; [`Error::Config`] if a norm or dropout is misused; [`Error::Kernels`] if a residual's
    /// parameters do not match its kernel form; [`Error::Backend`] if the mode does not support
    /// gradients on the backend.
    ///
    /// # Panics
    /// In the backward pass, if the second evaluation of a residual fails.
    pub fn forward(&self, input: Tensor<4>, phase: Phase) -> Result<Tensor<4>> {
        self.check(&input)?;
        reversible::forward(self.mode, &self.as_blocks(), input, phase)
    }

    /// Whether kernels compute the unit as a whole on `input`, forward and backward: in mode `reversible`, for the
    /// built-in residuals without norm and dropout, on the CPU and where an image fits the shared memory of a graphics
    /// card. Other units are computed block by block.
    ///
    /// # Errors
    /// [`Error::Input`] as [`forward`](Self::forward).
    pub fn is_fused(&self, input: &Tensor<4>, phase: Phase) -> Result<bool> {
        self.check(input)?;
        let reversible = self.mode == Differentiation::Reversible;
        Ok(reversible && reversible::is_fused(&self.as_blocks(), input, phase))
    }

    /// The state after the last block, (Y_N, Z_N) or (X_{N−1}, X_N), and the batch statistics of the
    /// residuals' norms, which the inverse needs too.
    ///
    /// # Errors
    /// [`Error::Input`], [`Error::Residual`] and [`Error::Config`] as [`forward`](Self::forward).
    pub fn forward_state(&self, input: Tensor<4>, phase: Phase) -> Result<(State, Evaluations)> {
        self.check(&input)?;
        let blocks = self.as_blocks();
        let mut evaluations = blocks.evaluations(phase);
        let state = blocks.forward(sweep::open(self.scheme(), input), &mut evaluations)?;
        Ok((state, evaluations))
    }

    /// The largest absolute value of a number of the state, over all blocks.
    ///
    /// # Errors
    /// As [`forward_state`](Self::forward_state), and [`Error::Device`] if the device fails.
    pub fn largest_state(&self, input: Tensor<4>, phase: Phase) -> Result<f64> {
        self.check(&input)?;
        let blocks = self.as_blocks();
        let start = sweep::open(self.scheme(), input.inner());
        let mut found: Vec<Tensor<1>> = Vec::new();
        blocks.forward_past(start, &mut blocks.evaluations(phase), &mut |state| {
            found
                .extend([&state.first, &state.second].map(|part| part.clone().inner().abs().max()));
        })?;
        // A NaN counts as infinite.
        let larger = |most: f64, own: f64| if own.is_nan() { f64::INFINITY } else { own.max(most) };
        Ok(read(Tensor::cat(found, 0))?.into_iter().fold(0.0, larger))
    }

    /// The unit's output for the state after the last block: both streams joined, or X_N.
    pub fn output(&self, last: State) -> Tensor<4> {
        sweep::close(self.scheme(), last)
    }

    /// The input, reconstructed from the results of [`forward_state`](Self::forward_state).
    ///
    /// # Errors
    /// [`Error::NoInverse`] if the scheme has no inverse; [`Error::Residual`] and [`Error::Config`] as
    /// [`forward`](Self::forward).
    pub fn inverse(&self, last: State, evaluations: &Evaluations) -> Result<Tensor<4>> {
        let first = self.as_blocks().inverse(last, evaluations)?;
        Ok(sweep::close(self.scheme(), first))
    }

    /// The unit's derivative at `input`, by products with vectors.
    ///
    /// # Errors
    /// As [`forward_state`](Self::forward_state).
    pub fn linearized(&self, input: Tensor<4>) -> Result<Linearized<R>> {
        self.check(&input)?;
        Linearized::of(&self.as_blocks(), input)
    }

    /// For every block an upper bound of |hλ|, where λ is any eigenvalue of the Jacobian of its right-hand side at any state
    /// of images of `size` = `[h, w]`: h‖K₁‖‖K₂‖ for the two-layer Hamiltonian network, h‖K‖ for leapfrog and the
    /// single-layer Hamiltonian network, h‖K − Kᵀ‖ for midpoint. The scheme's
    /// [limit](Scheme::stability_region) applies to it. The norms come from power iteration, so they are from below, within
    /// 1 %. `None` if a residual has no [bound](Residual::lipschitz_bound).
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub fn frequency_bounds(&self, size: [usize; 2]) -> Result<Option<Vec<f64>>> {
        let bounds = self.as_blocks().lipschitz_bounds(size)?;
        let (scheme, h) = (self.scheme(), self.scheme.time_step());
        Ok(bounds.and_then(|bounds| {
            let lipschitz = |residual: usize| bounds.get(residual).copied().unwrap_or(f64::NAN);
            let of = |block| Some(h * scheme.field(block)?.frequency_bound(&lipschitz));
            (0..self.blocks()).map(of).collect()
        }))
    }

    fn as_blocks(&self) -> Blocks<'_, R> {
        Blocks {
            residuals: &self.residuals,
            scheme: &self.scheme,
            site: &self.site,
            context: &self.context,
        }
    }

    /// Checks the number of channels and the element type of an input.
    fn check(&self, input: &Tensor<4>) -> Result<()> {
        let channels = input.dims()[1];
        if self.scheme.streams() == Streams::Two && !channels.is_multiple_of(2) {
            return Err(Error::Input {
                found: format!("{channels} channels"),
                expected: "an even number, since a two-stream scheme splits them into halves"
                    .into(),
            });
        }
        match self.dtype() {
            Some(dtype) if dtype != input.dtype() => Err(Error::Input {
                found: format!("{:?}", input.dtype()),
                expected: format!("{dtype:?}, the type of the unit's parameters"),
            }),
            _ => Ok(()),
        }
    }

    /// The element type of the parameters; `None` if there are none.
    fn dtype(&self) -> Option<DType> {
        self.kind().map(|(dtype, _)| dtype)
    }

    /// The device of the parameters; `None` if there are none.
    fn device(&self) -> Option<Device> {
        self.kind().map(|(_, device)| device)
    }

    fn kind(&self) -> Option<(DType, Device)> {
        struct Visitor(Option<(DType, Device)>);
        impl ModuleVisitor for Visitor {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.0.get_or_insert_with(|| (param.val().dtype(), param.val().device()));
            }
        }
        let mut visitor = Visitor(None);
        self.residuals.first().into_iter().for_each(|residual| residual.visit(&mut visitor));
        visitor.0
    }
}
