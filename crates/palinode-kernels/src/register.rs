//! Sums of products in registers: the one inner loop of every matrix product here.

use pulp::Simd;

/// Columns of a packed matrix that lie side by side.
///
/// A packed matrix `[terms][columns]` is a row of panels, each `[terms][≤ 32]` and contiguous, so a
/// register tile reads it as one stream.
pub(crate) const PANEL: usize = 32;

/// Where the element (`term`, `column`) of a packed matrix lies.
pub(crate) fn packed(terms: usize, columns: usize, term: usize, column: usize) -> usize {
    let start = column / PANEL * PANEL;
    let width = PANEL.min(columns - start);
    start * terms + term * width + (column - start)
}

/// Rows of a register tile: 8 where there are 32 registers to hold it, else 4.
pub(crate) const fn tile_rows<S: Simd>() -> usize {
    if S::F32_LANES >= 16 { 8 } else { 4 }
}

/// 32 bits of a product's factors: one term of a sum, or several.
pub(crate) trait Lane: Copy {
    /// How many.
    const TERMS: usize;

    /// sum + a·b, lane by lane.
    ///
    /// # Safety
    /// The machine must have what it takes.
    unsafe fn add_product<S: Simd>(simd: S, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s;
}

impl Lane for f32 {
    const TERMS: usize = 1;

    #[inline(always)]
    unsafe fn add_product<S: Simd>(simd: S, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(a, b, sum)
    }
}

/// The left side of a product, read one lane at a time.
#[derive(Clone, Copy)]
pub(crate) struct Factors<T> {
    pub at: *const T,
    /// Lanes from row to row.
    pub row: usize,
    /// Lanes from term to term.
    pub term: usize,
}

/// The right side of a product, read in vectors.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<T> {
    pub at: *const T,
    /// Lanes from term to term.
    pub row: usize,
}

/// sums\[r\]\[n\] += Σ_k a(r, k)·b\[k\]\[n\], k a lane.
///
/// # Safety
/// `a` covers `R` rows of `terms` lanes, `b` `terms` rows of `N` vectors; the machine has what products
/// of them take.
#[inline(always)]
pub(crate) unsafe fn accumulate<S: Simd, T: Lane, const R: usize, const N: usize>(
    simd: S,
    terms: usize,
    a: Factors<T>,
    b: Matrix<T>,
    sums: &mut [[S::f32s; N]; R],
) {
    // SAFETY: the caller's.
    unsafe {
        let (mut left, mut right) = (a.at, b.at);
        for _ in 0..terms / UNROLLED {
            // (Written out by the compiler: a short loop's last jump is foreseen, a long one's is not.)
            for term in 0..UNROLLED {
                add_products(simd, left.add(term * a.term), a.row, right.add(term * b.row), sums);
            }
            left = left.add(UNROLLED * a.term);
            right = right.add(UNROLLED * b.row);
        }
        for term in 0..terms % UNROLLED {
            add_products(simd, left.add(term * a.term), a.row, right.add(term * b.row), sums);
        }
    }
}

/// Terms of a sum between two jumps.
const UNROLLED: usize = 4;

/// sums\[r\]\[n\] += a(r)·b\[n\].
///
/// # Safety
/// `left` covers `R` rows, `right` `N` vectors; the machine has what products of them take.
#[inline(always)]
unsafe fn add_products<S: Simd, T: Lane, const R: usize, const N: usize>(
    simd: S,
    left: *const T,
    row: usize,
    right: *const T,
    sums: &mut [[S::f32s; N]; R],
) {
    // SAFETY: the caller's.
    unsafe {
        let mut vectors = [simd.splat_f32s(0.0); N];
        for (n, vector) in vectors.iter_mut().enumerate() {
            *vector = load::<S>(right.add(n * S::F32_LANES).cast());
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            // (Bits in a register: nothing is computed with them as f32's that are not.)
            let factor = simd.splat_f32s(*left.add(r * row).cast());
            for (sum, &vector) in sums.iter_mut().zip(&vectors) {
                *sum = T::add_product(simd, factor, vector, *sum);
            }
        }
    }
}

/// Reads one vector.
///
/// # Safety
/// `from` is valid for reads of one vector of f32; it need not be aligned.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd>(from: *const f32) -> S::f32s {
    // SAFETY: the caller's.
    unsafe { from.cast::<S::f32s>().read_unaligned() }
}

/// Writes one vector.
///
/// # Safety
/// `to` is valid for writes of one vector of f32; it need not be aligned.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd>(to: *mut f32, value: S::f32s) {
    // SAFETY: the caller's.
    unsafe { to.cast::<S::f32s>().write_unaligned(value) }
}
