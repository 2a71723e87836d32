//! Random projections of images, by which two states are compared without keeping either.

use crate::context::Context;
use crate::error::Error;
use crate::grid::Grid;
use rayon::prelude::*;

/// Numbers after which the signs repeat: a prime, so that no axis of an image repeats with them.
const PERIOD: usize = 4093;

/// Sums that are taken beside each other.
const LANES: usize = 8;

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
    /// ⟨s, x⟩ with random signs s.
    pub projection: f64,
    /// ‖x‖².
    pub square: f64,
}

/// The sign that number `number` of an image has in a projection.
pub fn sign(number: usize) -> f32 {
    f32::from_bits(1.0_f32.to_bits() ^ SIGNS[number % PERIOD])
}

/// The projections of images of `image` numbers each, rounded to `grid` before if there is one.
///
/// For two states x and x′, the sum over the images of (⟨s, x⟩ − ⟨s, x′⟩)² estimates ‖x − x′‖². It is zero where the
/// bits are the same. Sums are in f64, in an order that depends on nothing but the lengths.
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
    let of = |image: &[f32]| match grid {
        Some(grid) => of_image(image, |x| grid.nearest(x)),
        None => of_image(image, |x| x),
    };
    Ok(context.install(|| numbers.par_chunks(image).map(of).collect()))
}

fn of_image(image: &[f32], held: impl Fn(f32) -> f32) -> Projection {
    let (mut sums, mut squares) = ([0.0; LANES], [0.0; LANES]);
    let mut add = |lane: usize, x: f32, sign: u32| {
        let x = held(x);
        sums[lane] += f64::from(f32::from_bits(x.to_bits() ^ sign));
        squares[lane] += f64::from(x) * f64::from(x);
    };
    for part in image.chunks(PERIOD) {
        let (vectors, rest) = part.as_chunks::<LANES>();
        let (signs, last) = SIGNS.as_chunks::<LANES>();
        for (x, sign) in vectors.iter().zip(signs) {
            for lane in 0..LANES {
                add(lane, x[lane], sign[lane]);
            }
        }
        let last = signs.get(vectors.len()).map_or(last, |signs| signs);
        for (lane, (x, sign)) in rest.iter().zip(last).enumerate() {
            add(lane, *x, *sign);
        }
    }
    Projection { projection: sums.iter().sum(), square: squares.iter().sum() }
}

/// ‖x − x′‖/‖x‖, estimated from the projections of two states x and x′; infinite if there are as many of both, but one
/// of them is not finite.
///
/// # Errors
/// [`Error::Length`] if there are more of one than of the other.
pub fn drift(before: &[Projection], after: &[Projection]) -> Result<f64, Error> {
    Error::check_len("projections", before.len(), after.len())?;
    let pairs = before.iter().zip(after);
    let change: f64 = pairs.map(|(x, y)| (x.projection - y.projection).powi(2)).sum();
    let square: f64 = before.iter().map(|x| x.square).sum();
    Ok(relative(change, square))
}

/// √(change/square): 0 if nothing has changed, infinite if a number is not finite.
pub fn relative(change: f64, square: f64) -> f64 {
    match (change / square).sqrt() {
        _ if change == 0.0 && square.is_finite() => 0.0,
        drift if drift.is_finite() => drift,
        _ => f64::INFINITY,
    }
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
                assert!((own.projection - signed.sum::<f64>()).abs() < 1e-9);
                assert!((own.square - wide().map(|x| x * x).sum::<f64>()).abs() < 1e-7);
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
        let of = |x: &[f32]| projections(&context, x, 500, None).unwrap();
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
        let mut broken = x.clone();
        broken[40] = f32::NAN;
        assert_eq!(drift(&of(&x), &of(&broken)).unwrap(), f64::INFINITY);
        assert!(drift(&of(&x), &of(&x[..500])).is_err());
        // On a grid, the numbers are compared as they are held.
        let grid = Grid::new(10).ok();
        let held: Vec<f32> = x.iter().map(|&x| grid.unwrap().nearest(x)).collect();
        let before = projections(&context, &x, 500, grid).unwrap();
        assert_eq!(drift(&before, &of(&held)).unwrap(), 0.0);
    }
}
