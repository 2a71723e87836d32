//! Sums over the taps of a kernel, in register tiles of pixels by channels.

use super::packing::Pass;
use crate::register::{Factors, Matrix, PANEL, accumulate, load, store, tile_rows};
use pulp::{Simd, WithSimd};

/// A [`Pass`] over a chunk of padded images. Each side comes with its floats per image.
pub(crate) struct Correlate<'a> {
    pub pass: &'a Pass,
    /// The packed weights of the pass.
    pub weights: &'a [f32],
    /// What the sums begin with, `[depth]`.
    pub bias: &'a [f32],
    pub images: usize,
    pub from: (&'a [f32], usize),
    pub into: (&'a mut [f32], usize),
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    /// # Panics
    /// If a slice is too short for the pass.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { pass, weights, bias, images, from, into } = self;
        let ((from, from_image), (into, into_image)) = (from, into);
        let furthest = pass.runs.iter().map(|run| run.offset + run.terms).max().unwrap_or(0);
        let last = |[first, row, column]: [usize; 3]| {
            first + (pass.rows - 1) * row + (pass.columns - 1) * column
        };
        if pass.rows == 0 || pass.columns == 0 || images == 0 {
            return;
        }
        assert!(pass.depth.is_multiple_of(16) && bias.len() >= pass.depth);
        assert!(weights.len() >= pass.terms * pass.depth);
        assert_eq!(pass.runs.iter().map(|run| run.terms).sum::<usize>(), pass.terms);
        assert!(from.len() >= (images - 1) * from_image + last(pass.from) + furthest);
        assert!(into.len() >= (images - 1) * into_image + last(pass.into) + pass.depth);
        for start in (0..pass.depth).step_by(PANEL) {
            let width = PANEL.min(pass.depth - start);
            let vectors = width / S::F32_LANES;
            for vector in (0..vectors).step_by(2) {
                let column = vector * S::F32_LANES;
                for image in 0..images {
                    for row in 0..pass.rows {
                        let read = image * from_image + pass.from[0] + row * pass.from[1];
                        let written = image * into_image + pass.into[0] + row * pass.into[1];
                        // SAFETY: a row number < `pass.rows` of an image number < `images`. As asserted,
                        // `from` covers the runs and `into` a pixel of `pass.depth` floats at the last
                        // column of the last row of the last image, so they do at this row. A panel of
                        // the weights has `pass.terms` rows of `width` floats from start·terms on, and
                        // column + N vectors end at `width`, for N is 1 if only one vector is left.
                        unsafe {
                            let line = Line {
                                pass,
                                from: from.as_ptr().add(read),
                                weights: weights.as_ptr().add(start * pass.terms + column),
                                width,
                                bias: bias.as_ptr().add(start + column),
                                into: into.as_mut_ptr().add(written + start + column),
                            };
                            match vectors - vector {
                                1 => line.run::<S, 1>(simd),
                                _ => line.run::<S, 2>(simd),
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One row of results, one or two vectors of channels.
#[derive(Clone, Copy)]
struct Line<'a> {
    pass: &'a Pass,
    from: *const f32,
    weights: *const f32,
    /// Columns of the weights' panel.
    width: usize,
    bias: *const f32,
    into: *mut f32,
}

impl Line<'_> {
    /// Computes all columns.
    ///
    /// # Safety
    /// For every column c of the pass: `from` + c·`pass.from[2]` is valid for reads of all runs, and `into` +
    /// c·`pass.into[2]` for writes of `N` vectors. `bias` is valid for reads of `N` vectors, and `weights` in
    /// each of `pass.terms` rows of `width` floats.
    #[inline(always)]
    unsafe fn run<S: Simd, const N: usize>(self, simd: S) {
        let columns = self.pass.columns;
        let full = tile_rows::<S>();
        let mut column = 0;
        while column < columns {
            let left = columns - column;
            // SAFETY: no tile ends behind the last column: the number of its columns is at most `left`,
            // or its first column is at most columns − full.
            column += unsafe {
                if columns >= full {
                    // The last tile may overlap the one before it and compute the same again.
                    column = column.min(columns - full);
                    match full {
                        8 => self.tile::<S, 8, N>(simd, column),
                        _ => self.tile::<S, 4, N>(simd, column),
                    }
                } else if left >= 4 {
                    self.tile::<S, 4, N>(simd, column)
                } else if left >= 2 {
                    self.tile::<S, 2, N>(simd, column)
                } else {
                    self.tile::<S, 1, N>(simd, column)
                }
            };
        }
    }

    /// Computes `R` results from `column` on; returns `R`.
    ///
    /// # Safety
    /// As [`run`](Self::run), and `column + R` is at most the number of columns.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const N: usize>(self, simd: S, column: usize) -> usize {
        let (from_column, into_column) = (self.pass.from[2], self.pass.into[2]);
        // SAFETY: the caller vouches for all columns below column + R, hence for the bias, for every run at
        // R columns, for its rows of the weights (the runs' terms add up to `pass.terms`), and for the
        // results.
        unsafe {
            let mut sums = [[simd.splat_f32s(0.0); N]; R];
            for sums in &mut sums {
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = load::<S>(self.bias.add(n * S::F32_LANES));
                }
            }
            let from = self.from.add(column * from_column);
            let mut weights = Matrix { at: self.weights, row: self.width };
            for run in &self.pass.runs {
                let pixels = Factors { at: from.add(run.offset), row: from_column, term: 1 };
                accumulate(simd, (), run.terms, pixels, weights, &mut sums);
                // (Wrapping: after the last run it may point behind the weights.)
                weights.at = weights.at.wrapping_add(run.terms * self.width);
            }
            for (r, sums) in sums.iter().enumerate() {
                for (n, &sum) in sums.iter().enumerate() {
                    let into = self.into.add((column + r) * into_column + n * S::F32_LANES);
                    store::<S>(into, sum);
                }
            }
        }
        R
    }
}
