//! The inception residual F(x) = Aᵀσ(Ax + b) as a whole, path by path inside the cache.

use super::packed::Packed;
use super::{
    Arrays, EXTENTS, IMAGES, Inception, InceptionGradients, PATHS, Sums, add, back, forward, narrow,
};
use crate::activation::Activation;
use crate::context::Context;
use crate::error::Error;
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
        let packed = self.packed(x)?;
        Ok(self.shape.each(context, x, |x, y| {
            context.token().dispatch(Value { of: self, packed: &packed, x, y });
        }))
    }

    /// F(x), and the vector–Jacobian products with v, by one evaluation of F.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn vjp(&self, context: &Context, x: &[f32], v: &[f32]) -> Result<InceptionVjp, Error> {
        let packed = self.packed(x)?;
        Error::check_len("the cotangent v of an inception residual", x.len(), v.len())?;
        let length = (IMAGES * self.shape.image_len()).max(1);
        let (mut value, mut input) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let found: Vec<Sums> = context.install(|| {
            let results = value.par_chunks_mut(length).zip(input.par_chunks_mut(length));
            let chunks = x.par_chunks(length).zip(v.par_chunks(length)).zip(results);
            let found = chunks.map(|((x, v), (y, z))| {
                let mut sums = self.shape.zeros();
                let pull = Pull { of: self, packed: &packed, x, v, y, z, sums: &mut sums };
                context.token().dispatch(pull);
                sums
            });
            found.collect()
        });
        let parameters = narrow(add(self.shape.zeros(), &found));
        Ok(InceptionVjp { value, input, parameters })
    }

    /// The convolutions and their adjoints.
    fn packed(&self, x: &[f32]) -> Result<[Arrays<Packed>; 2], Error> {
        let what = "the input x of an inception residual";
        self.shape.check(what, x, &self.kernels, Some(&self.biases))?;
        Ok([false, true].map(|transposed| self.shape.packed(&self.kernels, transposed)))
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
        let Self { of, packed: [packed, adjoints], x, y } = self;
        let InceptionResidual { shape, biases, activation, .. } = of;
        let length = shape.image_len().max(1);
        let paths = forward(packed, Some(biases)).into_iter().zip(back(adjoints));
        let (mut input, mut between) = (shape.planes(), shape.planes());
        let (mut hidden, mut output) = (shape.planes(), shape.planes());
        for (x, y) in x.chunks(length).zip(y.chunks_mut(length)) {
            input.read(&x[shape.quarter(0)]);
            input.activate(simd, *activation);
            input.write(&mut y[shape.quarter(0)]);
            for (index, (there, back)) in paths.clone().enumerate() {
                let quarter = shape.quarter(index + 1);
                input.read(&x[quarter.clone()]);
                there.run(simd, &input, &mut between, &mut hidden);
                hidden.activate(simd, *activation);
                back.run(simd, &hidden, &mut between, &mut output);
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
        let Self { of, packed: [packed, adjoints], x, v, y, z, sums } = self;
        let InceptionResidual { shape, biases, activation, .. } = of;
        let length = shape.image_len().max(1);
        let (affine, linear, adjoint) =
            (forward(packed, Some(biases)), forward(packed, None), back(adjoints));
        let planes = || shape.planes();
        let (mut input, mut cotangent) = (planes(), planes());
        // Rx + b and Rv; Ax + b, then h, and its cotangent Av, then δ.
        let (mut reduced, mut reduced_v) = (planes(), planes());
        let (mut hidden, mut slope) = (planes(), planes());
        let (mut pulled, mut output) = (planes(), planes());
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
                affine[path].run(simd, &input, &mut reduced, &mut hidden);
                linear[path].run(simd, &cotangent, &mut reduced_v, &mut slope);
                // h = σ(Ax + b), and δ = σ′(Ax + b) ⊙ Av, for Av is the cotangent of h.
                hidden.activate_with_slope(simd, *activation, &mut slope);

                // ⟨v, Aᵀh⟩ = ⟨Av, h⟩ and ⟨δ, Ax + b⟩ by the last convolution and, through its adjoint, by
                // the first.
                let (of_x, of_v) = match first {
                    Some(_) => (&reduced, &reduced_v),
                    None => (&input, &cotangent),
                };
                of_v.add_products(simd, &hidden, EXTENTS[last], &mut sums[last].0);
                of_x.add_products(simd, &slope, EXTENTS[last], &mut sums[last].0);
                slope.add_sums(&mut sums[last].1);
                adjoint[path].run(simd, &hidden, &mut pulled, &mut output);
                output.write(&mut y[quarter.clone()]);
                if let Some(first) = first {
                    cotangent.add_products(simd, &pulled, EXTENTS[first], &mut sums[first].0);
                }
                adjoint[path].run(simd, &slope, &mut pulled, &mut output);
                output.write(&mut z[quarter]);
                if let Some(first) = first {
                    input.add_products(simd, &pulled, EXTENTS[first], &mut sums[first].0);
                    pulled.add_sums(&mut sums[first].1);
                }
            }
        }
    }
}
