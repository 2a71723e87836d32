//! The reversible mode: a whole unit is one autodiff node, which keeps only the last state.

use super::blocks::Blocks;
use super::fused::Fused;
use super::last_state::LastState;
use super::local;
use crate::autodiff::record_modules;
use crate::error::Result;
use crate::pass::Phase;
use crate::residual::Residual;
use crate::scheme::{Grid, Scheme, sweep};
use burn::tensor::Tensor;
use palinode_kernels::profile::Section;
use std::sync::Arc;

pub(super) fn forward<R: Residual>(
    blocks: &Blocks<'_, R>,
    input: Tensor<4>,
    phase: Phase,
) -> Result<Tensor<4>> {
    let residuals = local::detach(blocks.residuals);
    let scheme = Arc::clone(blocks.scheme);
    let context = blocks.context;
    let count = blocks.count();

    let start = input.clone().inner();
    let mut evaluations = blocks.evaluations(phase);
    let detached = Blocks { residuals: &residuals, scheme: &scheme, ..*blocks };
    let fused = Fused::of(&detached, &input, phase);
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
            None => {
                let parameters = local::ParameterGradients::new(0, &residuals, &evaluations);
                let grid = evaluations.grid();
                backward(parameters, (scheme, grid), count, kept, gradient)
            }
        };
        // Burn's backward pass cannot return an error. None is expected, since the forward pass has
        // evaluated the same residuals on the same shapes.
        found.unwrap_or_else(|error| panic!("backward pass of a reversible unit: {error}"))
    })
}

/// The gradients with respect to the input and the parameters, one block at a time from the last.
fn backward<R: Residual>(
    mut parameters: local::ParameterGradients<'_, R>,
    (scheme, grid): (&dyn Scheme, Option<Grid>),
    count: usize,
    kept: LastState,
    gradient: Tensor<4>,
) -> Result<(Tensor<4>, Vec<Tensor<1>>)> {
    let mut state = kept.into_state(scheme);
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
    Ok((sweep::open_gradient(scheme, gradient), parameters.finish()))
}
