//! Units that a graphics card computes as a whole.

use super::super::blocks::Blocks;
use super::super::found::Reversed;
use super::super::half::f16_scale;
use super::super::last_state::LastState;
use super::super::watch::{Fingerprint, Watch};
use super::pieces::{Piece, pieces};
use super::plan::Plan;
use crate::cube::{UnitParameters, limits, unit_backward, unit_forward};
use crate::error::{Error, Result};
use crate::precision::NumberType;
use crate::residual::{Form, KernelForm, Residual};
use crate::scheme::{Grid, Scheme, State, Streams, sweep};
use burn::module::{ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};
use cubecl::ir::{ElemType, FloatKind};
use palinode_kernels::Context;
use palinode_kernels::cube::{CubeUnit, UnitOf};
use palinode_kernels::recurrence::{Role, Term};
use std::ops::Range;

/// Bytes that the arrays of the parameters of a piece may take, if that leaves two blocks: they exist only while the
/// piece is computed.
const PIECE_BYTES: usize = 8 << 20;

/// A unit that the kernels of a graphics card can compute.
pub struct Card {
    /// Pieces of the unit, and which residuals they have.
    pieces: Vec<(CubeUnit, Range<usize>)>,
    form: Form,
    /// Channels of one stream.
    channels: usize,
    /// Whether some residuals have a bias before K.
    input_bias: bool,
    /// The type of the factors of all products.
    precision: NumberType,
    grid: Option<Grid>,
    context: Context,
}

impl Card {
    /// The unit of `plan`, if the kernels can compute it on `input`.
    pub fn of<R: Residual>(plan: Plan, blocks: &Blocks<'_, R>, input: &Tensor<4>) -> Option<Self> {
        let Plan { updates, form: KernelForm { form, activation, .. }, grid, precision } = plan;
        // The kernels count in 32 bits; both streams of a state have at most twice as many numbers as the input.
        let numbers = 2 * input.dims().iter().product::<usize>();
        if input.dtype() != DType::F32 || u32::try_from(numbers).is_err() {
            return None;
        }
        // Where some residuals have a bias before K, zeros stand in for the others'.
        let input_bias = blocks.residuals.iter().any(has_input_bias);
        let [_, channels, height, width] = input.dims();
        let channels = match blocks.scheme.streams() {
            Streams::Two => channels / 2,
            Streams::One => channels,
        };
        let number = match precision {
            NumberType::F32 => FloatKind::F32,
            NumberType::Bf16 => FloatKind::BF16,
            NumberType::F16 => FloatKind::F16,
        };
        let number = ElemType::Float(number);
        let size = [height, width];
        let unit = UnitOf { channels, size, form, activation, input_bias, number, grid };
        let limits = limits(&input.device())?;
        let most = PIECE_BYTES / (8 * channels * channels * 9).max(1);
        let pieces = pieces(updates, blocks.residuals.len(), most).into_iter();
        let pieces = pieces.map(|Piece { updates, residuals }| {
            Some((CubeUnit::new(unit, &updates, residuals.len(), limits)?, residuals))
        });
        let pieces = pieces.collect::<Option<_>>()?;
        let context = blocks.context.clone();
        Some(Self { pieces, form, channels, input_bias, precision, grid, context })
    }

    /// The last state for `input`.
    pub fn forward<R: Residual>(
        &self,
        residuals: &[R],
        scheme: &dyn Scheme,
        input: Tensor<4>,
        watch: Option<&Watch>,
    ) -> Result<(LastState, Option<Fingerprint>)> {
        let through = |mut state: Tensor<4>| -> Result<Tensor<4>> {
            for (piece, own) in &self.pieces {
                let parameters = self.parameters(&residuals[own.clone()])?;
                state = unit_forward(state, parameters, piece.clone());
            }
            Ok(state)
        };
        let start = match scheme.streams() {
            Streams::Two => input,
            Streams::One => {
                let State { first, second } = sweep::open(scheme, input);
                Tensor::cat(vec![first, second], 1)
            }
        };
        let before = watch
            .map(|watch| watch.fingerprint(&self.context, std::slice::from_ref(&start), self.grid));
        let last = self.in_order(through(start)?);
        if scheme.streams() == Streams::Two {
            return Ok((LastState { output: last, previous: None }, before));
        }
        let State { first: previous, second: output } = self.halves(last);
        Ok((LastState { output, previous: Some(previous) }, before))
    }

    /// Back through all blocks, from the last state and the gradient with respect to the output.
    pub fn backward<R: Residual>(
        &self,
        residuals: &[R],
        scheme: &dyn Scheme,
        last: LastState,
        gradient: Tensor<4>,
        watch: Option<&Watch>,
    ) -> Result<Reversed> {
        let scale = (self.precision == NumberType::F16).then(|| f16_scale(&gradient));
        let gradient = match &scale {
            Some(scale) => gradient * scale.clone(),
            None => gradient,
        };
        let (state, gradient) = match last.previous {
            None => (last.output, gradient),
            Some(previous) => {
                let zeros = gradient.zeros_like();
                let joined = |first, second| Tensor::cat(vec![first, second], 1);
                (joined(previous, last.output), joined(zeros, gradient))
            }
        };
        let (mut state, mut gradient) = (self.in_order(state), self.in_order(gradient));
        let mut gradients = Vec::with_capacity(self.pieces.len());
        for (piece, own) in self.pieces.iter().rev() {
            let residuals = &residuals[own.clone()];
            let parameters = self.parameters(residuals)?;
            let mut found;
            (state, gradient, found) = unit_backward([state, gradient], parameters, piece.clone());
            if let Some(scale) = &scale {
                found = found / scale.clone().reshape([1, 1]);
            }
            gradients.push(self.gradients(residuals, piece.evaluations(), found));
        }
        if let Some(scale) = scale {
            gradient = gradient / scale;
        }
        let after = watch.map(|watch| watch.fingerprint(&self.context, &[state], None));
        let gradient = match scheme.streams() {
            Streams::Two => gradient,
            Streams::One => sweep::open_gradient(scheme, self.halves(gradient)),
        };
        let parameters = gradients.into_iter().rev().flatten().collect();
        Ok(Reversed { after, gradient, parameters })
    }

    /// Both parts of a joined state.
    fn halves(&self, state: Tensor<4>) -> State {
        let half = |which: usize| state.clone().narrow(1, which * self.channels, self.channels);
        State { first: half(0), second: half(1) }
    }

    /// A joined last state of the kernels in the order of the scheme, or the other way round: after an odd number of
    /// evaluations the kernels have the newest state first.
    fn in_order(&self, state: Tensor<4>) -> Tensor<4> {
        // All pieces but the last end as they begin.
        match self.pieces.last().is_some_and(|(piece, _)| piece.ends_in_first()) {
            true => {
                let State { first, second } = self.halves(state);
                Tensor::cat(vec![second, first], 1)
            }
            false => state,
        }
    }

    /// The parameters of `residuals` as the kernels take them.
    fn parameters<R: Residual>(&self, residuals: &[R]) -> Result<UnitParameters> {
        let (count, c) = (residuals.len(), self.channels);
        let [mut kernels, mut biases, mut input_biases] = [(); 3].map(|()| Vec::new());
        for residual in residuals {
            let mut found = Collect(Vec::new());
            residual.visit(&mut found);
            let lengths: Vec<usize> = found.0.iter().map(|tensor| tensor.dims()[0]).collect();
            let expected = [c * c * 9, c, c];
            let expected = if has_input_bias(residual) { &expected[..] } else { &expected[..2] };
            if lengths != expected {
                let reason = format!(
                    "`kernel_form` describes parameters of {expected:?} numbers (K, b and, with \
                     `input_bias`, a), but the residual has {lengths:?}"
                );
                let residual = std::any::type_name::<R>().to_owned();
                return Err(Error::Residual { residual, reason });
            }
            let mut found = found.0.into_iter();
            kernels.extend(found.next());
            biases.extend(found.next());
            if self.input_bias {
                let zeros = || biases.last().map(Tensor::zeros_like);
                input_biases.extend(found.next().or_else(zeros));
            }
        }
        let kernels: Tensor<5> = Tensor::cat(kernels, 0).reshape([count, c, c, 3, 3]);
        let inner = match self.form {
            Form::Symmetric | Form::Layer => kernels,
            Form::Antisymmetric => kernels.clone() - turned(kernels),
        };
        let outer = inner.clone().flip([3, 4]).permute([0, 1, 3, 4, 2]);
        let inner = inner.permute([0, 2, 3, 4, 1]);
        let biases: Tensor<2> = Tensor::cat(biases, 0).reshape([count, c]);
        let input_biases = match self.input_bias {
            true => Tensor::cat(input_biases, 0).reshape([count, c]),
            false => biases.clone(),
        };
        let weights = Tensor::cat(vec![inner, outer], 0);
        let weights = match self.precision.half() {
            Some(half) => weights.cast(half),
            None => weights,
        };
        Ok(UnitParameters { weights, biases, input_biases })
    }

    /// The gradients with respect to the parameters of `residuals`, flattened, in visiting order, from those of
    /// all `evaluations`.
    fn gradients<R: Residual>(
        &self,
        residuals: &[R],
        evaluations: &[Term],
        found: Tensor<2>,
    ) -> Vec<Tensor<1>> {
        let c = self.channels;
        let weights = c * c * 9;
        let kernels = found.clone().narrow(1, 0, weights);
        let kernels: Tensor<5> = kernels.reshape([evaluations.len(), c, c, 3, 3]);
        let kernels = match self.form {
            Form::Symmetric | Form::Layer => kernels,
            Form::Antisymmetric => kernels.clone() - turned(kernels),
        };
        let mut sums: Vec<Option<Vec<Tensor<1>>>> = vec![None; residuals.len()];
        for (number, term) in evaluations.iter().enumerate() {
            let mut kernel = kernels.clone().narrow(0, number, 1);
            if term.role == Role::Conjugate && self.form == Form::Layer {
                kernel = turned(kernel);
            }
            let vector = |from: usize| -> Tensor<1> {
                found.clone().narrow(0, number, 1).narrow(1, weights + from, c).reshape([c])
            };
            let mut own = vec![kernel.reshape([weights]), vector(0)];
            if has_input_bias(&residuals[term.residual]) {
                own.push(vector(c));
            }
            let sum = &mut sums[term.residual];
            *sum = Some(match sum.take() {
                Some(sum) => sum.into_iter().zip(own).map(|(sum, own)| sum + own).collect(),
                None => own,
            });
        }
        let zeros = |residual: &R| {
            let mut parameters = Collect(Vec::new());
            residual.visit(&mut parameters);
            parameters.0.iter().map(Tensor::zeros_like).collect()
        };
        let sums = sums.into_iter().zip(residuals);
        sums.flat_map(|(sum, residual)| sum.unwrap_or_else(|| zeros(residual))).collect()
    }
}

/// Whether a residual has a bias before K.
fn has_input_bias<R: Residual>(residual: &R) -> bool {
    residual.kernel_form().is_some_and(|form| form.input_bias)
}

/// The arrays of the adjoints: inputs and outputs exchanged, both spatial axes reversed.
fn turned(kernels: Tensor<5>) -> Tensor<5> {
    kernels.swap_dims(1, 2).flip([3, 4])
}

/// The values of all parameters, flattened.
struct Collect(Vec<Tensor<1>>);

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().inner().reshape([-1]));
    }
}
