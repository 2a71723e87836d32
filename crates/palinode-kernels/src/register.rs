//! Sums of products in registers: the inner loop of every matrix product in this crate.

use pulp::Simd;

/// Columns of a packed matrix that lie side by side.
///
/// A packed matrix `[terms][columns]` is a row of panels, each `[terms][≤ 32]` and contiguous, so that
/// a register tile reads it as one stream.
pub(crate) const PANEL: usize = 32;

/// Where the element (`term`, `column`) of a packed matrix lies.
pub(crate) fn packed(terms: usize, columns: usize, term: usize, column: usize) -> usize {
    let start = column / PANEL * PANEL;
    let width = PANEL.min(columns - start);
    start * terms + term * width + (column - start)
}

/// Rows of a register tile: 8 where there are 32 registers to hold it, 4 elsewhere.
pub(crate) const fn tile_rows<S: Simd>() -> usize {
    if S::F32_LANES >= 16 { 8 } else { 4 }
}

/// 32 bits of a factor: one term of a sum in f32, or a few in a shorter format.
pub(crate) trait Lane: Copy {
    /// The number of terms.
    const TERMS: usize;

    /// A proof that the machine has the instructions that the product takes.
    type Proof: Copy;

    /// sum + a·b, lane by lane.
    fn add_product<S: Simd>(
        simd: S,
        proof: Self::Proof,
        a: S::f32s,
        b: S::f32s,
        sum: S::f32s,
    ) -> S::f32s;
}

impl Lane for f32 {
    const TERMS: usize = 1;

    type Proof = ();

    #[inline(always)]
    fn add_product<S: Simd>(
        simd: S,
        (): Self::Proof,
        a: S::f32s,
        b: S::f32s,
        sum: S::f32s,
    ) -> S::f32s {
        simd.mul_add_e_f32s(a, b, sum)
    }
}

/// The left side of a product, which is read one lane at a time.
#[derive(Clone, Copy)]
pub(crate) struct Factors<T> {
    pub at: *const T,
    /// Lanes from row to row.
    pub row: usize,
    /// Lanes from term to term.
    pub term: usize,
}

/// The right side of a product, which is read in vectors.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<T> {
    pub at: *const T,
    /// Lanes from term to term.
    pub row: usize,
}

/// sums\[r\]\[n\] += Σ_k a(r, k)·b\[k\]\[n\], k a lane.
///
/// # Safety
/// `a` is valid for reads of `R` rows of `terms` lanes, `b` for reads of `terms` rows of `N` vectors.
#[inline(always)]
pub(crate) unsafe fn accumulate<S: Simd, T: Lane, const R: usize, const N: usize>(
    simd: S,
    proof: T::Proof,
    terms: usize,
    a: Factors<T>,
    b: Matrix<T>,
    sums: &mut [[S::f32s; N]; R],
) {
    let (mut left, mut right) = (a.at, b.at);
    // SAFETY: `left` and `right` are moved on by whole terms, `terms` of them in all, so every call
    // reads term number < `terms` of a's rows and of b, which the caller vouches for.
    unsafe {
        for _ in 0..terms / UNROLLED {
            // The compiler unrolls this loop: the processor predicts the exit of a short loop badly.
            for term in 0..UNROLLED {
                let (left, right) = (left.add(term * a.term), right.add(term * b.row));
                add_products(simd, proof, left, a.row, right, sums);
            }
            // (Wrapping: after the last term they may point behind the arrays.)
            left = left.wrapping_add(UNROLLED * a.term);
            right = right.wrapping_add(UNROLLED * b.row);
        }
        for term in 0..terms % UNROLLED {
            let (left, right) = (left.add(term * a.term), right.add(term * b.row));
            add_products(simd, proof, left, a.row, right, sums);
        }
    }
}

/// Terms of a sum between two jumps.
const UNROLLED: usize = 4;

/// sums\[r\]\[n\] += a(r)·b\[n\] for one lane of terms.
///
/// # Safety
/// `left` is valid for reads of `R` lanes that are `row` lanes apart, `right` for reads of `N` vectors.
#[inline(always)]
unsafe fn add_products<S: Simd, T: Lane, const R: usize, const N: usize>(
    simd: S,
    proof: T::Proof,
    left: *const T,
    row: usize,
    right: *const T,
    sums: &mut [[S::f32s; N]; R],
) {
    const { assert!(size_of::<T>() == size_of::<f32>()) };
    let mut vectors = [simd.splat_f32s(0.0); N];
    for (n, vector) in vectors.iter_mut().enumerate() {
        // SAFETY: vector n < N of `right`, in lanes of 32 bits like f32.
        *vector = unsafe { load::<S>(right.add(n * S::F32_LANES).cast()) };
    }
    for (r, sums) in sums.iter_mut().enumerate() {
        // SAFETY: lane r < R of `left`; any 32 bits are an f32. A lane of another format only passes
        // through the register, and `T::add_product` reads it as what it is.
        let factor = simd.splat_f32s(unsafe { left.add(r * row).cast::<f32>().read() });
        for (sum, &vector) in sums.iter_mut().zip(&vectors) {
            *sum = T::add_product(simd, proof, factor, vector, *sum);
        }
    }
}

/// Reads one vector.
///
/// # Safety
/// `from` is valid for reads of one vector of f32; it need not be aligned.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd>(from: *const f32) -> S::f32s {
    // SAFETY: a vector consists of `F32_LANES` numbers, for which the caller vouches; any bits are
    // numbers.
    unsafe { from.cast::<S::f32s>().read_unaligned() }
}

/// Writes one vector.
///
/// # Safety
/// `to` is valid for writes of one vector of f32; it need not be aligned.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd>(to: *mut f32, value: S::f32s) {
    // SAFETY: a vector consists of `F32_LANES` numbers, for which the caller vouches.
    unsafe { to.cast::<S::f32s>().write_unaligned(value) }
}

/// The first vector of a slice.
#[inline(always)]
pub(crate) fn first<S: Simd>(numbers: &[f32]) -> S::f32s {
    assert!(numbers.len() >= S::F32_LANES);
    // SAFETY: the assertion above.
    unsafe { load::<S>(numbers.as_ptr()) }
}

/// Sets the first vector of a slice.
#[inline(always)]
pub(crate) fn set_first<S: Simd>(numbers: &mut [f32], value: S::f32s) {
    assert!(numbers.len() >= S::F32_LANES);
    // SAFETY: the assertion above.
    unsafe { store::<S>(numbers.as_mut_ptr(), value) };
}
