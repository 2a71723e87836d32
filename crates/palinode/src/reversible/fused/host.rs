//! Units that the CPU computes as a whole.

use super::super::blocks::Blocks;
use super::super::found::Reversed;
use super::super::last_state::LastState;
use super::super::watch::Fingerprint;
use super::plan::Plan;
use crate::autodiff::{View, on_kernels, tensor, values, views};
use crate::error::{Error, Result};
use crate::precision::NumberType;
use crate::residual::{KernelForm, Residual};
use crate::scheme::{Grid, Scheme, State, Streams, sweep};
use burn::tensor::{Device, Tensor};
use palinode_kernels::recurrence::Update;
use palinode_kernels::unit::{Gradients, Parameters, StateSlices, UnitKernel};
use palinode_kernels::{Algorithm, Context, Precision};

/// A unit that the CPU's kernels can compute.
pub struct Host {
    updates: Vec<Update>,
    /// The form of all residuals, except for `input_bias`, which may differ between them.
    form: KernelForm,
    grid: Option<Grid>,
    algorithm: Algorithm,
    gradients: Precision,
    context: Context,
}

impl Host {
    /// The unit of `plan`, if the kernels can compute it on `input`.
    pub fn of<R: Residual>(plan: Plan, blocks: &Blocks<'_, R>, input: &Tensor<4>) -> Option<Self> {
        if !on_kernels(input) {
            return None;
        }
        let [.., height, width] = input.dims();
        Self::of_size(plan, blocks.context, [height, width])
    }

    /// The unit of `plan` on images of this size, if the kernels can compute it.
    pub fn of_size(plan: Plan, context: &Context, size: [usize; 2]) -> Option<Self> {
        let Plan { updates, form, grid, precision } = plan;
        if precision != NumberType::F32 {
            return None;
        }
        let algorithm = context.algorithm().unwrap_or_else(|| Algorithm::quickest(size));
        let (gradients, context) = (context.gradients(), context.clone());
        Some(Self { updates, form, grid, algorithm, gradients, context })
    }

    /// The same unit, computed by `algorithm`.
    pub fn by(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// The last state for `input`.
    ///
    /// # Errors
    /// [`Error::Kernels`] if a parameter has another length than its residual needs.
    pub fn forward(
        &self,
        parameters: &Numbers,
        scheme: &dyn Scheme,
        input: Tensor<4>,
        watched: bool,
    ) -> Result<(LastState, Option<Fingerprint>)> {
        // What the convolutions before the unit have used would add to this unit's working memory.
        self.context.release_scratch();
        let (shape, device) = (input.dims(), input.device());
        let parameters = parameters.split();
        let unit = self.unit(state_shape(scheme, shape), &parameters);
        if scheme.streams() == Streams::Two {
            let mut both = values(input);
            let before = self.sweep(&unit, StateSlices::Joined(&mut both), watched)?;
            let last = LastState { output: tensor(both, shape, &device), previous: None };
            return Ok((last, before));
        }
        let start = sweep::open(scheme, input);
        let (mut first, mut second) = (values(start.first), values(start.second));
        let before = self.sweep(&unit, StateSlices::Apart(&mut first, &mut second), watched)?;
        let last = LastState {
            output: tensor(second, shape, &device),
            previous: Some(tensor(first, shape, &device)),
        };
        Ok((last, before))
    }

    /// A state forward through all blocks, and what it was before them, if it is watched.
    fn sweep(
        &self,
        unit: &UnitKernel<'_>,
        state: StateSlices<'_>,
        watched: bool,
    ) -> Result<Option<Fingerprint>> {
        if watched {
            let found = self.swept(unit.forward_watched(&self.context, state))?;
            return Ok(Some(Fingerprint::OnHost(found)));
        }
        self.swept(unit.forward(&self.context, state))?;
        Ok(None)
    }

    /// State and gradient back through all blocks, and what the state then is, if it is watched.
    fn back(
        &self,
        unit: &UnitKernel<'_>,
        [state, gradient]: [StateSlices<'_>; 2],
        gradients: Vec<Gradients<'_>>,
        watched: bool,
    ) -> Result<Option<Fingerprint>> {
        let context = &self.context;
        if watched {
            let found = self.swept(unit.backward_watched(context, state, gradient, gradients))?;
            return Ok(Some(Fingerprint::OnHost(found)));
        }
        self.swept(unit.backward(context, state, gradient, gradients))?;
        Ok(None)
    }

    /// Back through all blocks, from the last state and the gradient with respect to the output.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn backward(
        &self,
        parameters: &Numbers,
        scheme: &dyn Scheme,
        last: LastState,
        gradient: Tensor<4>,
        watched: bool,
    ) -> Result<Reversed> {
        let (shape, device) = (last.output.dims(), last.output.device());
        let mut found = parameters.zeros();
        let gradients = found.iter_mut().map(ParameterSums::split).collect();
        let parameters = parameters.split();
        let unit = self.unit(state_shape(scheme, shape), &parameters);
        let (after, gradient) = match last.previous {
            None => {
                let (mut both, mut gradient) = (values(last.output), values(gradient));
                let states = [&mut both, &mut gradient].map(|both| StateSlices::Joined(both));
                let after = self.back(&unit, states, gradients, watched)?;
                (after, tensor(gradient, shape, &device))
            }
            Some(previous) => {
                let (mut first, mut second) = (values(previous), values(last.output));
                let State { first: g_first, second: g_second } =
                    sweep::close_gradient(scheme, gradient);
                let (mut g_first, mut g_second) = (values(g_first), values(g_second));
                let states = [
                    StateSlices::Apart(&mut first, &mut second),
                    StateSlices::Apart(&mut g_first, &mut g_second),
                ];
                let after = self.back(&unit, states, gradients, watched)?;
                let state = |first, second| State {
                    first: tensor(first, shape, &device),
                    second: tensor(second, shape, &device),
                };
                let gradient = sweep::open_gradient(scheme, state(g_first, g_second));
                (after, gradient)
            }
        };
        let parameters = found.into_iter().flat_map(|sums| sums.into_tensors(&device)).collect();
        Ok(Reversed { after, gradient, parameters })
    }

    /// The end of a sweep: its working memory goes back to the system.
    ///
    /// It is used again for all chunks and blocks of a sweep. Kept from unit to unit, the largest unit's
    /// would add to the peak, which the first unit's backward pass reaches.
    fn swept<T>(&self, result: std::result::Result<T, palinode_kernels::Error>) -> Result<T> {
        self.context.release_scratch();
        Ok(result?)
    }

    /// Bytes of working memory that the backward pass needs for input `[n, C, h, w]`. `input_bias` says whether any residual
    /// has an a.
    ///
    /// # Errors
    /// [`Error::Kernels`] if the context asks for a precision that the kernels do not have.
    pub fn scratch_bytes(
        &self,
        scheme: &dyn Scheme,
        input: [usize; 4],
        input_bias: bool,
    ) -> Result<usize> {
        let input_bias = &[0.0][..usize::from(input_bias)];
        let parameters = [Parameters { kernel: &[], bias: &[], input_bias }];
        Ok(self.unit(state_shape(scheme, input), &parameters).scratch_bytes(&self.context)?)
    }

    fn unit<'a>(&'a self, shape: [usize; 4], parameters: &'a [Parameters<'a>]) -> UnitKernel<'a> {
        let [images, channels, height, width] = shape;
        let KernelForm { form, activation, .. } = self.form;
        let Self { updates, algorithm, gradients, .. } = self;
        let (algorithm, gradients) = (*algorithm, *gradients);
        UnitKernel {
            images,
            channels,
            height,
            width,
            form,
            activation,
            algorithm,
            gradients,
            grid: self.grid,
            updates,
            parameters,
        }
    }
}

/// The values of K, b and, if present, a of all residuals, read without copies where possible.
pub struct Numbers(Vec<Vec<View>>);

impl Numbers {
    /// Those of `residuals`.
    ///
    /// # Errors
    /// [`Error::Residual`] if a residual has more or fewer parameters than its [`KernelForm`].
    pub fn of<R: Residual>(residuals: &[R]) -> Result<Self> {
        let of = |residual: &R| {
            let arrays = views(residual);
            let form = residual.kernel_form();
            let expected = form.map_or(0, |form| if form.input_bias { 3 } else { 2 });
            if arrays.len() == expected {
                return Ok(arrays);
            }
            let reason = format!(
                "`kernel_form` describes {expected} parameters (K, b and, with `input_bias`, a), but \
                 the residual has {}",
                arrays.len()
            );
            Err(Error::Residual { residual: std::any::type_name::<R>().to_owned(), reason })
        };
        Ok(Self(residuals.iter().map(of).collect::<Result<_>>()?))
    }

    fn split(&self) -> Vec<Parameters<'_>> {
        self.0.iter().map(|residual| parameters(residual)).collect()
    }

    /// Sums for the gradients with respect to them, zero at first.
    fn zeros(&self) -> Vec<ParameterSums> {
        let zeros = |view: &View| vec![0.0; view.len()];
        self.0.iter().map(|residual| ParameterSums(residual.iter().map(zeros).collect())).collect()
    }
}

/// The parameters of one residual, whose number [`Numbers::of`] has checked. Without a, that array is
/// empty, as the kernels expect.
fn parameters(residual: &[View]) -> Parameters<'_> {
    let array = |index: usize| residual.get(index).map_or(&[][..], |view| view);
    Parameters { kernel: array(0), bias: array(1), input_bias: array(2) }
}

/// The gradients with respect to one residual's parameters.
struct ParameterSums(Vec<Vec<f32>>);

impl ParameterSums {
    fn split(&mut self) -> Gradients<'_> {
        let mut arrays = self.0.iter_mut().map(Vec::as_mut_slice);
        let mut next = || arrays.next().unwrap_or(&mut []);
        Gradients { kernel: next(), bias: next(), input_bias: next() }
    }

    fn into_tensors(self, device: &Device) -> impl Iterator<Item = Tensor<1>> {
        self.0.into_iter().map(|sums| {
            let length = [sums.len()];
            tensor(sums, length, device)
        })
    }
}

/// The shape of each of the two tensors of a state, from the shape of a unit's input.
fn state_shape(scheme: &dyn Scheme, [images, channels, height, width]: [usize; 4]) -> [usize; 4] {
    match scheme.streams() {
        Streams::Two => [images, channels / 2, height, width],
        Streams::One => [images, channels, height, width],
    }
}
