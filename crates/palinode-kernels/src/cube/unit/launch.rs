//! Launches of the kernels for units.

use super::super::buffer::{beginning, exactly, exactly_of};
use super::super::sum::{PARTIAL_BYTES, sum_slots};
use super::backward::backward_kernel;
use super::forward::forward_kernel;
use super::shape::{Limits, UnitOf, UnitShape};
use crate::error::Error;
use crate::form::Form;
use crate::recurrence::{Drift, Role, Term, Update, check_updates};
use cubecl::client::Client;
use cubecl::prelude::*;
use cubecl::server::Handle;

/// Images are shared out to so many cubes in the backward pass, or to as many as [`PARTIAL_BYTES`] allow. It depends
/// on nothing but the unit, as the bits of the gradients do.
const CUBES: usize = 128;

/// Cubes in one row of a launch.
const ROW: usize = 32_768;

/// How a block goes on from the states; `None` if it has one state only.
fn drift_of(update: &Update) -> Option<Drift> {
    match *update {
        Update::TwoStream { .. } => Some(Drift::Previous),
        Update::TwoStep { drift, .. } => Some(drift),
        Update::OneStep { .. } => None,
    }
}

/// A unit on a graphics card, its blocks as evaluations of residuals.
#[derive(Clone, Debug)]
pub struct CubeUnit {
    shape: UnitShape,
    residuals: usize,
    evaluations: Vec<Term>,
}

impl CubeUnit {
    /// The unit of `updates` with `residuals` residuals, on a device with `limits`; `None` if the device or these
    /// kernels cannot compute it.
    pub fn new(unit: UnitOf, updates: &[Update], residuals: usize, limits: Limits) -> Option<Self> {
        check_updates(updates, residuals).ok()?;
        let drift = drift_of(updates.first()?)?;
        // The streams take turns in every unit of one kind.
        let kind = std::mem::discriminant(updates.first()?);
        let same =
            |update| (std::mem::discriminant(update), drift_of(update)) == (kind, Some(drift));
        if !updates.iter().all(same) {
            return None;
        }
        let evaluations = updates.iter().flat_map(|update| update.terms()).collect();
        let shape = UnitShape::fitting(unit, drift, limits)?;
        Some(Self { shape, residuals, evaluations })
    }

    /// The evaluations of residuals, in their order.
    pub fn evaluations(&self) -> &[Term] {
        &self.evaluations
    }

    /// Whether the newest state ends in the first stream of a one-state scheme, rather than in the second.
    pub fn ends_in_first(&self) -> bool {
        self.evaluations.len() % 2 == 1
    }

    /// Numbers of the gradients of one evaluation: `[c][c][9]` for the convolution before σ, then `[c]` for b and, with
    /// biases before K, `[c]` for them.
    pub fn parameters(&self) -> usize {
        self.shape.parameters()
    }

    /// Takes the states of `images` images, `[images][2][c][rows][columns]`, through all blocks, in place.
    ///
    /// `weights` is `[2][residuals][inputs][9][outputs]` in the type of the unit: the arrays of the convolutions before
    /// σ, then those of their adjoints. `biases` is `[residuals][c]`, and `input_biases` likewise or, without biases before K, not read.
    ///
    /// # Errors
    /// [`Error::Length`] if a buffer has another length.
    pub fn forward(
        &self,
        client: &Client,
        images: usize,
        state: &Handle,
        parameters: [&Handle; 3],
    ) -> Result<(), Error> {
        let Self { shape, residuals, .. } = *self;
        let (plan, scales) = self.plan(client);
        let [weights, biases, input_biases] = self.parameter_args(parameters)?;
        let state = exactly("state", state, images * 2 * shape.stream())?;
        let evaluations = self.evaluations.len();
        if images == 0 || evaluations == 0 {
            return Ok(());
        }
        forward_kernel::launch(
            client,
            // Some devices have fewer than 65,536 cubes in a row.
            CubeCount::Static(images.min(ROW) as u32, images.div_ceil(ROW) as u32, 1),
            CubeDim::new_1d(shape.threads as u32),
            state,
            weights,
            biases,
            input_biases,
            exactly("plan", &plan, 2 * evaluations)?,
            exactly("scales", &scales, evaluations)?,
            images as u32,
            evaluations as u32,
            residuals as u32,
            shape.number,
            shape,
        );
        Ok(())
    }

    /// Takes the states and the gradients with respect to them back through all blocks, both in place, and puts
    /// the gradients of every evaluation to `found`, `[evaluations][parameters]`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn backward(
        &self,
        client: &Client,
        images: usize,
        [state, gradient, found]: [&Handle; 3],
        parameters: [&Handle; 3],
    ) -> Result<(), Error> {
        let Self { shape, residuals, .. } = *self;
        let (numbers, evaluations) = (shape.parameters(), self.evaluations.len());
        exactly("found", found, evaluations * numbers)?;
        if images == 0 || evaluations == 0 {
            return Ok(());
        }
        let (plan, scales) = self.plan(client);
        let cubes = images.min(CUBES).min((PARTIAL_BYTES / (4 * numbers)).max(1));
        let count = (PARTIAL_BYTES / (4 * cubes * numbers)).clamp(1, evaluations);
        let scratch = client.empty(4 * cubes * 2 * shape.stream());
        let partial = client.empty(4 * cubes * count * numbers);
        let mut left = evaluations;
        while left > 0 {
            let count = count.min(left);
            left -= count;
            let [weights, biases, input_biases] = self.parameter_args(parameters)?;
            backward_kernel::launch(
                client,
                CubeCount::Static(cubes as u32, 1, 1),
                CubeDim::new_1d(shape.threads as u32),
                exactly("state", state, images * 2 * shape.stream())?,
                exactly("gradient", gradient, images * 2 * shape.stream())?,
                exactly("scratch", &scratch, cubes * 2 * shape.stream())?,
                beginning("partial", &partial, cubes * count * numbers)?,
                weights,
                biases,
                input_biases,
                exactly("plan", &plan, 2 * evaluations)?,
                exactly("scales", &scales, evaluations)?,
                images as u32,
                left as u32,
                count as u32,
                residuals as u32,
                shape.number,
                shape,
            );
            sum_slots(client, &partial, found, [cubes, count * numbers], left * numbers)?;
        }
        Ok(())
    }

    /// The residuals and the factors of all evaluations, on the device.
    fn plan(&self, client: &Client) -> (Handle, Handle) {
        let swapped = |term: &Term| term.role == Role::Conjugate && self.shape.form == Form::Layer;
        let plan: Vec<u32> = self
            .evaluations
            .iter()
            .flat_map(|term| [term.residual as u32, u32::from(swapped(term))])
            .collect();
        let scales: Vec<f32> = self.evaluations.iter().map(|term| term.scale as f32).collect();
        let [plan, scales] = [bytemuck::cast_slice(&plan), bytemuck::cast_slice(&scales)];
        (client.create_from_slice(plan), client.create_from_slice(scales))
    }

    /// The arguments for weights, biases and biases before K; without the last, the biases stand in for them.
    fn parameter_args(&self, buffers: [&Handle; 3]) -> Result<[BufferArg; 3], Error> {
        let [weights, biases, input_biases] = buffers;
        let UnitShape { channels, input_bias, number, .. } = self.shape;
        let kernels = 2 * self.residuals * channels * channels * 9;
        let all = self.residuals * channels;
        let input_biases = if input_bias { input_biases } else { biases };
        Ok([
            exactly_of("weights", weights, kernels, number.size())?,
            exactly("biases", biases, all)?,
            exactly("input biases", input_biases, all)?,
        ])
    }
}
