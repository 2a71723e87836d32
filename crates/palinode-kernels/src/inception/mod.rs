//! The inception map, its adjoint and its gradients, some images at a time inside the cache.

mod packed;
mod planes;
mod residual;

pub use residual::{InceptionResidual, InceptionVjp};

use crate::context::Context;
use crate::error::Error;
use packed::Packed;
use planes::Planes;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Convolutions of the map, in this order everywhere: one, three_reduce, three, five_reduce, five.
pub const CONVOLUTIONS: usize = 5;

/// Rows (and columns) of their kernels.
pub const EXTENTS: [usize; CONVOLUTIONS] = [1, 1, 3, 1, 5];

/// What channels g … 4g go through, by quarter: a 1×1 convolution first, where there is one, and then
/// another.
const PATHS: [(Option<usize>, usize); 3] = [(None, 0), (Some(1), 2), (Some(3), 4)];

/// Images that one task works on; fixed, so that sums do not depend on the number of threads.
const IMAGES: usize = 4;

/// The map A: four groups of g channels, the first as it is, the others through convolutions that keep
/// the size: C₁, C₃R₃ and C₅R₅ with 1×1 R₃ and R₅.
///
/// x and y are `[images, 4g, height, width]`, row-major; kernels `[g, g, k, k]`, biases `[g]`. The same
/// bits for any number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inception {
    /// Images n.
    pub images: usize,
    /// Channels g of a group.
    pub group: usize,
    /// Rows and columns of the images.
    pub size: [usize; 2],
}

/// Kernels and biases, or gradients with respect to them.
pub type Arrays<T> = [T; CONVOLUTIONS];

/// Gradients with respect to the parameters of an inception map.
#[derive(Clone, Debug, PartialEq)]
pub struct InceptionGradients {
    /// With respect to the kernels.
    pub kernels: Arrays<Vec<f32>>,
    /// With respect to the biases.
    pub biases: Arrays<Vec<f32>>,
}

impl Inception {
    /// Ax, plus the biases where there are any.
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
        let packed = self.packed(kernels, false);
        Ok(self.each(context, x, |x, y| {
            let paths = forward(&packed, biases);
            context.token().dispatch(Map { shape: self, paths, x, y });
        }))
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
        let packed = self.packed(kernels, true);
        Ok(self.each(context, y, |x, y| {
            context.token().dispatch(Map { shape: self, paths: back(&packed), x, y });
        }))
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
        let [forward, back] = [false, true].map(|transposed| self.packed(kernels, transposed));
        let length = (IMAGES * self.image_len()).max(1);
        let found: Vec<Sums> = context.install(|| {
            let chunks = x.par_chunks(length).zip(y.par_chunks(length));
            let found = chunks.map(|(x, y)| {
                let mut sums = self.zeros();
                let packed = (&forward, &back);
                let pull = Pull { shape: self, packed, biases, x, y, sums: &mut sums };
                context.token().dispatch(pull);
                sums
            });
            found.collect()
        });
        Ok(narrow(add(self.zeros(), &found)))
    }

    /// Zero gradients of every kernel and bias.
    fn zeros(&self) -> Sums {
        EXTENTS.map(|extent| {
            let kernel = self.group * self.group * extent * extent;
            (vec![0.0; kernel], vec![0.0; self.group])
        })
    }

    /// The convolutions as they are read, or their adjoints.
    fn packed(&self, kernels: &Arrays<&[f32]>, transposed: bool) -> Arrays<Packed> {
        std::array::from_fn(|which| {
            Packed::new(self.group, EXTENTS[which], kernels[which], transposed)
        })
    }

    /// An array of x's shape, computed from it some images at a time.
    fn each(
        &self,
        context: &Context,
        x: &[f32],
        compute: impl Fn(&[f32], &mut [f32]) + Sync,
    ) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        let length = (IMAGES * self.image_len()).max(1);
        context.install(|| {
            y.par_chunks_mut(length).zip(x.par_chunks(length)).for_each(|(y, x)| compute(x, y));
        });
        y
    }

    fn planes(&self) -> Planes {
        Planes::new(self.group, self.size)
    }

    fn area(&self) -> usize {
        self.size[0] * self.size[1]
    }

    fn image_len(&self) -> usize {
        4 * self.group * self.area()
    }

    /// Where quarter `quarter` of an image lies in it.
    fn quarter(&self, quarter: usize) -> std::ops::Range<usize> {
        let length = self.group * self.area();
        quarter * length..(quarter + 1) * length
    }

    fn check(
        &self,
        what: &'static str,
        images: &[f32],
        kernels: &Arrays<&[f32]>,
        biases: Option<&Arrays<&[f32]>>,
    ) -> Result<(), Error> {
        Error::check_len(what, self.images * self.image_len(), images.len())?;
        for (kernel, extent) in kernels.iter().zip(EXTENTS) {
            let length = self.group * self.group * extent * extent;
            Error::check_len("a kernel of an inception map", length, kernel.len())?;
        }
        for bias in biases.into_iter().flatten() {
            Error::check_len("a bias of an inception map", self.group, bias.len())?;
        }
        Ok(())
    }
}

/// Gradients with respect to kernels and biases.
type Sums = Arrays<(Vec<f32>, Vec<f64>)>;

/// The sums of all tasks, in their order.
fn add(mut total: Sums, found: &[Sums]) -> Sums {
    for sums in found {
        for (into, from) in total.iter_mut().zip(sums) {
            into.0.iter_mut().zip(&from.0).for_each(|(into, from)| *into += from);
            into.1.iter_mut().zip(&from.1).for_each(|(into, from)| *into += from);
        }
    }
    total
}

/// The sums in f32.
fn narrow(sums: Sums) -> InceptionGradients {
    let narrow = |sums: &Vec<f64>| sums.iter().map(|&sum| sum as f32).collect();
    let biases = sums.each_ref().map(|sums| narrow(&sums.1));
    InceptionGradients { kernels: sums.map(|sums| sums.0), biases }
}

/// The bias of a convolution, if there are biases.
fn bias<'a>(biases: Option<&Arrays<&'a [f32]>>, convolution: usize) -> Option<&'a [f32]> {
    biases.map(|biases| biases[convolution])
}

/// A convolution, and its bias if it has one.
type Step<'a> = (&'a Packed, Option<&'a [f32]>);

/// What a group of channels goes through: one convolution or two.
#[derive(Clone, Copy)]
struct Path<'a> {
    first: Option<Step<'a>>,
    last: Step<'a>,
}

impl Path<'_> {
    /// From planes into others; `between` is what comes of the first of two convolutions.
    #[inline(always)]
    fn run<S: Simd>(&self, simd: S, from: &Planes, between: &mut Planes, into: &mut Planes) {
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

/// The paths of A, with biases where there are any.
fn forward<'a>(
    packed: &'a Arrays<Packed>,
    biases: Option<&Arrays<&'a [f32]>>,
) -> [Path<'a>; PATHS.len()] {
    let step = |which: usize| (&packed[which], bias(biases, which));
    PATHS.map(|(first, last)| Path { first: first.map(step), last: step(last) })
}

/// The paths of Aᵀ, from the convolutions' adjoints: the last one first.
fn back(packed: &Arrays<Packed>) -> [Path<'_>; PATHS.len()] {
    let step = |which: usize| (&packed[which], None);
    PATHS.map(|(first, last)| match first {
        Some(first) => Path { first: Some(step(last)), last: step(first) },
        None => Path { first: None, last: step(last) },
    })
}

/// y from x on a chunk, each group along its path.
struct Map<'a> {
    shape: &'a Inception,
    paths: [Path<'a>; PATHS.len()],
    x: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for Map<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, paths, x, y } = self;
        let length = shape.image_len().max(1);
        let (mut input, mut hidden, mut output) = (shape.planes(), shape.planes(), shape.planes());
        for (x, y) in x.chunks(length).zip(y.chunks_mut(length)) {
            y[shape.quarter(0)].copy_from_slice(&x[shape.quarter(0)]);
            for (index, path) in paths.iter().enumerate() {
                let quarter = shape.quarter(index + 1);
                input.read(&x[quarter.clone()]);
                path.run(simd, &input, &mut hidden, &mut output);
                output.write(&mut y[quarter]);
            }
        }
    }
}

/// Adds to `sums` the gradients of ⟨y, Ax + b⟩ on a chunk.
struct Pull<'a> {
    shape: &'a Inception,
    /// The convolutions and their adjoints.
    packed: (&'a Arrays<Packed>, &'a Arrays<Packed>),
    biases: Option<&'a Arrays<&'a [f32]>>,
    x: &'a [f32],
    y: &'a [f32],
    sums: &'a mut Sums,
}

impl WithSimd for Pull<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, packed: (forward, back), biases, x, y, sums } = self;
        let length = shape.image_len().max(1);
        let (mut input, mut hidden) = (shape.planes(), shape.planes());
        let (mut slope, mut pulled) = (shape.planes(), shape.planes());
        for (x, y) in x.chunks(length).zip(y.chunks(length)) {
            for (path, (first, last)) in PATHS.into_iter().enumerate() {
                let quarter = shape.quarter(path + 1);
                input.read(&x[quarter.clone()]);
                slope.read(&y[quarter]);
                slope.add_sums(&mut sums[last].1);
                let Some(first) = first else {
                    input.add_products(simd, &slope, EXTENTS[last], &mut sums[last].0);
                    continue;
                };
                input.convolve(simd, &forward[first], bias(biases, first), &mut hidden);
                hidden.add_products(simd, &slope, EXTENTS[last], &mut sums[last].0);
                slope.convolve(simd, &back[last], None, &mut pulled);
                input.add_products(simd, &pulled, EXTENTS[first], &mut sums[first].0);
                pulled.add_sums(&mut sums[first].1);
            }
        }
    }
}
