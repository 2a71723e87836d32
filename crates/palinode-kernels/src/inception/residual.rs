//! The inception residual F(x) = Aᵀσ(Ax + b) as a whole, path by path inside the cache.

use super::planes::{Packed, Planes};
use super::{Arrays, EXTENTS, IMAGES, Inception, PATHS, Sums, add, bias, narrow};
use crate::Activation;
use crate::isa::dispatch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// The residual F(x) = Aᵀσ(Ax + b) of the [map](Inception) A; arrays as there.
#[derive(Clone, Copy, Debug)]
pub struct InceptionResidual<'a> {
    /// A's shape.
    pub shape: Inception,
    /// A's kernels.
    pub kernels: Arrays<&'a [f32]>,
    /// The biases that b amounts to.
    pub biases: Arrays<&'a [f32]>,
    /// σ.
    pub activation: Activation,
}

/// What a pull-back gives: F(x), Jᵀv, and the gradients of ⟨v, F(x)⟩ with respect to kernels and biases.
pub struct PulledBack {
    /// F(x).
    pub value: Vec<f32>,
    /// Jᵀv.
    pub slope: Vec<f32>,
    /// With respect to the kernels.
    pub kernels: Arrays<Vec<f32>>,
    /// With respect to the biases.
    pub biases: Arrays<Vec<f32>>,
}

impl InceptionResidual<'_> {
    /// F(x).
    ///
    /// # Panics
    /// If an array's length does not fit the shape.
    pub fn value(&self, x: &[f32]) -> Vec<f32> {
        let packed = self.packed(x);
        self.shape.each(x, |x, y| dispatch(Value { of: self, packed: &packed, x, y }))
    }

    /// F(x), Jᵀv and the parameters' gradients, by one evaluation of F.
    ///
    /// # Panics
    /// As [`value`](Self::value).
    pub fn pull_back(&self, x: &[f32], v: &[f32]) -> PulledBack {
        let packed = self.packed(x);
        assert_eq!(x.len(), v.len(), "elements of v");
        let length = (IMAGES * self.shape.image_len()).max(1);
        let (mut value, mut slope) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let results = value.par_chunks_mut(length).zip(slope.par_chunks_mut(length));
        let chunks = x.par_chunks(length).zip(v.par_chunks(length)).zip(results);
        let found: Vec<Sums> = chunks
            .map(|((x, v), (y, z))| {
                let mut sums = self.shape.zeros();
                dispatch(Pull { of: self, packed: &packed, x, v, y, z, sums: &mut sums });
                sums
            })
            .collect();
        let (kernels, biases) = narrow(add(self.shape.zeros(), &found));
        PulledBack { value, slope, kernels, biases }
    }

    /// The convolutions and their adjoints.
    fn packed(&self, x: &[f32]) -> [Arrays<Packed>; 2] {
        self.shape.check(x, &self.kernels, Some(&self.biases));
        [false, true].map(|transposed| self.shape.packed(&self.kernels, transposed))
    }
}

/// Planes of one image's group, for every step of a path.
struct Scratch {
    /// x, or v.
    input: Planes,
    /// Rx + b, Rv.
    reduced: [Planes; 2],
    /// A's values, then h = σ(Ax + b); then the slope δ.
    hidden: [Planes; 2],
    /// Cᵀh, Cᵀδ.
    pulled: Planes,
    output: Planes,
}

impl Scratch {
    fn new(shape: &Inception) -> Self {
        let planes = || shape.planes();
        Self {
            input: planes(),
            reduced: [planes(), planes()],
            hidden: [planes(), planes()],
            pulled: planes(),
            output: planes(),
        }
    }
}

/// y = F(x) on a chunk.
struct Value<'a> {
    of: &'a InceptionResidual<'a>,
    packed: &'a [Arrays<Packed>; 2],
    x: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for Value<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, packed: [forward, back], x, y } = self;
        let InceptionResidual { shape, biases, activation, .. } = of;
        let length = shape.image_len().max(1);
        let Scratch {
            mut input,
            reduced: [mut reduced, _],
            hidden: [mut hidden, _],
            mut pulled,
            ..
        } = Scratch::new(shape);
        let mut output = shape.planes();
        for (x, y) in x.chunks(length).zip(y.chunks_mut(length)) {
            input.read(&x[shape.quarter(0)]);
            input.activate(simd, *activation);
            input.write(&mut y[shape.quarter(0)]);
            for (path, (first, last)) in PATHS.into_iter().enumerate() {
                let quarter = shape.quarter(path + 1);
                input.read(&x[quarter.clone()]);
                let (last_bias, to) = (bias(Some(biases), last), &mut hidden);
                match first {
                    Some(first) => {
                        input.convolve(
                            simd,
                            &forward[first],
                            bias(Some(biases), first),
                            &mut reduced,
                        );
                        reduced.convolve(simd, &forward[last], last_bias, to);
                    }
                    None => input.convolve(simd, &forward[last], last_bias, to),
                }
                hidden.activate(simd, *activation);
                match first {
                    Some(first) => {
                        hidden.convolve(simd, &back[last], None, &mut pulled);
                        pulled.convolve(simd, &back[first], None, &mut output);
                    }
                    None => hidden.convolve(simd, &back[last], None, &mut output),
                }
                output.write(&mut y[quarter]);
            }
        }
    }
}

/// y = F(x), z = Jᵀv and the parameters' gradients on a chunk.
struct Pull<'a> {
    of: &'a InceptionResidual<'a>,
    packed: &'a [Arrays<Packed>; 2],
    x: &'a [f32],
    v: &'a [f32],
    y: &'a mut [f32],
    z: &'a mut [f32],
    sums: &'a mut Sums,
}

impl WithSimd for Pull<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, packed: [forward, back], x, v, y, z, sums } = self;
        let InceptionResidual { shape, biases, activation, .. } = of;
        let length = shape.image_len().max(1);
        let Scratch {
            mut input,
            reduced: [mut reduced, mut reduced_v],
            hidden: [mut hidden, mut slope],
            mut pulled,
            mut output,
        } = Scratch::new(shape);
        let mut cotangent = shape.planes();
        let images = x.chunks(length).zip(v.chunks(length));
        let results = y.chunks_mut(length).zip(z.chunks_mut(length));
        for ((x, v), (y, z)) in images.zip(results) {
            let own = shape.quarter(0);
            hidden.read(&x[own.clone()]);
            slope.read(&v[own.clone()]);
            hidden.activate_with_slope(simd, *activation, &mut slope);
            hidden.write(&mut y[own.clone()]);
            slope.write(&mut z[own]);
            for (path, (first, last)) in PATHS.into_iter().enumerate() {
                let quarter = shape.quarter(path + 1);
                input.read(&x[quarter.clone()]);
                cotangent.read(&v[quarter.clone()]);
                let last_bias = bias(Some(biases), last);
                if let Some(first) = first {
                    let first_bias = bias(Some(biases), first);
                    input.convolve(simd, &forward[first], first_bias, &mut reduced);
                    reduced.convolve(simd, &forward[last], last_bias, &mut hidden);
                    cotangent.convolve(simd, &forward[first], None, &mut reduced_v);
                    reduced_v.convolve(simd, &forward[last], None, &mut slope);
                } else {
                    input.convolve(simd, &forward[last], last_bias, &mut hidden);
                    cotangent.convolve(simd, &forward[last], None, &mut slope);
                }
                // h = σ(Ax + b), and δ = σ′(Ax + b) ⊙ Av, for Av is the cotangent of h.
                hidden.activate_with_slope(simd, *activation, &mut slope);
                slope.add_sums(&mut sums[last].1);
                let Some(first) = first else {
                    // ⟨v, Aᵀh⟩ = ⟨Av, h⟩, and ⟨δ, Ax + b⟩.
                    cotangent.add_products(simd, &hidden, EXTENTS[last], &mut sums[last].0);
                    input.add_products(simd, &slope, EXTENTS[last], &mut sums[last].0);
                    hidden.convolve(simd, &back[last], None, &mut output);
                    output.write(&mut y[quarter.clone()]);
                    slope.convolve(simd, &back[last], None, &mut output);
                    output.write(&mut z[quarter]);
                    continue;
                };
                reduced_v.add_products(simd, &hidden, EXTENTS[last], &mut sums[last].0);
                reduced.add_products(simd, &slope, EXTENTS[last], &mut sums[last].0);
                hidden.convolve(simd, &back[last], None, &mut pulled);
                cotangent.add_products(simd, &pulled, EXTENTS[first], &mut sums[first].0);
                pulled.convolve(simd, &back[first], None, &mut output);
                output.write(&mut y[quarter.clone()]);
                slope.convolve(simd, &back[last], None, &mut pulled);
                pulled.add_sums(&mut sums[first].1);
                input.add_products(simd, &pulled, EXTENTS[first], &mut sums[first].0);
                pulled.convolve(simd, &back[first], None, &mut output);
                output.write(&mut z[quarter]);
            }
        }
    }
}
