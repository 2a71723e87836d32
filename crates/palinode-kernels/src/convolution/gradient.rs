//! Weight and bias gradients of a chunk of padded images.

use crate::layout::Layout;
use crate::register::{Factors, Matrix, accumulate, load, store, tile_rows};
use pulp::{Simd, WithSimd};

/// weight\[k\]\[i\]\[o\] += Σ x\[s·p + k\]\[i\]·y\[p\]\[o\] and bias\[o\] += Σ y\[p\]\[o\] over images and pixels p.
pub(crate) struct WeightGradient<'a> {
    /// The layouts of `x`, with its padding, and of `y`.
    pub layouts: (Layout, Layout),
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub images: usize,
    pub x: &'a [f32],
    /// Begins with its first pixel.
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
                        // SAFETY: a tile's rows are a divisor of 16 and `reach` is a multiple of 16, so they
                        // end at `reach`; N vectors end at `vectors`, for N is 1 if only one is left. So the
                        // tile reads x at `factor` + R of `reach` floats at every result, y at a vector of
                        // every pixel, and adds to R rows of the weight: inside the slices, as asserted.
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
                // Row by row: these sums may cancel, and short sums lose less.
                for row in 0..y.height {
                    let mut row_sum = simd.splat_f32s(0.0);
                    for column in 0..y.width {
                        // SAFETY: a vector of a pixel of image number `image`, which y covers as asserted.
                        unsafe {
                            let at = image * y.image + row * y.row + column * y.depth;
                            let at = at + vector * S::F32_LANES;
                            row_sum = simd.add_f32s(row_sum, load::<S>(self.y.as_ptr().add(at)));
                        }
                    }
                    sum = simd.add_f32s(sum, row_sum);
                }
                // SAFETY: vector number `vector` < `vectors` of the bias, which holds them as asserted.
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
    /// Adds the gradients of `R` factors, `N` vectors of outputs each.
    ///
    /// # Safety
    /// With the layout's height and width, for every result (row, column): `x` + row·`x_row` +
    /// column·`x_column` is valid for reads of `R` floats, and `y` at that pixel of the layout for reads of
    /// `N` vectors. `into` is valid for reads and writes of `N` vectors in `R` rows, the layout's depth apart.
    #[inline(always)]
    unsafe fn add<S: Simd, const R: usize, const N: usize>(self, simd: S) {
        let Layout { height, width, row, depth, .. } = self.layout;
        // SAFETY: lines are below `height` and terms below `width`, so only results are read, and only R
        // rows of `into` are touched; the caller vouches for both.
        unsafe {
            let mut sums = [[simd.splat_f32s(0.0); N]; R];
            for line in 0..height {
                let x = self.x.add(line * self.x_row);
                let factors = Factors { at: x, row: 1, term: self.x_column };
                let y = Matrix { at: self.y.add(line * row), row: depth };
                accumulate(simd, (), width, factors, y, &mut sums);
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
