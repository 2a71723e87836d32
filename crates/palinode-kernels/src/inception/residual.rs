//! The inception residual F(x) = Aᵀσ(Ax + b) as a whole, path by path inside the cache.

use super::paths::{Kernels, PATHS, Path, back, forward};
use super::planes::Planes;
use super::shape::{Arrays, EXTENTS, InceptionGradients, InceptionKernel};
use super::sums::{Gradients, Sums, Totals};
use crate::activation::Activation;
use crate::context::Context;
use crate::error::Error;
use crate::microbatch::tree;
use crate::schedule::{Work, for_each_chunk};
use crate::scratch::Arena;
use crate::token::Token;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// The residual F(x) = Aᵀσ(Ax + b) of the [map](InceptionKernel) A; arrays as there.
#[derive(Clone, Copy, Debug)]
pub struct InceptionResidual<'a> {
    /// The shape of A.
    pub shape: InceptionKernel,
    /// The kernels of A.
    pub kernels: Arrays<&'a [f32]>,
    /// The biases of A's convolutions, which make up b.
    pub biases: Arrays<&'a [f32]>,
    /// σ.
    pub activation: Activation,
}

/// The value of an inception residual and its vector–Jacobian products with a cotangent v.
#[derive(Clone, Debug, PartialEq)]
pub struct InceptionVjp {
    /// F(x).
    pub value: Vec<f32>,
    /// Jᵀv, the gradient of ⟨v, F(x)⟩ with respect to x.
    pub input: Vec<f32>,
    /// The gradients of ⟨v, F(x)⟩ with respect to the parameters.
    pub parameters: InceptionGradients,
}

impl InceptionResidual<'_> {
    /// F(x).
    ///
    /// # Errors
    /// [`Error::Length`] if an array does not fit the shape.
    pub fn value(&self, context: &Context, x: &[f32]) -> Result<Vec<f32>, Error> {
        self.check(x)?;
        let shape = &self.shape;
        let mut slab = context.scratch().lend(|arena| both(arena, shape));
        let mut kernels = both(&mut slab.arena(), shape);
        self.pack(&mut kernels);
        let [kernels, adjoints] = &kernels;
        let (forward, back) = (forward(kernels, Some(&self.biases)), back(adjoints));
        let mut value = vec![0.0; x.len()];
        let length = shape.chunk_len();
        let chunks = x.chunks(length).zip(value.chunks_mut(length)).collect();
        for_each_chunk(context, &Value { of: self, forward, back }, chunks);
        Ok(value)
    }

    /// F(x), and the vector–Jacobian products with v, by one evaluation of F.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn vjp(&self, context: &Context, x: &[f32], v: &[f32]) -> Result<InceptionVjp, Error> {
        self.check(x)?;
        Error::check_len("the cotangent v of an inception residual", x.len(), v.len())?;
        let shape = &self.shape;
        let mut slab = context.scratch().lend(|arena| both(arena, shape));
        let mut kernels = both(&mut slab.arena(), shape);
        self.pack(&mut kernels);
        let [kernels, adjoints] = &kernels;
        let (affine, linear) = (forward(kernels, Some(&self.biases)), forward(kernels, None));
        let (mut value, mut input) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let back = back(adjoints);
        let mut of = |images: Range<usize>| {
            let own = images.start * shape.image_len()..images.end * shape.image_len();
            let mut gradients = Gradients::zeros(shape);
            let work = Vjp { of: self, affine, linear, back, totals: gradients.totals() };
            let length = shape.chunk_len();
            let results = value[own.clone()].chunks_mut(length);
            let results = results.zip(input[own.clone()].chunks_mut(length));
            let chunks = x[own.clone()].chunks(length).zip(v[own].chunks(length)).zip(results);
            let chunks = chunks.map(|((x, v), (value, input))| VjpImages { x, v, value, input });
            for_each_chunk(context, &work, chunks.collect());
            drop(work);
            gradients.narrow()
        };
        let add = InceptionGradients::add;
        let parameters = tree(context.microbatches(), 0..shape.images, &mut of, &add);
        Ok(InceptionVjp { value, input, parameters })
    }

    fn check(&self, x: &[f32]) -> Result<(), Error> {
        let what = "the input x of an inception residual";
        self.shape.check(what, x, &self.kernels, Some(&self.biases))
    }

    /// Packs the convolutions and their adjoints.
    fn pack(&self, [kernels, adjoints]: &mut [Kernels<'_>; 2]) {
        kernels.pack(&self.kernels, false);
        adjoints.pack(&self.kernels, true);
    }
}

/// Room for the convolutions and their adjoints.
fn both<'m>(arena: &mut Arena<'m>, shape: &InceptionKernel) -> [Kernels<'m>; 2] {
    [(); 2].map(|()| Kernels::zeros(arena, shape))
}

/// F(x).
struct Value<'a> {
    of: &'a InceptionResidual<'a>,
    forward: [Path<'a>; PATHS.len()],
    back: [Path<'a>; PATHS.len()],
}

impl<'a> Work for Value<'a> {
    type Chunk = (&'a [f32], &'a mut [f32]);
    /// Input, result of a path's first convolution, hidden layer and output.
    type Memory<'m> = [Planes<'m>; 4];

    fn memory<'m>(&self, arena: &mut Arena<'m>) -> Self::Memory<'m> {
        [(); 4].map(|()| Planes::zeros(arena, &self.of.shape))
    }

    fn run(&self, token: Token, planes: &mut Self::Memory<'_>, _: usize, (x, y): Self::Chunk) {
        token.dispatch(ValueChunk { work: self, planes, x, y });
    }
}

struct ValueChunk<'a, 'w, 'm> {
    work: &'a Value<'w>,
    planes: &'a mut [Planes<'m>; 4],
    x: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for ValueChunk<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { work, planes: [input, between, hidden, output], x, y } = self;
        let InceptionResidual { shape, activation, .. } = work.of;
        let length = shape.image_len().max(1);
        for (x, y) in x.chunks(length).zip(y.chunks_mut(length)) {
            input.read(&x[shape.group(0)]);
            input.activate(simd, *activation);
            input.write(&mut y[shape.group(0)]);
            for (index, (forward, back)) in work.forward.iter().zip(&work.back).enumerate() {
                let group = shape.group(index + 1);
                input.read(&x[group.clone()]);
                forward.run(simd, input, between, hidden);
                hidden.activate(simd, *activation);
                back.run(simd, hidden, between, output);
                output.write(&mut y[group]);
            }
        }
    }
}

/// F(x), Jᵀv and the gradients with respect to the parameters.
struct Vjp<'a> {
    of: &'a InceptionResidual<'a>,
    /// A with its biases, and without.
    affine: [Path<'a>; PATHS.len()],
    linear: [Path<'a>; PATHS.len()],
    back: [Path<'a>; PATHS.len()],
    totals: Totals<'a>,
}

/// A chunk of images.
struct VjpImages<'a> {
    x: &'a [f32],
    v: &'a [f32],
    value: &'a mut [f32],
    input: &'a mut [f32],
}

/// One thread's memory.
struct VjpMemory<'m> {
    /// x and v.
    x: Planes<'m>,
    v: Planes<'m>,
    /// Rx + b and Rv, if the path has a first convolution R.
    reduced: Planes<'m>,
    reduced_v: Planes<'m>,
    /// Ax + b, then h = σ(Ax + b).
    hidden: Planes<'m>,
    /// Av, the cotangent of h, then δ = σ′(Ax + b) ⊙ Av.
    delta: Planes<'m>,
    /// The result of the first convolution of a path of Aᵀ.
    between: Planes<'m>,
    output: Planes<'m>,
    sums: Sums<'m>,
}

impl<'a> Work for Vjp<'a> {
    type Chunk = VjpImages<'a>;
    type Memory<'m> = VjpMemory<'m>;

    fn memory<'m>(&self, arena: &mut Arena<'m>) -> VjpMemory<'m> {
        let shape = &self.of.shape;
        let mut planes = || Planes::zeros(arena, shape);
        VjpMemory {
            x: planes(),
            v: planes(),
            reduced: planes(),
            reduced_v: planes(),
            hidden: planes(),
            delta: planes(),
            between: planes(),
            output: planes(),
            sums: Sums::zeros(arena, shape),
        }
    }

    fn run(&self, token: Token, memory: &mut VjpMemory<'_>, index: usize, images: VjpImages<'a>) {
        memory.sums.clear();
        token.dispatch(VjpChunk { work: self, memory, images });
        self.totals.commit(index, &memory.sums);
    }

    fn abandon(&self) {
        self.totals.abandon();
    }
}

struct VjpChunk<'a, 'w, 'm> {
    work: &'a Vjp<'w>,
    memory: &'a mut VjpMemory<'m>,
    images: VjpImages<'a>,
}

impl WithSimd for VjpChunk<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { work, memory, images: VjpImages { x, v, value, input } } = self;
        let shape = work.of.shape;
        let length = shape.image_len().max(1);
        let images = x.chunks(length).zip(v.chunks(length));
        let results = value.chunks_mut(length).zip(input.chunks_mut(length));
        for ((x, v), (value, input)) in images.zip(results) {
            let own = shape.group(0);
            memory.hidden.read(&x[own.clone()]);
            memory.delta.read(&v[own.clone()]);
            memory.hidden.activate_with_vjp(simd, work.of.activation, &mut memory.delta);
            memory.hidden.write(&mut value[own.clone()]);
            memory.delta.write(&mut input[own]);
            for path in 0..PATHS.len() {
                let group = shape.group(path + 1);
                memory.x.read(&x[group.clone()]);
                memory.v.read(&v[group.clone()]);
                let results = (&mut value[group.clone()], &mut input[group]);
                memory.path(simd, work, path, results);
            }
        }
    }
}

impl VjpMemory<'_> {
    /// One path, from the images in `x` and `v`.
    #[inline(always)]
    fn path<S: Simd>(
        &mut self,
        simd: S,
        work: &Vjp<'_>,
        path: usize,
        (value, input): (&mut [f32], &mut [f32]),
    ) {
        let Self { x, v, reduced, reduced_v, hidden, delta, between, output, sums } = self;
        let (first, last) = PATHS[path];
        work.affine[path].run(simd, x, reduced, hidden);
        work.linear[path].run(simd, v, reduced_v, delta);
        hidden.activate_with_vjp(simd, work.of.activation, delta);

        // The gradients of ⟨v, Aᵀh⟩ = ⟨Av, h⟩ and of ⟨δ, Ax + b⟩: with respect to the last convolution
        // directly, and with respect to the first through the adjoint of the last.
        let (of_x, of_v) = match first {
            Some(_) => (&*reduced, &*reduced_v),
            None => (&*x, &*v),
        };
        let (kernel, bias) = sums.of(last);
        of_v.add_products(simd, hidden, EXTENTS[last], kernel);
        of_x.add_products(simd, delta, EXTENTS[last], kernel);
        delta.add_sums(bias);
        work.back[path].run(simd, hidden, between, output);
        output.write(value);
        if let Some(first) = first {
            v.add_products(simd, between, EXTENTS[first], sums.of(first).0);
        }
        work.back[path].run(simd, delta, between, output);
        output.write(input);
        if let Some(first) = first {
            let (kernel, bias) = sums.of(first);
            x.add_products(simd, between, EXTENTS[first], kernel);
            between.add_sums(bias);
        }
    }
}
