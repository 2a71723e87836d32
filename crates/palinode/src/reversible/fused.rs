//! Units that the kernels of `palinode-kernels` compute as a whole.
//!
//! They take ReLU units of symmetric residuals in f32 on the CPU, for every scheme but the
//! single-layer Hamiltonian; anything else goes block by block through Burn's operations.

use super::local;
use crate::residual::{Residual, Role};
use crate::scheme::{Drift, Scheme, State, Term, Update};
use burn::tensor::{DType, Device, Tensor, TensorData};
use palinode_kernels::unit::{Step, SymmetricUnit};

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
        let on_cpu = input.dtype() == DType::F32 && input.device() == Device::flex();
        if !on_cpu || residuals.is_empty() || !residuals.iter().all(Residual::is_relu_symmetric) {
            return None;
        }
        let blocks = residuals.len() / scheme.residuals_per_block();
        let steps = (0..blocks).map(|block| step(scheme.update(block)));
        steps.collect::<Option<Vec<_>>>().map(|steps| Self { steps })
    }

    /// Through all blocks.
    pub fn forward<R: Residual>(&self, residuals: &[R], start: State) -> State {
        let shape = start.first.dims();
        let device = start.first.device();
        let parameters = parameters(residuals, &start.first);
        let (mut first, mut second) = (values(start.first), values(start.second));
        self.unit(shape, &parameters).forward(&mut first, &mut second);
        State { first: tensor(first, shape, &device), second: tensor(second, shape, &device) }
    }

    /// From the last state and the gradient with respect to it: the gradient with respect to the
    /// first state, and the parameters', flat.
    pub fn backward<R: Residual>(
        &self,
        residuals: &[R],
        last: State,
        gradient: State,
    ) -> (State, Tensor<1>) {
        let shape = last.first.dims();
        let device = last.first.device();
        let parameters = parameters(residuals, &last.first);
        let mut found = vec![0.0; parameters.len()];
        let (mut first, mut second) = (values(last.first), values(last.second));
        let (mut g_first, mut g_second) = (values(gradient.first), values(gradient.second));
        self.unit(shape, &parameters).backward(
            (&mut first, &mut second),
            (&mut g_first, &mut g_second),
            &mut found,
        );
        let first = tensor(g_first, shape, &device);
        let second = tensor(g_second, shape, &device);
        let length = found.len();
        (State { first, second }, tensor(found, [length], &device))
    }

    fn unit<'a>(&'a self, shape: [usize; 4], parameters: &'a [f32]) -> SymmetricUnit<'a> {
        let [images, channels, height, width] = shape;
        SymmetricUnit { images, channels, height, width, steps: &self.steps, parameters }
    }
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

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    // `Fused::of` admits f32 alone.
    tensor.inner().into_data().try_into_vec().unwrap_or_default()
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
