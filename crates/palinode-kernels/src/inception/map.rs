//! The operations of an inception map.

use super::paths::{Kernels, PATHS, Path, back, forward};
use super::planes::Planes;
use super::shape::{Arrays, EXTENTS, InceptionGradients, InceptionKernel};
use super::sums::{Gradients, Sums, Totals};
use crate::context::Context;
use crate::error::Error;
use crate::microbatch::tree;
use crate::schedule::{Work, for_each_chunk};
use crate::scratch::Arena;
use crate::token::Token;
use pulp::{Simd, WithSimd};
use std::ops::Range;

impl InceptionKernel {
    /// Ax, plus the biases if there are any.
    ///
    /// # Errors
    /// [`Error::Length`] if an array does not fit the shape.
    pub fn value(
        &self,
        context: &Context,
        x: &[f32],
        kernels: &Arrays<&[f32]>,
        biases: Option<&Arrays<&[f32]>>,
    ) -> Result<Vec<f32>, Error> {
        self.check("the input x of an inception map", x, kernels, biases)?;
        let mut slab = context.scratch().lend(|arena| Kernels::zeros(arena, self));
        let mut packed = Kernels::zeros(&mut slab.arena(), self);
        packed.pack(kernels, false);
        Ok(self.map(context, forward(&packed, biases), x))
    }

    /// Aᵀy.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn adjoint(
        &self,
        context: &Context,
        y: &[f32],
        kernels: &Arrays<&[f32]>,
    ) -> Result<Vec<f32>, Error> {
        self.check("the output y of an inception map", y, kernels, None)?;
        let mut slab = context.scratch().lend(|arena| Kernels::zeros(arena, self));
        let mut packed = Kernels::zeros(&mut slab.arena(), self);
        packed.pack(kernels, true);
        Ok(self.map(context, back(&packed), y))
    }

    /// The images that come of the paths.
    fn map(&self, context: &Context, paths: [Path<'_>; PATHS.len()], x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        let chunks = x.chunks(self.chunk_len()).zip(y.chunks_mut(self.chunk_len())).collect();
        for_each_chunk(context, &Map { shape: self, paths }, chunks);
        y
    }

    /// The gradients of ⟨y, Ax + b⟩ with respect to kernels and biases; without biases, as if they were
    /// zero.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn gradients(
        &self,
        context: &Context,
        x: &[f32],
        y: &[f32],
        kernels: &Arrays<&[f32]>,
        biases: Option<&Arrays<&[f32]>>,
    ) -> Result<InceptionGradients, Error> {
        self.check("the input x of an inception map", x, kernels, biases)?;
        Error::check_len("the output y of an inception map", x.len(), y.len())?;
        let carve = |arena: &mut Arena<'static>| [(); 2].map(|()| Kernels::zeros(arena, self));
        let mut slab = context.scratch().lend(carve);
        let mut arena = slab.arena();
        let [mut forward, mut back] = [(); 2].map(|()| Kernels::zeros(&mut arena, self));
        forward.pack(kernels, false);
        back.pack(kernels, true);
        let mut of = |images: Range<usize>| {
            let own = images.start * self.image_len()..images.end * self.image_len();
            let mut gradients = Gradients::zeros(self);
            let (packed, totals) = ((&forward, &back), gradients.totals());
            let work = MapGradients { shape: self, packed, biases, totals };
            let length = self.chunk_len();
            let chunks = x[own.clone()].chunks(length).zip(y[own].chunks(length)).collect();
            for_each_chunk(context, &work, chunks);
            drop(work);
            gradients.narrow()
        };
        let add = InceptionGradients::add;
        Ok(tree(context.microbatches(), 0..self.images, &mut of, &add))
    }
}

/// y from x, each group along its path.
struct Map<'a> {
    shape: &'a InceptionKernel,
    paths: [Path<'a>; PATHS.len()],
}

impl<'a> Work for Map<'a> {
    type Chunk = (&'a [f32], &'a mut [f32]);
    /// Input, result of the first convolution, and output of a path.
    type Memory<'m> = [Planes<'m>; 3];

    fn memory<'m>(&self, arena: &mut Arena<'m>) -> Self::Memory<'m> {
        [(); 3].map(|()| Planes::zeros(arena, self.shape))
    }

    fn run(&self, token: Token, planes: &mut Self::Memory<'_>, _: usize, (x, y): Self::Chunk) {
        token.dispatch(MapChunk { work: self, planes, x, y });
    }
}

struct MapChunk<'a, 'm> {
    work: &'a Map<'a>,
    planes: &'a mut [Planes<'m>; 3],
    x: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for MapChunk<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { work: Map { shape, paths }, planes: [input, hidden, output], x, y } = self;
        let length = shape.image_len().max(1);
        for (x, y) in x.chunks(length).zip(y.chunks_mut(length)) {
            y[shape.group(0)].copy_from_slice(&x[shape.group(0)]);
            for (index, path) in paths.iter().enumerate() {
                let group = shape.group(index + 1);
                input.read(&x[group.clone()]);
                path.run(simd, input, hidden, output);
                output.write(&mut y[group]);
            }
        }
    }
}

/// The gradients of ⟨y, Ax + b⟩.
struct MapGradients<'a> {
    shape: &'a InceptionKernel,
    /// The convolutions and their adjoints.
    packed: (&'a Kernels<'a>, &'a Kernels<'a>),
    biases: Option<&'a Arrays<&'a [f32]>>,
    totals: Totals<'a>,
}

impl<'a> Work for MapGradients<'a> {
    type Chunk = (&'a [f32], &'a [f32]);
    /// Input and result of a path's first convolution, and the cotangents of the path's output and of that
    /// result.
    type Memory<'m> = ([Planes<'m>; 4], Sums<'m>);

    fn memory<'m>(&self, arena: &mut Arena<'m>) -> Self::Memory<'m> {
        let planes = [(); 4].map(|()| Planes::zeros(arena, self.shape));
        (planes, Sums::zeros(arena, self.shape))
    }

    fn run(
        &self,
        token: Token,
        (planes, sums): &mut Self::Memory<'_>,
        index: usize,
        (x, y): Self::Chunk,
    ) {
        sums.clear();
        token.dispatch(GradientsChunk { work: self, planes, sums, x, y });
        self.totals.commit(index, sums);
    }

    fn abandon(&self) {
        self.totals.abandon();
    }
}

struct GradientsChunk<'a, 'w, 'm> {
    work: &'a MapGradients<'w>,
    planes: &'a mut [Planes<'m>; 4],
    sums: &'a mut Sums<'m>,
    x: &'a [f32],
    y: &'a [f32],
}

impl WithSimd for GradientsChunk<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { work, planes: [input, hidden, v, hidden_v], sums, x, y } = self;
        let MapGradients { shape, packed: (forward, back), biases, .. } = work;
        let length = shape.image_len().max(1);
        for (x, y) in x.chunks(length).zip(y.chunks(length)) {
            for (path, (first, last)) in PATHS.into_iter().enumerate() {
                let group = shape.group(path + 1);
                input.read(&x[group.clone()]);
                v.read(&y[group]);
                let (kernel, bias) = sums.of(last);
                v.add_sums(bias);
                let Some(first) = first else {
                    input.add_products(simd, v, EXTENTS[last], kernel);
                    continue;
                };
                let first_bias = biases.map(|biases| biases[first]);
                input.convolve(simd, forward.of(first), first_bias, hidden);
                hidden.add_products(simd, v, EXTENTS[last], kernel);
                v.convolve(simd, back.of(last), None, hidden_v);
                let (kernel, bias) = sums.of(first);
                input.add_products(simd, hidden_v, EXTENTS[first], kernel);
                hidden_v.add_sums(bias);
            }
        }
    }
}
