//! The reversible mode: a whole unit as one autodiff node that keeps its last state alone.

use super::fused::Fused;
use super::{Blocks, local};
use crate::error::Result;
use crate::parameters::record_modules;
use crate::pass::{Memory, Phase};
use crate::profile::{Part, time};
use crate::residual::Residual;
use crate::scheme::{Scheme, State, Streams, sweep};
use burn::tensor::Tensor;
use std::sync::Arc;

pub(super) fn forward<R: Residual>(
    blocks: Blocks<'_, R>,
    input: Tensor<4>,
    phase: Phase,
) -> Result<Tensor<4>> {
    let residuals = local::detach(blocks.residuals);
    let scheme = Arc::clone(blocks.scheme);
    let count = blocks.count();

    let start = input.clone().inner();
    let mut memory = Memory::new(phase, blocks.site.clone());
    let detached = Blocks { residuals: &residuals, scheme: &scheme, ..blocks };
    let fused = Fused::of(&detached, &input);
    let kept = time(Part::Units, || match &fused {
        Some(fused) => fused.forward(&residuals, scheme.as_ref(), start),
        None => {
            let start = sweep::open(scheme.as_ref(), start);
            LastState::new(scheme.as_ref(), detached.forward(start, &mut memory))
        }
    });
    let output = kept.output.clone();

    record_modules(Part::Units, input, blocks.residuals, output, move |gradient| {
        let scheme = scheme.as_ref();
        match fused {
            Some(fused) => fused.backward(&residuals, scheme, kept, gradient),
            None => {
                let parameters = local::ParameterGradients::new(&residuals, &memory);
                pull_back(parameters, scheme, count, kept, gradient)
            }
        }
    })
}

/// Back through all blocks on small graphs of their own.
fn pull_back<R: Residual>(
    mut parameters: local::ParameterGradients<'_, R>,
    scheme: &dyn Scheme,
    count: usize,
    kept: LastState,
    gradient: Tensor<4>,
) -> (Tensor<4>, Vec<Tensor<1>>) {
    let mut state = kept.into_state(scheme);
    let mut gradient = sweep::close_gradient(scheme, gradient);
    for block in (0..count).rev() {
        let before = sweep::unstep_with_gradient(
            scheme.update(block),
            state,
            None,
            gradient,
            &mut |term, x, cotangent| parameters.pull_back(term, x, cotangent),
        );
        // A unit takes this mode under schemes alone that have an inverse.
        let Some(before) = before else { unreachable!("a block without inverse") };
        (state, gradient) = before;
    }
    (sweep::open_gradient(scheme, gradient), parameters.finish())
}

/// A unit's last state, sharing its memory with the unit's output.
pub(super) struct LastState {
    pub output: Tensor<4>,
    /// X_{N−1} where the scheme has one state; two streams are the output's own halves.
    pub previous: Option<Tensor<4>>,
}

impl LastState {
    fn new(scheme: &dyn Scheme, last: State) -> Self {
        match scheme.streams() {
            Streams::Two => Self { output: sweep::close(scheme, last), previous: None },
            Streams::One => Self { output: last.second, previous: Some(last.first) },
        }
    }

    fn into_state(self, scheme: &dyn Scheme) -> State {
        match self.previous {
            Some(first) => State { first, second: self.output },
            None => sweep::open(scheme, self.output),
        }
    }
}
