//! What an inception map is.

use crate::error::Error;
use crate::schedule::add;
use std::ops::Range;

/// The number of convolutions of the map. Everywhere their order is: one, three_reduce, three, five_reduce,
/// five.
pub const CONVOLUTIONS: usize = 5;

/// Rows (and columns) of their kernels.
pub const EXTENTS: [usize; CONVOLUTIONS] = [1, 1, 3, 1, 5];

/// Kernels, biases, or gradients with respect to them, one array per convolution.
pub type Arrays<T> = [T; CONVOLUTIONS];

/// The inception map A: four groups of g channels, of which the first passes unchanged and the others go
/// through convolutions that keep the size: C₁, C₃R₃ and C₅R₅, where R₃ and R₅ are 1×1 (they reduce).
///
/// | | |
/// |---|---|
/// | x, y | `[images, 4g, height, width]`, row-major as all arrays |
/// | kernels | `[g, g, k, k]`, k = [`EXTENTS`] |
/// | biases | `[g]` |
/// | [`value`](Self::value) | Ax + b |
/// | [`adjoint`](Self::adjoint) | Aᵀy |
/// | [`gradients`](Self::gradients) | of ⟨y, Ax + b⟩ with respect to kernels and biases |
///
/// The same input gives the same bits for any number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InceptionKernel {
    /// Images n.
    pub images: usize,
    /// Channels g of a group.
    pub group: usize,
    /// Rows and columns of the images.
    pub size: [usize; 2],
}

/// Gradients with respect to the parameters of an inception map.
#[derive(Clone, Debug, PartialEq)]
pub struct InceptionGradients {
    /// With respect to the kernels.
    pub kernels: Arrays<Vec<f32>>,
    /// With respect to the biases.
    pub biases: Arrays<Vec<f32>>,
}

impl InceptionGradients {
    /// Adds the gradients of later images.
    pub(super) fn add(&mut self, more: Self) {
        let kernels = self.kernels.iter_mut().zip(more.kernels);
        for (sums, terms) in kernels.chain(self.biases.iter_mut().zip(more.biases)) {
            add(sums, &terms);
        }
    }
}

impl InceptionKernel {
    /// Numbers of a chunk of images. Its images are few and their number is fixed, so that sums do not
    /// depend on the number of threads.
    pub(super) fn chunk_len(&self) -> usize {
        const IMAGES: usize = 4;
        (IMAGES * self.image_len()).max(1)
    }

    /// Numbers of an image.
    pub(super) fn image_len(&self) -> usize {
        4 * self.group * self.size[0] * self.size[1]
    }

    /// Where group `group` of an image lies in it.
    pub(super) fn group(&self, group: usize) -> Range<usize> {
        let length = self.group * self.size[0] * self.size[1];
        group * length..(group + 1) * length
    }

    /// Elements of a convolution's kernel.
    pub(super) fn kernel_len(&self, which: usize) -> usize {
        self.group * self.group * EXTENTS[which] * EXTENTS[which]
    }

    /// Checks the lengths of arrays; `what` names the images.
    pub(super) fn check(
        &self,
        what: &'static str,
        images: &[f32],
        kernels: &Arrays<&[f32]>,
        biases: Option<&Arrays<&[f32]>>,
    ) -> Result<(), Error> {
        Error::check_len(what, self.images * self.image_len(), images.len())?;
        for (which, kernel) in kernels.iter().enumerate() {
            Error::check_len("a kernel of an inception map", self.kernel_len(which), kernel.len())?;
        }
        for bias in biases.into_iter().flatten() {
            Error::check_len("a bias of an inception map", self.group, bias.len())?;
        }
        Ok(())
    }
}
