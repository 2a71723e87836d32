//! Units that the kernels of `palinode-kernels` compute as a whole.
//!
//! They take units of the built-in residuals in f32 on the CPU, under every scheme; anything else goes
//! block by block through Burn's operations.

use super::local;
use super::reversed::LastState;
use crate::node::{on_kernels, tensor, values};
use crate::residual::{KernelForm, Residual, Role};
use crate::scheme::{Drift, Scheme, State, Streams, Term, Update, sweep};
use burn::tensor::{Device, Tensor};
use palinode_kernels::unit::{State as Parts, Step, Term as Part, Unit};

/// A unit that the kernels can compute.
pub(super) struct Fused {
    steps: Vec<Step>,
    /// Of all residuals; `input_bias` where any has one.
    form: KernelForm,
    /// Whether each residual has an a of its own; the others are given zeros.
    input_biases: Vec<bool>,
}

impl Fused {
    /// The unit, if the kernels can compute it on `input`.
    pub fn of<R: Residual>(
        residuals: &[R],
        scheme: &dyn Scheme,
        input: &Tensor<4>,
    ) -> Option<Self> {
        if !on_kernels(input) {
            return None;
        }
        let forms: Vec<KernelForm> =
            residuals.iter().map(Residual::kernel_form).collect::<Option<_>>()?;
        let same =
            |a: &KernelForm, b: &KernelForm| (a.form, a.activation) == (b.form, b.activation);
        let first = *forms.first()?;
        if !forms.iter().all(|form| same(form, &first)) {
            return None;
        }
        let input_biases: Vec<bool> = forms.iter().map(|form| form.input_bias).collect();
        let form = KernelForm { input_bias: input_biases.contains(&true), ..first };
        let blocks = residuals.len() / scheme.residuals_per_block();
        let steps: Vec<Step> = (0..blocks).map(|block| step(scheme.update(block))).collect();
        each_residual_in_one_step(&steps, residuals.len()).then_some(Self {
            steps,
            form,
            input_biases,
        })
    }

    /// Through all blocks.
    pub fn forward<R: Residual>(
        &self,
        residuals: &[R],
        scheme: &dyn Scheme,
        input: Tensor<4>,
    ) -> LastState {
        let (shape, device) = (input.dims(), input.device());
        let parameters = self.parameters(residuals, &input);
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
        let parameters = self.parameters(residuals, &last.output);
        let mut found = vec![0.0; parameters.len()];
        let Some(previous) = last.previous else {
            let (mut both, mut slopes) = (values(last.output), values(gradient));
            let unit = self.unit(half(shape), &parameters);
            unit.backward(Parts::Joined(&mut both), Parts::Joined(&mut slopes), &mut found);
            return (tensor(slopes, shape, &device), self.flat(found, shape[1] / 2, &device));
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
        (gradient, self.flat(found, shape[1], &device))
    }

    fn unit<'a>(&'a self, shape: [usize; 4], parameters: &'a [f32]) -> Unit<'a> {
        let [images, channels, height, width] = shape;
        let KernelForm { form, activation, input_bias } = self.form;
        let steps = &self.steps;
        Unit { images, channels, height, width, form, activation, input_bias, steps, parameters }
    }

    /// Kernel, bias and input bias of every residual behind each other.
    fn parameters<R: Residual>(&self, residuals: &[R], like: &Tensor<4>) -> Vec<f32> {
        let own = values(local::flatten(residuals, like));
        if self.input_biases.iter().all(|has| *has == self.form.input_bias) {
            return own;
        }
        // Each residual's own parameters, and zeros where it has no a.
        let [_, both, ..] = like.dims();
        let channels = if self.is_two_stream() { both / 2 } else { both };
        let mut all = Vec::with_capacity(own.len() + channels * self.input_biases.len());
        let mut rest = own.as_slice();
        for has in &self.input_biases {
            let length = channels * (9 * channels + if *has { 2 } else { 1 });
            let (residual, others) = rest.split_at(length);
            all.extend_from_slice(residual);
            all.extend(std::iter::repeat_n(0.0, if *has { 0 } else { channels }));
            rest = others;
        }
        all
    }

    /// The gradient in the order of the residuals' own parameters.
    fn flat(&self, mut all: Vec<f32>, channels: usize, device: &Device) -> Tensor<1> {
        if self.form.input_bias {
            let length = channels * (9 * channels + 2);
            let residuals = all.chunks(length).zip(&self.input_biases);
            all = residuals
                .flat_map(|(residual, has)| {
                    &residual[..if *has { length } else { length - channels }]
                })
                .copied()
                .collect();
        }
        let length = [all.len()];
        tensor(all, length, device)
    }

    fn is_two_stream(&self) -> bool {
        matches!(self.steps.first(), Some(Step::TwoStream { .. }))
    }
}

/// Whether no two steps share a residual, and all name one of `count`: what the kernels ask of a scheme.
fn each_residual_in_one_step(steps: &[Step], count: usize) -> bool {
    let mut taken = vec![false; count];
    steps.iter().all(|step| {
        let (one, other) = match step {
            Step::TwoStream { first, second } => (first.residual, second.residual),
            Step::Previous(term) | Step::Extrapolated(term) => (term.residual, term.residual),
        };
        let free = one.max(other) < count && !taken[one] && !taken[other];
        if free {
            (taken[one], taken[other]) = (true, true);
        }
        free
    })
}

/// The shape of one stream of a state.
fn half([images, channels, height, width]: [usize; 4]) -> [usize; 4] {
    [images, channels / 2, height, width]
}

/// A block's update as a step of the kernels.
fn step(update: Update) -> Step {
    let part = |term: Term| Part {
        scale: term.scale as f32,
        residual: term.residual,
        conjugate: term.role == Role::Conjugate,
    };
    match update {
        Update::TwoStream { first, second } => {
            Step::TwoStream { first: part(first), second: part(second) }
        }
        Update::TwoStep { drift: Drift::Previous, residual } => Step::Previous(part(residual)),
        Update::TwoStep { drift: Drift::Extrapolated, residual } => {
            Step::Extrapolated(part(residual))
        }
    }
}
