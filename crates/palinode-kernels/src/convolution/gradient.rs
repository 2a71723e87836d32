//! Weight and bias gradients of a chunk of images.

use crate::layout::Layout;
use crate::register::{Factors, Matrix, accumulate, load, store};
use pulp::{Simd, WithSimd};

/// weight\[k\]\[i\]\[o\] += Σ x\[s·p + k\]\[i\]·y\[p\]\[o\] and bias\[o\] += Σ y\[p\]\[o\] over images and pixels p.
pub(super) struct WeightGradient<'a> {
    /// Of `x`, with its padding, and of `y`, without.
    pub layouts: (Layout, Layout),
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub images: usize,
    pub x: &'a [f32],
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
        if y.height == 0 || y.width == 0 {
            return;
        }
        // A row of the kernel reaches this many neighbouring floats of a row of x.
        let reach = self.kernel[1] * x.depth;
        let last = (y.height - 1) * self.stride[0] + self.kernel[0] - 1;
        let last = last * x.row + (y.width - 1) * self.stride[1] * x.depth + reach;
        assert!(last <= x.image && self.x.len() >= self.images * x.image);
        assert!(self.y.len() >= self.images * y.image);
        assert!(self.weight.len() >= self.kernel[0] * reach * y.depth);
        assert!(self.bias.len() >= y.depth && y.depth.is_multiple_of(16));
        let vectors = y.depth / S::F32_LANES;
        for image in 0..self.images {
            for row in 0..self.kernel[0] {
                for factor in (0..reach).step_by(8) {
                    for vector in (0..vectors).step_by(2) {
                        // SAFETY: `factor` + 8 ≤ reach, a multiple of 16, and the vectors end at
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
                            match (S::F32_LANES, vectors - vector) {
                                (16.., 1) => tile.add::<S, 8, 1>(simd),
                                (16.., _) => tile.add::<S, 8, 2>(simd),
                                (_, 1) => {
                                    tile.add::<S, 4, 1>(simd);
                                    tile.below(4).add::<S, 4, 1>(simd);
                                }
                                _ => {
                                    tile.add::<S, 4, 2>(simd);
                                    tile.below(4).add::<S, 4, 2>(simd);
                                }
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
                            let pixel = row * y.width + column;
                            let at = image * y.image + pixel * y.depth + vector * S::F32_LANES;
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
    /// The tile `rows` factors further on.
    ///
    /// # Safety
    /// It is inside the same arrays.
    #[inline(always)]
    unsafe fn below(self, rows: usize) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let into = self.into.add(rows * self.layout.depth);
            Self { x: self.x.add(rows), into, ..self }
        }
    }

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
