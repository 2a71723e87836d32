//! Few channels of one image as planes with zeros around them, convolved row by row.

use super::packed::{Packed, ROWS};
use crate::activation::Activation;
use crate::aligned::Aligned;
use crate::register::{load, store};
use crate::sigma::{apply, pull};
use pulp::Simd;

/// Zeros on each side: half of the largest kernel.
const BORDER: usize = 2;

/// Floats of the longest vector.
const LONGEST: usize = 16;

/// Planes `[channels][height + 2·BORDER][stride]`: a row has BORDER zeros before and, up to the stride,
/// zeros behind it, so that a vector that begins anywhere in it, moved by any tap, stays inside and
/// reads zeros where there is no pixel.
#[derive(Clone)]
pub(super) struct Planes {
    group: usize,
    size: [usize; 2],
    stride: usize,
    values: Aligned,
}

impl Planes {
    /// Planes of zeros.
    pub fn new(group: usize, size: [usize; 2]) -> Self {
        let stride = size[1].next_multiple_of(LONGEST) + 2 * BORDER;
        let plane = (size[0] + 2 * BORDER) * stride;
        // Blocks of ROWS channels are written as a whole.
        let values = Aligned::zeros(group.next_multiple_of(ROWS) * plane);
        Self { group, size, stride, values }
    }

    fn plane(&self) -> usize {
        (self.size[0] + 2 * BORDER) * self.stride
    }

    /// Where row `row` of channel `channel` begins.
    fn row(&self, channel: usize, row: usize) -> usize {
        channel * self.plane() + (row + BORDER) * self.stride + BORDER
    }

    /// Takes the pixels of an image's channels, `[g, height, width]`.
    pub fn read(&mut self, pixels: &[f32]) {
        let [height, width] = self.size;
        for (line, row) in pixels.chunks(width.max(1)).enumerate() {
            let start = self.row(line / height, line % height);
            self.values[start..start + width].copy_from_slice(row);
        }
    }

    /// Gives them back.
    pub fn write(&self, pixels: &mut [f32]) {
        let [height, width] = self.size;
        for (line, row) in pixels.chunks_mut(width.max(1)).enumerate() {
            let start = self.row(line / height, line % height);
            row.copy_from_slice(&self.values[start..start + width]);
        }
    }

    /// σ of every pixel in its place.
    #[inline(always)]
    pub fn activate<S: Simd>(&mut self, simd: S, activation: Activation) {
        self.each_vector::<S>(|planes, place| {
            // SAFETY: see `each_vector`.
            unsafe {
                let at = planes.as_mut_ptr().add(place);
                store::<S>(at, apply(simd, activation, load::<S>(at)));
            }
        });
        self.clear_behind();
    }

    /// σ of every pixel in its place, and in that of `slope` σ′(pixel) times what is there.
    ///
    /// # Panics
    /// If shapes differ.
    #[inline(always)]
    pub fn activate_with_slope<S: Simd>(
        &mut self,
        simd: S,
        activation: Activation,
        slope: &mut Self,
    ) {
        assert!((self.group, self.size) == (slope.group, slope.size));
        self.each_vector::<S>(|planes, place| {
            // SAFETY: see `each_vector`; `slope` is as long.
            unsafe {
                let (at, slope) =
                    (planes.as_mut_ptr().add(place), slope.values.as_mut_ptr().add(place));
                let pre = load::<S>(at);
                store::<S>(slope, pull(simd, activation, pre, load::<S>(slope)));
                store::<S>(at, apply(simd, activation, pre));
            }
        });
        self.clear_behind();
        slope.clear_behind();
    }

    /// Calls `work` for every vector that begins at a pixel of a row and covers it: a whole one lies in
    /// the planes from each of these places on.
    #[inline(always)]
    fn each_vector<S: Simd>(&mut self, mut work: impl FnMut(&mut Aligned, usize)) {
        assert!(S::F32_LANES <= LONGEST);
        let [height, width] = self.size;
        for channel in 0..self.group {
            for row in 0..height {
                let start = self.row(channel, row);
                for column in (0..width).step_by(S::F32_LANES) {
                    work(&mut self.values, start + column);
                }
            }
        }
    }

    /// Adds each channel's sum to `sums`, which may cancel.
    pub fn add_sums(&self, sums: &mut [f64]) {
        let [height, width] = self.size;
        for (channel, sum) in sums.iter_mut().enumerate().take(self.group) {
            let rows = (0..height).map(|row| {
                let start = self.row(channel, row);
                self.values[start..start + width].iter().map(|&x| f64::from(x)).sum::<f64>()
            });
            *sum += rows.sum::<f64>();
        }
    }

    /// `into` = the convolution of these planes, plus `bias`.
    ///
    /// # Panics
    /// If shapes differ.
    #[inline(always)]
    pub fn convolve<S: Simd>(
        &self,
        simd: S,
        kernel: &Packed,
        bias: Option<&[f32]>,
        into: &mut Self,
    ) {
        let [height, width] = self.size;
        assert!((self.group, self.size) == (into.group, into.size) && kernel.group == self.group);
        assert!(kernel.extent <= 2 * BORDER + 1 && S::F32_LANES <= LONGEST);
        let taps = kernel.extent * kernel.extent;
        for block in 0..self.group.div_ceil(ROWS) {
            let weights = &kernel.weights[block * self.group * taps * ROWS..];
            let weights = &weights[..self.group * taps * ROWS];
            let first = block * ROWS;
            let bias: [f32; ROWS] = std::array::from_fn(|row| {
                bias.and_then(|bias| bias.get(first + row)).copied().unwrap_or(0.0)
            });
            for row in 0..height {
                let mut column = 0;
                while column < width {
                    let vectors = (width - column).div_ceil(S::F32_LANES);
                    // SAFETY: a row of the padded planes covers whole vectors from any pixel on, moved
                    // by up to BORDER rows and columns each way; `weights` has ROWS floats for every
                    // input and tap, and `into` whole blocks of ROWS channels.
                    unsafe {
                        if vectors >= 2 {
                            self.tile::<S, 2>(
                                simd,
                                kernel,
                                weights,
                                &bias,
                                (first, row, column),
                                into,
                            );
                        } else {
                            self.tile::<S, 1>(
                                simd,
                                kernel,
                                weights,
                                &bias,
                                (first, row, column),
                                into,
                            );
                        }
                    }
                    column += vectors.min(2) * S::F32_LANES;
                }
            }
        }
        into.clear_behind();
    }

    /// Results of ROWS channels at N vectors of pixels.
    ///
    /// # Safety
    /// As [`convolve`](Self::convolve) says of its only use.
    #[inline(always)]
    unsafe fn tile<S: Simd, const N: usize>(
        &self,
        simd: S,
        kernel: &Packed,
        weights: &[f32],
        bias: &[f32; ROWS],
        (first, row, column): (usize, usize, usize),
        into: &mut Self,
    ) {
        let half = kernel.extent / 2;
        let mut sums = bias.map(|bias| [simd.splat_f32s(bias); N]);
        let mut weight = weights.as_ptr();
        // SAFETY: the caller's.
        unsafe {
            for input in 0..self.group {
                for down in 0..kernel.extent {
                    // The row above the first by half a kernel, BORDER at the most.
                    let line = self.row(input, row) + down * self.stride - half * self.stride;
                    let line = self.values.as_ptr().add(line + column - half);
                    for right in 0..kernel.extent {
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
            for (r, sums) in sums.iter().enumerate() {
                let start = into.row(first + r, row) + column;
                for (n, &sum) in sums.iter().enumerate() {
                    store::<S>(into.values.as_mut_ptr().add(start + n * S::F32_LANES), sum);
                }
            }
        }
    }

    /// Zeros behind the rows, where whole vectors have been written.
    fn clear_behind(&mut self) {
        let [height, width] = self.size;
        let end = width.next_multiple_of(LONGEST);
        for channel in 0..self.group {
            for row in 0..height {
                let start = self.row(channel, row);
                self.values[start + width..start + end].fill(0.0);
            }
        }
    }

    /// Adds to `kernel` `[g, g, k, k]` the gradient of ⟨slope, K(these planes)⟩ with respect to K.
    ///
    /// # Panics
    /// If shapes differ.
    #[inline(always)]
    pub fn add_products<S: Simd>(&self, simd: S, slope: &Self, extent: usize, kernel: &mut [f32]) {
        assert!((self.group, self.size) == (slope.group, slope.size));
        assert!(extent <= 2 * BORDER + 1 && S::F32_LANES <= LONGEST);
        assert_eq!(kernel.len(), self.group * self.group * extent * extent);
        for block in 0..self.group.div_ceil(ROWS) {
            for input in 0..self.group {
                for down in 0..extent {
                    let at = (block * ROWS, input, down);
                    // SAFETY: as in `convolve`; behind the rows of `slope` there are zeros.
                    unsafe {
                        match extent {
                            1 => self.products::<S, 1>(simd, slope, at, kernel),
                            3 => self.products::<S, 3>(simd, slope, at, kernel),
                            _ => self.products::<S, 5>(simd, slope, at, kernel),
                        }
                    }
                }
            }
        }
    }

    /// One row of taps of one input and ROWS outputs.
    ///
    /// # Safety
    /// As [`add_products`](Self::add_products) says of its only use.
    #[inline(always)]
    unsafe fn products<S: Simd, const K: usize>(
        &self,
        simd: S,
        slope: &Self,
        (first, input, down): (usize, usize, usize),
        kernel: &mut [f32],
    ) {
        let [height, width] = self.size;
        let half = K / 2;
        let mut sums = [[simd.splat_f32s(0.0); K]; ROWS];
        for row in 0..height {
            let line = self.row(input, row) + down * self.stride - half * self.stride - half;
            for column in (0..width).step_by(S::F32_LANES) {
                // SAFETY: the caller's.
                unsafe {
                    let pixels: [S::f32s; K] = std::array::from_fn(|right| {
                        load::<S>(self.values.as_ptr().add(line + column + right))
                    });
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let start = slope.row(first + r, row) + column;
                        let factor = load::<S>(slope.values.as_ptr().add(start));
                        for (sum, &pixels) in sums.iter_mut().zip(&pixels) {
                            *sum = simd.mul_add_e_f32s(factor, pixels, *sum);
                        }
                    }
                }
            }
        }
        for (r, sums) in sums.iter().enumerate().take(self.group - first) {
            let start = (((first + r) * self.group + input) * K + down) * K;
            for (into, &sum) in kernel[start..start + K].iter_mut().zip(sums) {
                *into += simd.reduce_sum_f32s(sum);
            }
        }
    }
}
