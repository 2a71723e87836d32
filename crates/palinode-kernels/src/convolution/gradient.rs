//! Weight and bias gradients of a chunk of images.

use super::Plan;
use crate::aligned::Aligned;
use crate::layout::{Layout, Load};
use crate::register::{Factors, Matrix, accumulate, load, store, tile_rows};
use pulp::{Simd, WithSimd};

/// One thread's memory for weight gradients.
pub(super) struct WeightScratch {
    x: Aligned,
    y: Aligned,
    /// `[kernel row][kernel column, input][output]`, padded, of one group.
    points: Aligned,
    bias: Aligned,
    /// The chunk's share: w's and b's.
    pub term: Vec<f32>,
}

impl WeightScratch {
    pub fn new(plan: &Plan) -> Self {
        let (x, y, images) = (plan.x, plan.y, plan.images_per_chunk());
        let weights = plan.shape.outputs * x.channels * plan.kernel_area();
        Self {
            x: Aligned::zeros(images * x.image),
            y: Aligned::zeros(images * y.image),
            points: Aligned::zeros(plan.kernel_area() * x.depth * y.depth),
            bias: Aligned::zeros(y.depth),
            term: vec![0.0; weights + plan.shape.outputs],
        }
    }
}

/// One chunk's weight and bias gradient.
pub(super) struct WeightChunk<'a> {
    pub plan: &'a Plan,
    pub scratch: &'a mut WeightScratch,
    pub x: &'a [f32],
    pub y: &'a [f32],
}

impl WithSimd for WeightChunk<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { plan, scratch, .. } = self;
        let (x, y) = (plan.x, plan.y);
        let images = self.x.len() / plan.x_image();
        for group in plan.groups() {
            let plain = &self.x[group * x.channels * x.height * x.width..];
            let (stride, padded) = (plan.x_image(), &mut *scratch.x);
            simd.vectorize(Load { layout: x, plain, stride, padded });
            let plain = &self.y[group * y.channels * y.height * y.width..];
            let (stride, padded) = (plan.y_image(), &mut *scratch.y);
            simd.vectorize(Load { layout: y, plain, stride, padded });
            scratch.points.fill(0.0);
            scratch.bias.fill(0.0);
            simd.vectorize(WeightGradient {
                layouts: (x, y),
                kernel: plan.shape.kernel,
                stride: plan.shape.stride,
                images,
                x: &scratch.x,
                y: &scratch.y,
                weight: &mut scratch.points,
                bias: &mut scratch.bias,
            });
            let split = scratch.term.len() - plan.shape.outputs;
            let (weights, biases) = scratch.term.split_at_mut(split);
            let count = y.channels * x.channels * plan.kernel_area();
            plan.unpack(&scratch.points, &mut weights[group * count..(group + 1) * count]);
            let biases = &mut biases[group * y.channels..(group + 1) * y.channels];
            biases.copy_from_slice(&scratch.bias[..y.channels]);
        }
    }
}

/// weight\[k\]\[i\]\[o\] += Σ x\[s·p + k\]\[i\]·y\[p\]\[o\] and bias\[o\] += Σ y\[p\]\[o\] over images and pixels p.
pub(crate) struct WeightGradient<'a> {
    /// Of `x`, with its padding, and of `y`.
    pub layouts: (Layout, Layout),
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub images: usize,
    pub x: &'a [f32],
    /// From its first pixel on.
    pub y: &'a [f32],
    /// `[kernel row][kernel column][x's depth][y's depth]`.
    pub weight: &'a mut [f32],
    /// `[y's depth]`.
    pub bias: &'a mut [f32],
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    /// # Panics
    /// If a slice is too short.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (x, y) = self.layouts;
        if y.height == 0 || y.width == 0 || self.images == 0 {
            return;
        }
        // A row of the kernel reaches this many neighbouring floats of a row of x.
        let reach = self.kernel[1] * x.depth;
        let last = (y.height - 1) * self.stride[0] + self.kernel[0] - 1;
        let last = last * x.row + (y.width - 1) * self.stride[1] * x.depth + reach;
        assert!(last <= x.image && self.x.len() >= self.images * x.image);
        let last = (y.height - 1) * y.row + y.width * y.depth;
        assert!(self.y.len() >= (self.images - 1) * y.image + last);
        assert!(self.weight.len() >= self.kernel[0] * reach * y.depth);
        assert!(self.bias.len() >= y.depth && y.depth.is_multiple_of(16));
        let vectors = y.depth / S::F32_LANES;
        for image in 0..self.images {
            for row in 0..self.kernel[0] {
                for factor in (0..reach).step_by(tile_rows::<S>()) {
                    for vector in (0..vectors).step_by(2) {
                        // SAFETY: `factor` and a tile's rows end at reach, a multiple of 16, and the vectors end at
                        // `vectors`; the assertions above do the rest.
                        unsafe {
                            let tile = Tile {
                                x: self.x.as_ptr().add(image * x.image + row * x.row + factor),
                                x_row: self.stride[0] * x.row,
                                x_column: self.stride[1] * x.depth,
                                y: self.y.as_ptr().add(image * y.image + vector * S::F32_LANES),
                                layout: y,
                                into: self
                                    .weight
                                    .as_mut_ptr()
                                    .add((row * reach + factor) * y.depth + vector * S::F32_LANES),
                            };
                            match (tile_rows::<S>(), vectors - vector) {
                                (8, 1) => tile.add::<S, 8, 1>(simd),
                                (8, _) => tile.add::<S, 8, 2>(simd),
                                (_, 1) => tile.add::<S, 4, 1>(simd),
                                _ => tile.add::<S, 4, 2>(simd),
                            }
                        }
                    }
                }
            }
            for vector in 0..vectors {
                let mut sum = simd.splat_f32s(0.0);
                // Row by row: these sums may cancel, and short ones lose less.
                for row in 0..y.height {
                    let mut row_sum = simd.splat_f32s(0.0);
                    for column in 0..y.width {
                        // SAFETY: a pixel of image `image`, asserted above.
                        unsafe {
                            let at = image * y.image + row * y.row + column * y.depth;
                            let at = at + vector * S::F32_LANES;
                            row_sum = simd.add_f32s(row_sum, load::<S>(self.y.as_ptr().add(at)));
                        }
                    }
                    sum = simd.add_f32s(sum, row_sum);
                }
                // SAFETY: the bias holds `vectors` vectors, asserted above.
                unsafe {
                    let into = self.bias.as_mut_ptr().add(vector * S::F32_LANES);
                    store::<S>(into, simd.add_f32s(load::<S>(into), sum));
                }
            }
        }
    }
}

/// A register tile of one image's weight gradient.
#[derive(Clone, Copy)]
struct Tile {
    x: *const f32,
    /// Floats of x between rows of results.
    x_row: usize,
    /// Floats of x between results.
    x_column: usize,
    y: *const f32,
    layout: Layout,
    into: *mut f32,
}

impl Tile {
    /// Adds `R` factors' gradients, `N` vectors of outputs.
    ///
    /// # Safety
    /// The pointers cover an image's results.
    #[inline(always)]
    unsafe fn add<S: Simd, const R: usize, const N: usize>(self, simd: S) {
        let Layout { height, width, row, depth, .. } = self.layout;
        // SAFETY: the caller's.
        unsafe {
            let mut sums = [[simd.splat_f32s(0.0); N]; R];
            for line in 0..height {
                let x = self.x.add(line * self.x_row);
                let factors = Factors { at: x, row: 1, term: self.x_column };
                let y = Matrix { at: self.y.add(line * row), row: depth };
                accumulate(simd, width, factors, y, &mut sums);
            }
            for (r, sums) in sums.iter().enumerate() {
                for (n, &sum) in sums.iter().enumerate() {
                    let into = self.into.add(r * depth + n * S::F32_LANES);
                    store::<S>(into, simd.add_f32s(load::<S>(into), sum));
                }
            }
        }
    }
}
