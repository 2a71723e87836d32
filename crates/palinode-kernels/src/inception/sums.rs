//! Gradients with respect to kernels and biases, summed over chunks in their order.

use super::shape::{Arrays, CONVOLUTIONS, InceptionGradients, InceptionKernel};
use crate::schedule::Ordered;
use crate::scratch::Arena;

/// One chunk's share of the gradients.
pub(super) struct Sums<'m> {
    shape: InceptionKernel,
    /// One behind the other.
    kernels: &'m mut [f32],
    /// In f64, because these sums may cancel.
    biases: &'m mut [f64],
}

impl<'m> Sums<'m> {
    pub fn zeros(arena: &mut Arena<'m>, shape: &InceptionKernel) -> Self {
        let kernels = (0..CONVOLUTIONS).map(|which| shape.kernel_len(which)).sum();
        let (kernels, biases) = (arena.zeros(kernels), arena.zeros(CONVOLUTIONS * shape.group));
        Self { shape: *shape, kernels, biases }
    }

    pub fn clear(&mut self) {
        self.kernels.fill(0.0);
        self.biases.fill(0.0);
    }

    /// The sums of one convolution's kernel and bias.
    pub fn of(&mut self, which: usize) -> (&mut [f32], &mut [f64]) {
        let start: usize = (0..which).map(|before| self.shape.kernel_len(before)).sum();
        let group = self.shape.group;
        let kernel = &mut self.kernels[start..start + self.shape.kernel_len(which)];
        (kernel, &mut self.biases[which * group..(which + 1) * group])
    }
}

/// The gradients of a batch.
pub(super) struct Gradients {
    kernels: Arrays<Vec<f32>>,
    biases: Arrays<Vec<f64>>,
}

impl Gradients {
    pub fn zeros(shape: &InceptionKernel) -> Self {
        Self {
            kernels: std::array::from_fn(|which| vec![0.0; shape.kernel_len(which)]),
            biases: std::array::from_fn(|_| vec![0.0; shape.group]),
        }
    }

    /// Where chunks add their shares.
    pub fn totals(&mut self) -> Totals<'_> {
        let kernels = self.kernels.each_mut().map(Vec::as_mut_slice);
        let biases = self.biases.each_mut().map(Vec::as_mut_slice);
        Totals { kernels: Ordered::new([kernels]), biases: Ordered::new([biases]) }
    }

    /// The gradients in f32.
    pub fn narrow(self) -> InceptionGradients {
        let narrow = |sums: Vec<f64>| sums.into_iter().map(|sum| sum as f32).collect();
        InceptionGradients { kernels: self.kernels, biases: self.biases.map(narrow) }
    }
}

/// The gradients of a batch while its chunks are at work.
pub(super) struct Totals<'a> {
    kernels: Ordered<'a, CONVOLUTIONS>,
    biases: Ordered<'a, CONVOLUTIONS, f64>,
}

impl Totals<'_> {
    /// Adds a chunk's share, after those of all earlier chunks.
    pub fn commit(&self, chunk: usize, sums: &Sums<'_>) {
        self.kernels.commit(0, chunk, sums.kernels);
        self.biases.commit(0, chunk, sums.biases);
    }

    /// Wakes all chunks that wait for one that has panicked.
    pub fn abandon(&self) {
        self.kernels.abandon();
        self.biases.abandon();
    }
}
