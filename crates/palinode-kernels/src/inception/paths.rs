//! What the groups of channels go through.

use super::convolve::Packed;
use super::planes::Planes;
use super::shape::{Arrays, EXTENTS, InceptionKernel};
use crate::scratch::Arena;
use pulp::Simd;

/// What groups 1 … 3 go through: a 1×1 convolution first, if there is one, and then another convolution.
pub(super) const PATHS: [(Option<usize>, usize); 3] = [(None, 0), (Some(1), 2), (Some(3), 4)];

/// The kernels of a map, or those of its adjoint.
pub(super) struct Kernels<'m>(Arrays<Packed<'m>>);

impl<'m> Kernels<'m> {
    /// Room for a map's kernels.
    pub fn zeros(arena: &mut Arena<'m>, shape: &InceptionKernel) -> Self {
        Self(EXTENTS.map(|extent| Packed::zeros(arena, shape.group, extent)))
    }

    /// Takes the kernels, or if `transposed`, those of the adjoints.
    pub fn pack(&mut self, kernels: &Arrays<&[f32]>, transposed: bool) {
        for (packed, kernel) in self.0.iter_mut().zip(kernels) {
            packed.pack(kernel, transposed);
        }
    }

    /// The kernel of one convolution.
    pub fn of(&self, which: usize) -> &Packed<'m> {
        &self.0[which]
    }
}

/// A convolution, and its bias if it has one.
type Layer<'a> = (&'a Packed<'a>, Option<&'a [f32]>);

/// What a group of channels goes through: one convolution or two.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    first: Option<Layer<'a>>,
    last: Layer<'a>,
}

impl Path<'_> {
    /// From planes into others; `between` receives the result of the first of two convolutions.
    #[inline(always)]
    pub fn run<S: Simd>(
        &self,
        simd: S,
        from: &Planes<'_>,
        between: &mut Planes<'_>,
        into: &mut Planes<'_>,
    ) {
        let (last, last_bias) = self.last;
        match self.first {
            Some((first, first_bias)) => {
                from.convolve(simd, first, first_bias, between);
                between.convolve(simd, last, last_bias, into);
            }
            None => from.convolve(simd, last, last_bias, into),
        }
    }
}

/// The paths of A, with biases if there are any.
pub(super) fn forward<'a>(
    kernels: &'a Kernels<'_>,
    biases: Option<&Arrays<&'a [f32]>>,
) -> [Path<'a>; PATHS.len()] {
    let layer = |which: usize| (kernels.of(which), biases.map(|biases| biases[which]));
    PATHS.map(|(first, last)| Path { first: first.map(layer), last: layer(last) })
}

/// The paths of Aᵀ, from the kernels of the adjoints: the last convolution first.
pub(super) fn back<'a>(adjoints: &'a Kernels<'_>) -> [Path<'a>; PATHS.len()] {
    let layer = |which: usize| (adjoints.of(which), None);
    PATHS.map(|(first, last)| match first {
        Some(first) => Path { first: Some(layer(last)), last: layer(first) },
        None => Path { first: None, last: layer(last) },
    })
}
