//! Units that the kernels of `palinode-kernels` compute as a whole.
//!
//! They take ReLU units of symmetric residuals in f32 on the CPU, for every scheme but the
//! single-layer Hamiltonian; anything else goes block by block through Burn's operations.

use super::local;
use super::reversed::LastState;
use crate::node::{on_kernels, tensor, values};
use crate::residual::{Residual, Role};
use crate::scheme::{Drift, Scheme, State, Streams, Term, Update, sweep};
use burn::tensor::Tensor;
use palinode_kernels::unit::{State as Parts, Step, SymmetricUnit};

/// A unit that the kernels can compute.
pub(super) struct Fused {
    steps: Vec<Step>,
}

impl Fused {
    /// The unit, if the kernels can compute it on `input`.
    pub fn of<R: Residual>(
        residuals: &[R],
        scheme: &dyn Scheme,
        input: &Tensor<4>,
    ) -> Option<Self> {
        if !on_kernels(input)
            || residuals.is_empty()
            || !residuals.iter().all(Residual::is_relu_symmetric)
        {
            return None;
        }
        let blocks = residuals.len() / scheme.residuals_per_block();
        let steps = (0..blocks).map(|block| step(scheme.update(block)));
        steps.collect::<Option<Vec<_>>>().map(|steps| Self { steps })
    }

    /// Through all blocks.
    pub fn forward<R: Residual>(
        &self,
        residuals: &[R],
        scheme: &dyn Scheme,
        input: Tensor<4>,
    ) -> LastState {
        let (shape, device) = (input.dims(), input.device());
        let parameters = parameters(residuals, &input);
        if scheme.streams() == Streams::Two {
            let mut both = values(input);
            self.unit(half(shape), &parameters).forward(Parts::Joined(&mut both));
            return LastState { output: tensor(both, shape, &device), previous: None };
        }
        let start = sweep::open(scheme, input);
        let (mut first, mut second) = (values(start.first), values(start.second));
        self.unit(shape, &parameters).forward(Parts::Apart(&mut first, &mut second));
        LastState {
            output: tensor(second, shape, &device),
            previous: Some(tensor(first, shape, &device)),
        }
    }

    /// From the last state and the gradient with respect to the output: the gradient with respect to
    /// the input, and the parameters', flat.
    pub fn backward<R: Residual>(
        &self,
        residuals: &[R],
        scheme: &dyn Scheme,
        last: LastState,
        gradient: Tensor<4>,
    ) -> (Tensor<4>, Tensor<1>) {
        let (shape, device) = (last.output.dims(), last.output.device());
        let parameters = parameters(residuals, &last.output);
        let mut found = vec![0.0; parameters.len()];
        let length = [found.len()];
        let Some(previous) = last.previous else {
            let (mut both, mut slopes) = (values(last.output), values(gradient));
            let unit = self.unit(half(shape), &parameters);
            unit.backward(Parts::Joined(&mut both), Parts::Joined(&mut slopes), &mut found);
            return (tensor(slopes, shape, &device), tensor(found, length, &device));
        };
        let (mut first, mut second) = (values(previous), values(last.output));
        let slopes = sweep::close_gradient(scheme, gradient);
        let (mut g_first, mut g_second) = (values(slopes.first), values(slopes.second));
        self.unit(shape, &parameters).backward(
            Parts::Apart(&mut first, &mut second),
            Parts::Apart(&mut g_first, &mut g_second),
            &mut found,
        );
        let first = tensor(g_first, shape, &device);
        let second = tensor(g_second, shape, &device);
        let gradient = sweep::open_gradient(scheme, State { first, second });
        (gradient, tensor(found, length, &device))
    }

    fn unit<'a>(&'a self, shape: [usize; 4], parameters: &'a [f32]) -> SymmetricUnit<'a> {
        let [images, channels, height, width] = shape;
        SymmetricUnit { images, channels, height, width, steps: &self.steps, parameters }
    }
}

/// The shape of one stream of a state.
fn half([images, channels, height, width]: [usize; 4]) -> [usize; 4] {
    [images, channels / 2, height, width]
}

/// Kernel and bias of every residual behind each other.
fn parameters<R: Residual>(residuals: &[R], like: &Tensor<4>) -> Vec<f32> {
    values(local::flatten(residuals, like))
}

/// A block's update as a step of the kernels, if they have it.
fn step(update: Update) -> Option<Step> {
    let term =
        |term: Term| (term.role == Role::Forward).then_some((term.scale as f32, term.residual));
    Some(match update {
        Update::TwoStream { first, second } => {
            Step::TwoStream { first: term(first)?, second: term(second)? }
        }
        Update::TwoStep { drift: Drift::Previous, residual } => {
            Step::Previous { residual: term(residual)? }
        }
        Update::TwoStep { drift: Drift::Extrapolated, residual } => {
            Step::Extrapolated { residual: term(residual)? }
        }
    })
}
