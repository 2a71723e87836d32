//! The reversible mode: a whole unit is one autodiff node, which keeps only the last state. A unit may be cut into
//! parts, each of which is such a node.

use super::blocks::Blocks;
use super::evaluations::Evaluations;
use super::fused::Fused;
use super::last_state::LastState;
use super::local;
use super::part::{pack, part, ranges, unpack};
use super::watch::{Fingerprint, Start, Watch};
use crate::autodiff::record_modules;
use crate::error::Result;
use crate::pass::Phase;
use crate::residual::Residual;
use crate::scheme::{Scheme, State, sweep};
use burn::tensor::Tensor;
use palinode_kernels::Context;
use palinode_kernels::profile::Section;
use std::sync::Arc;

pub(super) fn forward<R: Residual>(
    blocks: &Blocks<'_, R>,
    input: Tensor<4>,
    phase: Phase,
) -> Result<Tensor<4>> {
    if blocks.site.parts <= 1 || blocks.count() <= 1 {
        return whole(blocks, input, phase);
    }
    let scheme = blocks.scheme.as_ref();
    let each = scheme.residuals_per_block();
    let start = sweep::open(scheme, input).rounded(blocks.site.grid_in(phase));
    let mut packed = pack(start);
    for range in ranges(blocks.count(), blocks.site.parts) {
        let residuals = &blocks.residuals[range.start * each..range.end * each];
        let (site, scheme) = part(blocks, range);
        let own = Blocks { residuals, scheme: &scheme, site: &site, context: blocks.context };
        packed = whole(&own, packed, phase)?;
    }
    Ok(sweep::close(scheme, unpack(packed)))
}

/// A unit, or a part of one, as one node.
fn whole<R: Residual>(blocks: &Blocks<'_, R>, input: Tensor<4>, phase: Phase) -> Result<Tensor<4>> {
    let residuals = local::detach(blocks.residuals);
    let scheme = Arc::clone(blocks.scheme);
    let context = blocks.context;
    let count = blocks.count();

    let start = input.clone().inner();
    let mut evaluations = blocks.evaluations(phase);
    let detached = Blocks { residuals: &residuals, scheme: &scheme, ..*blocks };
    let fused = Fused::of(&detached, &input, phase);
    let watched = Watched::of(blocks, phase, fused.is_some(), &start);
    let kept = context.profile().time(Section::Units, || match &fused {
        Some(fused) => fused.forward(&residuals, scheme.as_ref(), start),
        None => {
            let start = sweep::open(scheme.as_ref(), start);
            let last = detached.forward(start, &mut evaluations)?;
            Ok(LastState::new(scheme.as_ref(), last))
        }
    })?;
    let output = kept.output.clone();

    let profiled = (context, Section::Units);
    record_modules(profiled, input, blocks.residuals, output, move |gradient| {
        let scheme = scheme.as_ref();
        let found = match fused {
            Some(fused) => fused.backward(&residuals, scheme, kept, gradient),
            None => backward(&residuals, &evaluations, (scheme, count), kept, gradient),
        };
        // Burn's backward pass cannot return an error. None is expected, since the forward pass has
        // evaluated the same residuals on the same shapes.
        let Reversed { start, gradient, parameters } =
            found.unwrap_or_else(|error| panic!("backward pass of a reversible unit: {error}"));
        if let Some(watched) = watched {
            watched.compare(&start);
        }
        (gradient, parameters)
    })
}

/// What a backward pass finds.
pub(super) struct Reversed {
    /// The state before the first block, reconstructed.
    pub start: Start,
    /// The gradient with respect to the input.
    pub gradient: Tensor<4>,
    /// The gradients with respect to the parameters, flattened, in visiting order.
    pub parameters: Vec<Tensor<1>>,
}

/// A unit whose first state is compared with the one that comes back.
struct Watched {
    watch: Watch,
    unit: usize,
    context: Context,
    before: Fingerprint,
}

impl Watched {
    /// The unit, if it is watched.
    fn of<R: Residual>(
        blocks: &Blocks<'_, R>,
        phase: Phase,
        fused: bool,
        input: &Tensor<4>,
    ) -> Option<Self> {
        let (watch, context) = (blocks.site.watch.clone()?, blocks.context.clone());
        let scheme = blocks.scheme.as_ref();
        let start = match fused {
            true => Fused::start(scheme, input.clone()),
            false => sweep::open(scheme, input.clone()).into(),
        };
        let before = watch.fingerprint(&context, &start, blocks.site.grid_in(phase));
        Some(Self { watch, unit: blocks.site.unit, context, before })
    }

    fn compare(self, after: &Start) {
        let after = self.watch.fingerprint(&self.context, after, None);
        self.watch.compare(self.unit, self.before, after);
    }
}

/// Back through all blocks, one at a time from the last.
fn backward<R: Residual>(
    residuals: &[R],
    evaluations: &Evaluations,
    (scheme, count): (&dyn Scheme, usize),
    kept: LastState,
    gradient: Tensor<4>,
) -> Result<Reversed> {
    let mut parameters = local::ParameterGradients::new(0, residuals, evaluations);
    let grid = evaluations.grid();
    let mut state: State = kept.into_state(scheme);
    let mut gradient = sweep::close_gradient(scheme, gradient);
    for block in (0..count).rev() {
        (state, gradient) = sweep::unstep_with_gradient(
            (scheme.update(block), grid),
            state,
            None,
            gradient,
            &mut |term, x, cotangent| parameters.vjp(term, x, cotangent),
        )?;
    }
    let gradient = sweep::open_gradient(scheme, gradient);
    Ok(Reversed { start: state.into(), gradient, parameters: parameters.finish() })
}
