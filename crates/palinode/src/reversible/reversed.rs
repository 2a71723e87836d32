//! The reversible mode: a whole unit is one autodiff node, which keeps only the last state. A unit may be cut into
//! parts, each of which is such a node.

use super::blocks::Blocks;
use super::evaluations::Evaluations;
use super::found::Reversed;
use super::fused::Fused;
use super::last_state::LastState;
use super::local;
use super::part::{part, ranges};
use super::watch::Watch;
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
    let scheme = blocks.scheme.as_ref();
    let each = scheme.residuals_per_block();
    let in_order = |block: usize| {
        let own = block * each..(block + 1) * each;
        scheme
            .updates(block)
            .iter()
            .all(|update| update.terms().all(|term| own.contains(&term.residual)))
    };
    if blocks.site.parts <= 1 || blocks.count() <= 1 || !(0..blocks.count()).all(in_order) {
        return whole(blocks, input, phase);
    }
    let start = sweep::open(scheme, input).rounded(blocks.site.grid_in(phase));
    let mut packed = start.joined();
    for range in ranges(blocks.count(), blocks.site.parts) {
        let residuals = &blocks.residuals[range.start * each..range.end * each];
        let (site, scheme) = part(blocks, range);
        let own = Blocks { residuals, scheme: &scheme, site: &site, context: blocks.context };
        packed = whole(&own, packed, phase)?;
    }
    Ok(sweep::close(scheme, State::split(packed)))
}

/// A unit, or a part of one, as one node.
fn whole<R: Residual>(blocks: &Blocks<'_, R>, input: Tensor<4>, phase: Phase) -> Result<Tensor<4>> {
    let scheme = Arc::clone(blocks.scheme);
    let context = blocks.context;
    let count = blocks.count();

    let start = input.clone().inner();
    let mut evaluations = blocks.evaluations(phase);
    let fused = Fused::of(blocks, &input, phase).map(|fused| fused.with(blocks.residuals));
    let fused = fused.transpose()?;
    // Kernels keep what they need.
    let residuals = if fused.is_some() { Vec::new() } else { local::detach(blocks.residuals) };
    let detached = Blocks { residuals: &residuals, scheme: &scheme, ..*blocks };
    let watch = blocks.site.watch.clone();
    let (kept, before) = context.profile().time(Section::Units, || match &fused {
        Some(fused) => fused.forward(scheme.as_ref(), start, watch.as_ref()),
        None => {
            let start = sweep::open(scheme.as_ref(), start);
            let grid = evaluations.grid();
            let parts = [&start.first, &start.second].map(Clone::clone);
            let before = watch.as_ref().map(|watch| watch.fingerprint(context, &parts, grid));
            let last = detached.forward(start, &mut evaluations)?;
            Ok((LastState::new(scheme.as_ref(), last), before))
        }
    })?;
    let output = kept.output.clone();

    let profiled = (context, Section::Units);
    let (unit, own_context) = (blocks.site.unit, context.clone());
    record_modules(profiled, input, blocks.residuals, output, move |gradient| {
        let (scheme, watch) = (scheme.as_ref(), watch.as_ref());
        let found = match fused {
            Some(fused) => fused.backward(scheme, kept, gradient, watch),
            None => {
                let watch = watch.map(|watch| (watch, &own_context));
                backward(&residuals, &evaluations, (scheme, count), (kept, gradient), watch)
            }
        };
        // Burn's backward pass cannot return an error. None is expected, since the forward pass has
        // evaluated the same residuals on the same shapes.
        let Reversed { after, gradient, parameters } =
            found.unwrap_or_else(|error| panic!("backward pass of a reversible unit: {error}"));
        if let (Some(watch), Some(before), Some(after)) = (watch, before, after) {
            watch.compare(&own_context, unit, before, after);
        }
        (gradient, parameters)
    })
}

/// Back through all blocks, one at a time from the last.
fn backward<R: Residual>(
    residuals: &[R],
    evaluations: &Evaluations,
    (scheme, count): (&dyn Scheme, usize),
    (kept, gradient): (LastState, Tensor<4>),
    watch: Option<(&Watch, &Context)>,
) -> Result<Reversed> {
    let mut parameters = local::ParameterGradients::new(0, residuals, evaluations);
    let grid = evaluations.grid();
    let mut state: State = kept.into_state(scheme);
    let mut gradient = sweep::close_gradient(scheme, gradient);
    for block in (0..count).rev() {
        (state, gradient) = sweep::Block { scheme, block, grid }.unstep_with_gradient(
            state,
            None,
            gradient,
            &mut |evaluation, x| {
                evaluations.value_again(&residuals[evaluation.residual], evaluation, x)
            },
            &mut |evaluation, x, cotangent| parameters.vjp(evaluation, x, cotangent),
        )?;
    }
    let gradient = sweep::open_gradient(scheme, gradient);
    let parts = [state.first, state.second];
    let after = watch.map(|(watch, context)| watch.fingerprint(context, &parts, None));
    Ok(Reversed { after, gradient, parameters: parameters.finish() })
}
