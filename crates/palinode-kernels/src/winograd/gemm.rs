//! The matrix products at the 36 points: one register-tiled kernel for all three of them.

use pulp::Simd;

/// Rows of `a` that a register tile holds.
const ROWS: usize = 8;

/// A product out\[m\]\[n\] (+)= Σ_k a(m, k)·b\[k\]\[n\] of `rows` × `depth` results.
#[derive(Clone, Copy)]
pub(super) struct Product {
    /// Results' rows, a multiple of 8.
    pub rows: usize,
    /// Results' columns and their stride, a multiple of 16.
    pub columns: usize,
    /// Terms of each sum.
    pub terms: usize,
    /// a(m, k) is `a[m·a_row + k·a_term]`.
    pub a_row: usize,
    /// See `a_row`.
    pub a_term: usize,
    /// Whether results are added to what is there.
    pub accumulate: bool,
}

impl Product {
    /// Computes it; `b` and `out` have `columns` floats per row.
    #[inline(always)]
    pub fn run<S: Simd>(self, simd: S, a: &[f32], b: &[f32], out: &mut [f32]) {
        assert!(self.rows.is_multiple_of(ROWS) && self.columns.is_multiple_of(16));
        assert!(self.rows > 0 && self.terms > 0 && self.columns > 0);
        assert!(a.len() > (self.rows - 1) * self.a_row + (self.terms - 1) * self.a_term);
        assert!(b.len() >= self.terms * self.columns && out.len() >= self.rows * self.columns);
        let vectors = self.columns / S::F32_LANES;
        let mut vector = 0;
        while vector < vectors {
            let left = vectors - vector;
            for row in (0..self.rows).step_by(ROWS) {
                // SAFETY: row + 8 ≤ rows, and the vectors taken end at `vectors` at most; with the
                // asserts above every access of `tile` is inside its slice.
                unsafe {
                    match left {
                        1 => self.tile::<S, 1>(simd, a, b, out, row, vector),
                        _ => self.tile::<S, 2>(simd, a, b, out, row, vector),
                    }
                }
            }
            vector += left.min(2);
        }
    }

    /// Results of eight rows and `N` vectors.
    ///
    /// # Safety
    /// `row + 8 ≤ rows`, `(vector + N)·lanes ≤ columns`, and the slices are as long as `run` asserts.
    #[inline(always)]
    unsafe fn tile<S: Simd, const N: usize>(
        self,
        simd: S,
        a: &[f32],
        b: &[f32],
        out: &mut [f32],
        row: usize,
        vector: usize,
    ) {
        let column = vector * S::F32_LANES;
        let mut sums = [[simd.splat_f32s(0.0); N]; ROWS];
        // SAFETY: the caller's conditions put a(row + r, k), b[k][column…] and
        // out[row + r][column…] inside their slices; vectors are read and written unaligned.
        unsafe {
            let mut a = a.as_ptr().add(row * self.a_row);
            let mut b = b.as_ptr().add(column);
            let out = out.as_mut_ptr().add(row * self.columns + column);
            if self.accumulate {
                for (r, sums) in sums.iter_mut().enumerate() {
                    for (n, sum) in sums.iter_mut().enumerate() {
                        *sum = load::<S>(out.add(r * self.columns + n * S::F32_LANES));
                    }
                }
            }
            for _ in 0..self.terms {
                let mut terms = [simd.splat_f32s(0.0); N];
                for (n, term) in terms.iter_mut().enumerate() {
                    *term = load::<S>(b.add(n * S::F32_LANES));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let factor = simd.splat_f32s(*a.add(r * self.a_row));
                    for (sum, &term) in sums.iter_mut().zip(&terms) {
                        *sum = simd.mul_add_e_f32s(factor, term, *sum);
                    }
                }
                a = a.add(self.a_term);
                b = b.add(self.columns);
            }
            for (r, sums) in sums.iter().enumerate() {
                for (n, &sum) in sums.iter().enumerate() {
                    store::<S>(out.add(r * self.columns + n * S::F32_LANES), sum);
                }
            }
        }
    }
}

/// Reads one vector.
///
/// # Safety
/// `from` is valid for reads of one vector of f32; it need not be aligned.
#[inline(always)]
pub(super) unsafe fn load<S: Simd>(from: *const f32) -> S::f32s {
    // SAFETY: the caller's.
    unsafe { from.cast::<S::f32s>().read_unaligned() }
}

/// Writes one vector.
///
/// # Safety
/// `to` is valid for writes of one vector of f32; it need not be aligned.
#[inline(always)]
pub(super) unsafe fn store<S: Simd>(to: *mut f32, value: S::f32s) {
    // SAFETY: the caller's.
    unsafe { to.cast::<S::f32s>().write_unaligned(value) }
}
