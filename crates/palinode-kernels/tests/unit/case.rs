//! A unit, and its naive twin.

use crate::support::{noise, relative, updates, wide};
use palinode_kernels::recurrence::Update;
use palinode_kernels::reference::{self, Recurrence, Shape};
use palinode_kernels::unit::{Gradients, Parameters, StateSlices, UnitKernel};
use palinode_kernels::{Activation, Algorithm, Context, Form, Grid, Precision};

#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub recurrence: Recurrence,
    pub form: Form,
    pub activation: Activation,
    pub input_bias: bool,
    pub algorithm: Algorithm,
    pub gradients: Precision,
    pub grid: Option<Grid>,
    pub shape: Shape,
    pub blocks: usize,
}

impl Case {
    /// With ReLU and the symmetric residual of the paper.
    pub fn new(recurrence: Recurrence, shape: Shape, blocks: usize) -> Self {
        Self {
            recurrence,
            form: Form::Symmetric,
            activation: Activation::Relu,
            input_bias: false,
            algorithm: Algorithm::Winograd4,
            gradients: Precision::F32,
            grid: None,
            shape,
            blocks,
        }
    }

    pub fn residuals(&self) -> usize {
        self.blocks * self.recurrence.residuals_per_block()
    }

    pub fn updates(&self, h: f64) -> Vec<Update> {
        updates(self.recurrence, self.blocks, h)
    }

    /// One array with K, b and, if there is one, a of every residual.
    pub fn joined<T: Copy>(&self, kernels: &[T], biases: &[T], input_biases: &[T]) -> Vec<T> {
        let channels = self.shape.channels;
        let vectors = biases.chunks(channels).enumerate();
        let residuals = kernels.chunks(self.shape.kernel_len()).zip(vectors);
        let joined = residuals.flat_map(|(kernel, (index, bias))| {
            let a = index * channels..(index + 1) * channels;
            let input_bias = if self.input_bias { &input_biases[a] } else { &[] };
            [kernel, bias, input_bias].concat()
        });
        joined.collect()
    }

    /// Kernels, biases and input biases.
    pub fn parameters(&self) -> [Vec<f32>; 3] {
        let (residuals, channels) = (self.residuals(), self.shape.channels);
        let deviation = 0.3 * (2.0 / (9 * channels) as f64).sqrt();
        let input = if self.input_bias { 0.3 } else { 0.0 };
        [
            noise(residuals * self.shape.kernel_len(), 1, deviation),
            noise(residuals * channels, 2, 0.3),
            noise(residuals * channels, 7, input),
        ]
    }

    pub fn unit<'a>(
        &self,
        updates: &'a [Update],
        parameters: &'a [Parameters<'a>],
    ) -> UnitKernel<'a> {
        let Shape { batch: images, channels, height, width } = self.shape;
        let Self { form, activation, algorithm, gradients, grid, .. } = *self;
        UnitKernel {
            images,
            channels,
            height,
            width,
            form,
            activation,
            algorithm,
            gradients,
            grid,
            updates,
            parameters,
        }
    }

    pub fn split<'a>(&self, parameters: &'a [f32]) -> Vec<Parameters<'a>> {
        Parameters::split(parameters, self.shape.channels, self.input_bias).unwrap()
    }

    pub fn split_mut<'a>(&self, gradients: &'a mut [f32]) -> Vec<Gradients<'a>> {
        Gradients::split(gradients, self.shape.channels, self.input_bias).unwrap()
    }

    /// The largest relative errors of state, reconstruction, gradient of the state, gradients of kernels, and
    /// gradients of biases.
    pub fn errors(&self) -> [f64; 5] {
        let [kernels, biases, input_biases] = self.parameters();
        let first = noise(self.shape.len(), 3, 1.0);
        let mut second = noise(self.shape.len(), 4, 1.0);
        if self.recurrence == Recurrence::Leapfrog {
            // Two neighbouring states of a slow motion, as they occur in a unit.
            second.iter_mut().zip(&first).for_each(|(x, before)| *x = before + 0.02 * *x);
        }
        let (g1, g2) = (noise(self.shape.len(), 5, 1.0), noise(self.shape.len(), 6, 1.0));
        let h = 0.25;
        let twin = reference::ReferenceUnit::<f64> {
            recurrence: self.recurrence,
            form: self.form,
            activation: self.activation,
            step: h,
            shape: self.shape,
            blocks: self.blocks,
            kernels: wide(&kernels),
            biases: wide(&biases),
            input_biases: wide(&input_biases),
        };
        let truth = twin.forward((wide(&first), wide(&second)));
        let gradients = twin.backward((wide(&first), wide(&second)), (wide(&g1), wide(&g2)));

        let updates = self.updates(h);
        let parameters = self.joined(&kernels, &biases, &input_biases);
        let split = self.split(&parameters);
        let unit = self.unit(&updates, &split);
        let (mut y, mut z) = (first.clone(), second.clone());
        let context = Context::new();
        unit.forward(&context, StateSlices::Apart(&mut y, &mut z)).unwrap();
        let state = relative(&y, &truth.0).max(relative(&z, &truth.1));
        let (mut gy, mut gz) = (g1, g2);
        let mut found = vec![0.0; parameters.len()];
        unit.backward(
            &context,
            StateSlices::Apart(&mut y, &mut z),
            StateSlices::Apart(&mut gy, &mut gz),
            self.split_mut(&mut found),
        )
        .unwrap();
        let length = parameters.len() / self.residuals();
        let split = |all: &[f32]| -> (Vec<f32>, Vec<f32>) {
            let residuals = all.chunks(length).map(|r| r.split_at(self.shape.kernel_len()));
            let (kernels, vectors): (Vec<&[f32]>, Vec<&[f32]>) = residuals.unzip();
            (kernels.concat(), vectors.concat())
        };
        let (found_kernels, found_vectors) = split(&found);
        let channels = self.shape.channels;
        let vectors =
            gradients.biases.chunks(channels).zip(gradients.input_biases.chunks(channels));
        let vectors: Vec<f64> = vectors
            .flat_map(|(bias, input)| [bias, if self.input_bias { input } else { &[] }].concat())
            .collect();
        [
            state,
            relative(&y, &wide(&first)).max(relative(&z, &wide(&second))),
            relative(&gy, &gradients.start.0).max(relative(&gz, &gradients.start.1)),
            relative(&found_kernels, &gradients.kernels),
            relative(&found_vectors, &vectors),
        ]
    }
}
