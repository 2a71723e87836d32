//! Random projections of images, by which two states are compared without keeping either.

use crate::context::Context;
use crate::error::Error;
use crate::grid::Grid;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Numbers after which the signs repeat: a prime, so that no axis of an image repeats with them.
const PERIOD: usize = 4093;

/// The sign bits of ±1, from a generator of the xorshift kind.
static SIGNS: [u32; PERIOD] = signs();

const fn signs() -> [u32; PERIOD] {
    let mut signs = [0; PERIOD];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut number = 0;
    while number < PERIOD {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        signs[number] = ((state >> 32) as u32) & (1 << 31);
        number += 1;
    }
    signs
}

/// What is known of one image of a state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Projection {
    /// ⟨s, x⟩ with random signs s. (Sums of short stretches in f32, which are added up in f64.)
    pub projection: f64,
    /// ‖x‖², likewise.
    pub square: f64,
    /// The sum of all bit patterns, modulo 2³², with −0 as 0.
    pub bits: u32,
}

/// The sign that number `number` of an image has in a projection.
pub fn sign(number: usize) -> f32 {
    f32::from_bits(1.0_f32.to_bits() ^ SIGNS[number % PERIOD])
}

/// The projections of images of `image` numbers each, rounded to `grid` before if there is one.
///
/// For two states x and x′, the sum over the images of (⟨s, x⟩ − ⟨s, x′⟩)² estimates ‖x − x′‖². Sums are taken in an
/// order that depends on nothing but the lengths and the instruction set.
///
/// # Errors
/// [`Error::Length`] if the numbers make up no whole images.
pub fn projections(
    context: &Context,
    numbers: &[f32],
    image: usize,
    grid: Option<Grid>,
) -> Result<Vec<Projection>, Error> {
    let images = numbers.len().checked_div(image).unwrap_or(0);
    Error::check_len("a state", images * image, numbers.len())?;
    if images == 0 {
        return Ok(Vec::new());
    }
    let token = context.token();
    let of = |image: &[f32]| token.dispatch(OfImage { image, grid });
    Ok(context.install(|| numbers.par_chunks(image).map(of).collect()))
}

/// The projection of one image.
struct OfImage<'a> {
    image: &'a [f32],
    grid: Option<Grid>,
}

impl WithSimd for OfImage<'_> {
    type Output = Projection;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Projection {
        match self.grid {
            None => of_image(simd, self.image),
            Some(grid) => {
                let held: Vec<f32> = self.image.iter().map(|&x| grid.nearest(x)).collect();
                of_image(simd, &held)
            }
        }
    }
}

/// The projection of an image.
#[inline(always)]
pub(crate) fn of_image<S: Simd>(simd: S, image: &[f32]) -> Projection {
    let mut found = Projection::default();
    for part in image.chunks(PERIOD) {
        let (vectors, rest) = S::as_simd_f32s(part);
        let (signs, _) = S::as_simd_u32s(&SIGNS);
        let zero = simd.splat_f32s(0.0);
        let (mut sums, mut squares, mut bits) = (zero, zero, simd.splat_u32s(0));
        for (&x, &sign) in vectors.iter().zip(signs) {
            // (−0 + 0 = 0: both zeros are the same number.)
            let x = simd.add_f32s(x, zero);
            let pattern: S::u32s = bytemuck::cast(x);
            let signed: S::f32s = bytemuck::cast(simd.xor_u32s(pattern, sign));
            sums = simd.add_f32s(sums, signed);
            squares = simd.mul_add_e_f32s(x, x, squares);
            bits = simd.add_u32s(bits, pattern);
        }
        let lanes = |of: S::f32s| -> f64 {
            bytemuck::cast_slice::<S::f32s, f32>(&[of]).iter().map(|&x| f64::from(x)).sum()
        };
        found.projection += lanes(sums);
        found.square += lanes(squares);
        let patterns = bytemuck::cast_slice::<S::u32s, u32>(std::slice::from_ref(&bits)).iter();
        found.bits = patterns.fold(found.bits, |sum, own| sum.wrapping_add(*own));
        let done = part.len() - rest.len();
        for (x, sign) in rest.iter().zip(&SIGNS[done..]) {
            let x = x + 0.0;
            found.projection += f64::from(f32::from_bits(x.to_bits() ^ sign));
            found.square += f64::from(x) * f64::from(x);
            found.bits = found.bits.wrapping_add(x.to_bits());
        }
    }
    if !found.square.is_finite() {
        // The squares of numbers above 1e18 leave the range of f32.
        found.square = image.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    }
    found
}

/// How far a state is from another one, as estimated from projections of both.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Change {
    /// Σ (⟨s, x⟩ − ⟨s, x′⟩)², an estimate of ‖x − x′‖².
    pub change: f64,
    /// ‖x‖².
    pub square: f64,
    /// How many images have other bits.
    pub images: f64,
}

impl Change {
    /// The change from `before` to `after`, which have two tensors for each image. Where several ranks share a batch, it is
    /// that of the images here.
    ///
    /// # Errors
    /// [`Error::Length`] if there are more images of one than of the other.
    pub fn of(
        context: &Context,
        before: &[[Projection; 2]],
        after: &[[Projection; 2]],
    ) -> Result<Self, Error> {
        Error::check_len("projections", before.len(), after.len())?;
        let [change, square, images] = context.sum_over_images(before.len(), |image| {
            let pairs = || before[image].iter().zip(&after[image]);
            let change = pairs().map(|(x, y)| (x.projection - y.projection).powi(2)).sum();
            let square = before[image].iter().map(|x| x.square).sum();
            let altered = pairs().any(|(x, y)| x.bits != y.bits);
            [change, square, f64::from(u8::from(altered))]
        });
        Ok(Self { change, square, images })
    }

    /// ‖x − x′‖/‖x‖: 0 if all bits are the same, infinite if a number is not finite.
    pub fn drift(&self) -> f64 {
        let found = relative(self.change, self.square);
        // A change may be too small for the projections.
        if found == 0.0 && self.images > 0.0 { LEAST } else { found }
    }
}

/// The drift of states whose bits differ, but not their projections.
const LEAST: f64 = 1e-9;

/// √(change/square): infinite if a number is not finite. If there is nothing to relate the change to, √change.
pub fn relative(change: f64, square: f64) -> f64 {
    if !change.is_finite() || !square.is_finite() {
        return f64::INFINITY;
    }
    if square == 0.0 { change.sqrt() } else { (change / square).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) * 3.0).collect()
    }

    #[test]
    fn projections_are_the_sums_that_they_say() {
        let context = Context::new();
        for image in [1, 7, 8, 4092, 4093, 4097, 12_288] {
            let x = numbers(3 * image);
            let found = projections(&context, &x, image, None).unwrap();
            for (own, x) in found.iter().zip(x.chunks(image)) {
                let wide = || x.iter().map(|&x| f64::from(x));
                let signed = wide().enumerate().map(|(i, x)| f64::from(sign(i)) * x);
                let size = (image as f64).sqrt();
                assert!((own.projection - signed.sum::<f64>()).abs() < 1e-5 * size);
                let square = wide().map(|x| x * x).sum::<f64>();
                assert!((own.square / square - 1.0).abs() < 1e-5);
                let bits = x.iter().fold(0_u32, |sum, x| sum.wrapping_add(x.to_bits()));
                assert_eq!(own.bits, bits);
            }
        }
        assert!(projections(&context, &numbers(10), 3, None).is_err());
        assert!(projections(&context, &[], 3, None).unwrap().is_empty());
        let plus = (0..PERIOD).filter(|&number| sign(number) > 0.0).count();
        assert!(plus.abs_diff(PERIOD / 2) < 100, "{plus} of {PERIOD} signs are positive");
    }

    #[test]
    fn the_drift_is_estimated_and_equal_bits_have_none() {
        let context = Context::new();
        let pairs = |x: Vec<Projection>| -> Vec<[Projection; 2]> {
            x.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect()
        };
        let of = |x: &[f32]| pairs(projections(&context, x, 500, None).unwrap());
        let drift = |x: &[[Projection; 2]], y: &[[Projection; 2]]| {
            Change::of(&context, x, y).map(|change| change.drift())
        };
        let x = numbers(64 * 500);
        assert_eq!(drift(&of(&x), &of(&x)).unwrap(), 0.0);
        for size in [1e-6_f32, 1e-3, 1.0] {
            let moved: Vec<f32> = x
                .iter()
                .enumerate()
                .map(|(i, x)| x + size * ((i * 31 % 17) as f32 - 8.0))
                .collect();
            let wide = |x: &f32| f64::from(*x);
            let change: f64 = x.iter().zip(&moved).map(|(x, y)| (wide(x) - wide(y)).powi(2)).sum();
            let truth = (change / x.iter().map(|x| wide(x).powi(2)).sum::<f64>()).sqrt();
            let found = drift(&of(&x), &of(&moved)).unwrap();
            assert!(found > 0.6 * truth && found < 1.6 * truth, "{found:e}, not {truth:e}");
        }
        let mut zeros = x.clone();
        (zeros[3], zeros[499]) = (0.0, 0.0);
        let before = of(&zeros);
        (zeros[3], zeros[499]) = (-0.0, -0.0);
        assert_eq!(drift(&before, &of(&zeros)).unwrap(), 0.0);
        let mut nearly = x.clone();
        nearly[40] = nearly[40].next_up();
        let found = drift(&of(&x), &of(&nearly)).unwrap();
        assert!(found > 0.0 && found < 1e-7, "{found:e}");
        let [huge, other] = [1e30_f32, 1.001e30].map(|size| x.iter().map(|x| x * size).collect());
        let [huge, other]: [Vec<f32>; 2] = [huge, other];
        let found = drift(&of(&huge), &of(&other)).unwrap();
        assert!(found > 3e-4 && found < 3e-3, "{found:e}");
        let mut broken = x.clone();
        broken[40] = f32::NAN;
        assert_eq!(drift(&of(&x), &of(&broken)).unwrap(), f64::INFINITY);
        assert!(drift(&of(&x), &of(&x[..1000])).is_err());
        assert_eq!((relative(0.0, 0.0), relative(4.0, 0.0), relative(4.0, 16.0)), (0.0, 2.0, 0.5));
        assert_eq!(relative(0.0, f64::INFINITY), f64::INFINITY);
        // On a grid, the numbers are compared as they are held.
        let grid = Grid::new(10).ok();
        let held: Vec<f32> = x.iter().map(|&x| grid.unwrap().nearest(x)).collect();
        let before = pairs(projections(&context, &x, 500, grid).unwrap());
        assert_eq!(drift(&before, &of(&held)).unwrap(), 0.0);
    }
}
