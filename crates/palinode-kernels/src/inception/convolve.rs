//! Convolutions of planes, row by row, and their kernels' gradients.

use super::planes::{BORDER, LONGEST, Planes, ROWS};
use crate::register::{load, store};
use crate::scratch::Arena;
use pulp::Simd;

/// A kernel `[g, g, k, k]` in the order in which it is read: `[outputs/ROWS][input][tap][ROWS]`, with zeros
/// for the channels that pad the outputs.
pub(super) struct Packed<'m> {
    group: usize,
    extent: usize,
    weights: &'m mut [f32],
}

impl<'m> Packed<'m> {
    pub fn zeros(arena: &mut Arena<'m>, group: usize, extent: usize) -> Self {
        let weights = arena.zeros(group.next_multiple_of(ROWS) * group * extent * extent);
        Self { group, extent, weights }
    }

    /// Takes a kernel, or if `transposed`, the kernel of its adjoint: inputs and outputs exchanged and both
    /// axes reversed.
    pub fn pack(&mut self, kernel: &[f32], transposed: bool) {
        let (group, taps) = (self.group, self.extent * self.extent);
        for output in 0..group {
            for input in 0..group {
                for tap in 0..taps {
                    let value = match transposed {
                        false => kernel[(output * group + input) * taps + tap],
                        true => kernel[(input * group + output) * taps + (taps - 1 - tap)],
                    };
                    let block = output / ROWS * group * taps * ROWS;
                    self.weights[block + (input * taps + tap) * ROWS + output % ROWS] = value;
                }
            }
        }
    }
}

impl Planes<'_> {
    /// Sets `into` to the convolution of these planes, plus `bias`.
    ///
    /// # Panics
    /// If shapes differ.
    #[inline(always)]
    pub fn convolve<S: Simd>(
        &self,
        simd: S,
        kernel: &Packed<'_>,
        bias: Option<&[f32]>,
        into: &mut Planes<'_>,
    ) {
        let [height, width] = self.size;
        assert!((self.group, self.size) == (into.group, into.size) && kernel.group == self.group);
        assert!(kernel.extent <= 2 * BORDER + 1 && S::F32_LANES <= LONGEST);
        let taps = kernel.extent * kernel.extent;
        for block in 0..self.group.div_ceil(ROWS) {
            let weights = &kernel.weights[block * self.group * taps * ROWS..];
            let weights = &weights[..self.group * taps * ROWS];
            let start = block * ROWS;
            let bias: [f32; ROWS] = std::array::from_fn(|row| {
                bias.and_then(|bias| bias.get(start + row)).copied().unwrap_or(0.0)
            });
            for row in 0..height {
                let mut column = 0;
                while column < width {
                    let vectors = (width - column).div_ceil(S::F32_LANES);
                    let at = (start, row, column);
                    // SAFETY: the planes have the same shape, and `weights` ROWS floats for every input and
                    // tap. The vectors begin in a row at `column` and end at its width, rounded up to a
                    // multiple of LONGEST.
                    unsafe {
                        if vectors >= 2 {
                            self.tile::<S, 2>(simd, kernel.extent, weights, &bias, at, into);
                        } else {
                            self.tile::<S, 1>(simd, kernel.extent, weights, &bias, at, into);
                        }
                    }
                    column += vectors.min(2) * S::F32_LANES;
                }
            }
        }
        into.clear_behind();
    }

    /// Sets `ROWS` channels from `start` on at `N` vectors of pixels.
    ///
    /// # Safety
    /// `into` has the shape of these planes. `start` is a multiple of `ROWS` below the group, `row` a row, and
    /// the vectors from `column` on end at the width rounded up to a multiple of LONGEST. `extent` is at most
    /// 2·BORDER + 1. `weights` has ROWS floats for every input and tap.
    #[inline(always)]
    unsafe fn tile<S: Simd, const N: usize>(
        &self,
        simd: S,
        extent: usize,
        weights: &[f32],
        bias: &[f32; ROWS],
        (start, row, column): (usize, usize, usize),
        into: &mut Planes<'_>,
    ) {
        let half = extent / 2;
        let mut sums = bias.map(|bias| [simd.splat_f32s(bias); N]);
        let mut weight = weights.as_ptr();
        for input in 0..self.group {
            for down in 0..extent {
                // The tap's row, at most BORDER above or below.
                let line = self.row(input, row) + down * self.stride - half * self.stride;
                // SAFETY: a row has BORDER zeros before its pixels, and its pixels and the zeros behind them
                // reach to the width rounded up to a multiple of LONGEST, plus BORDER. `half` is at most
                // BORDER, so the vectors, moved by any tap, stay inside the rows of the planes. `weight` is
                // moved on by ROWS for every input and tap.
                unsafe {
                    let line = self.values.as_ptr().add(line + column - half);
                    for right in 0..extent {
                        let pixels: [S::f32s; N] =
                            std::array::from_fn(|n| load::<S>(line.add(right + n * S::F32_LANES)));
                        for (r, sums) in sums.iter_mut().enumerate() {
                            let factor = simd.splat_f32s(*weight.add(r));
                            for (sum, &pixels) in sums.iter_mut().zip(&pixels) {
                                *sum = simd.mul_add_e_f32s(factor, pixels, *sum);
                            }
                        }
                        weight = weight.add(ROWS);
                    }
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            let at = into.row(start + r, row) + column;
            for (n, &sum) in sums.iter().enumerate() {
                // SAFETY: planes are padded to whole groups of ROWS channels, so channel start + r exists, and
                // the vector is inside its row, as above.
                unsafe { store::<S>(into.values.as_mut_ptr().add(at + n * S::F32_LANES), sum) };
            }
        }
    }

    /// Adds to `kernel` `[g, g, k, k]` the gradient of ⟨cotangent, K(these planes)⟩ with respect to K.
    ///
    /// # Panics
    /// If shapes differ.
    #[inline(always)]
    pub fn add_products<S: Simd>(
        &self,
        simd: S,
        cotangent: &Planes<'_>,
        extent: usize,
        kernel: &mut [f32],
    ) {
        assert!((self.group, self.size) == (cotangent.group, cotangent.size));
        assert!(matches!(extent, 1 | 3 | 5) && S::F32_LANES <= LONGEST);
        assert_eq!(kernel.len(), self.group * self.group * extent * extent);
        for block in 0..self.group.div_ceil(ROWS) {
            for input in 0..self.group {
                for down in 0..extent {
                    let at = (block * ROWS, input, down);
                    // SAFETY: the planes have the same shape, block·ROWS and `input` are channels below the
                    // group, and `down` is a row of the kernel.
                    unsafe {
                        match extent {
                            1 => self.products::<S, 1>(simd, cotangent, at, kernel),
                            3 => self.products::<S, 3>(simd, cotangent, at, kernel),
                            _ => self.products::<S, 5>(simd, cotangent, at, kernel),
                        }
                    }
                }
            }
        }
    }

    /// Adds the gradients of one row of taps, of one input and `ROWS` outputs.
    ///
    /// # Safety
    /// `cotangent` has the shape of these planes. The first output is a multiple of `ROWS` below the group,
    /// the input is below the group, and `down` is below K ≤ 2·BORDER + 1.
    #[inline(always)]
    unsafe fn products<S: Simd, const K: usize>(
        &self,
        simd: S,
        cotangent: &Planes<'_>,
        (start, input, down): (usize, usize, usize),
        kernel: &mut [f32],
    ) {
        let [height, width] = self.size;
        let half = K / 2;
        let mut sums = [[simd.splat_f32s(0.0); K]; ROWS];
        for row in 0..height {
            let line = self.row(input, row) + down * self.stride - half * self.stride - half;
            for column in (0..width).step_by(S::F32_LANES) {
                // SAFETY: as in `tile`: a vector that begins at a pixel stays inside its row, also when it is
                // moved by a tap, and channels are padded to whole groups of ROWS. Behind the rows there are
                // zeros, which add nothing.
                unsafe {
                    let pixels: [S::f32s; K] = std::array::from_fn(|right| {
                        load::<S>(self.values.as_ptr().add(line + column + right))
                    });
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let at = cotangent.row(start + r, row) + column;
                        let factor = load::<S>(cotangent.values.as_ptr().add(at));
                        for (sum, &pixels) in sums.iter_mut().zip(&pixels) {
                            *sum = simd.mul_add_e_f32s(factor, pixels, *sum);
                        }
                    }
                }
            }
        }
        for (r, sums) in sums.iter().enumerate().take(self.group - start) {
            let at = (((start + r) * self.group + input) * K + down) * K;
            for (into, &sum) in kernel[at..at + K].iter_mut().zip(sums) {
                *into += simd.reduce_sum_f32s(sum);
            }
        }
    }
}
