//! Intel's AMX: products of small matrices in bf16, added up in f32, in registers of 16 rows of 64 bytes.
//!
//! Stable Rust has no intrinsics for its instructions, so they are written in assembly. Each thread has its
//! own tile registers and no other code uses them, so their contents need not survive between two calls.

use pulp::x86::V4;
use std::arch::asm;
use std::arch::x86_64::__cpuid_count;

/// A proof that the machine has AMX with products in bf16 and AVX-512 with conversions to bf16, and that the
/// operating system lets the process use AMX.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amx {
    vectors: V4,
}

impl Amx {
    /// None if anything is missing.
    pub fn new() -> Option<Self> {
        let vectors = V4::try_new()?;
        let there = is_x86_feature_detected!("avx512bf16") && is_on_machine() && is_permitted();
        there.then_some(Self { vectors })
    }

    /// The proof that the machine has AVX-512.
    pub fn vectors(self) -> V4 {
        self.vectors
    }

    /// Runs `work` with registers that are set up for left sides of `rows` rows and `terms` terms.
    ///
    /// # Panics
    /// If `rows` is not in 1 … 16, or `terms` is neither 16 nor 32.
    #[inline(always)]
    pub fn with_tiles<R>(self, rows: usize, terms: usize, work: impl FnOnce(&Tiles) -> R) -> R {
        assert!((1..=16).contains(&rows) && (terms == 16 || terms == 32));
        let mut shapes = Shapes { palette: 1, ..Shapes::default() };
        let sums = (rows, 64);
        let (left, right) = ((rows, 2 * terms), (terms / 2, 64));
        for (register, (rows, bytes)) in [sums, sums, left, right, right].into_iter().enumerate() {
            shapes.rows[register] = rows as u8;
            shapes.bytes[register] = bytes as u16;
        }
        // SAFETY: `self` proves that the processor has the instruction, which reads the 64 bytes of `shapes`. They
        // are valid for palette 1: as asserted, no register has more than 16 rows or 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, readonly)) };
        let result = work(&Tiles { terms });
        // SAFETY: `self` proves that the processor has the instruction, which touches no memory. (Without it the
        // system would save the registers at every switch of threads.)
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
        result
    }
}

/// Whether the processor has tiles and their products in bf16.
fn is_on_machine() -> bool {
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    let features = __cpuid_count(7, 0).edx;
    features & (AMX_BF16 | AMX_TILE) == AMX_BF16 | AMX_TILE
}

/// Asks the system for permission to use tiles: it saves their state only for processes that have asked.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XTILEDATA: libc::c_long = 18;
    // SAFETY: the request takes two numbers and no pointer; a system that does not know it refuses it.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// What `ldtilecfg` reads: the shapes of the eight registers, and room for eight more.
#[derive(Default)]
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

/// A matrix in memory: its first element, and the bytes from row to row. It is fastest if rows begin on cache
/// lines.
#[derive(Clone, Copy)]
pub(crate) struct Rows<T> {
    pub at: T,
    pub bytes: usize,
}

/// Registers that are ready for products.
pub(crate) struct Tiles {
    /// Terms of a block.
    terms: usize,
}

impl Tiles {
    /// out\[m\]\[n\] = Σ_k a\[m\]\[k\]·b\[k\]\[n\], or += if `ADD`, for 32 columns n if `WIDE` and 16 otherwise. An
    /// element of 32 bits holds two neighbouring terms in bf16. A row of a has all terms of one m, a row of b one
    /// pair of terms for every n.
    ///
    /// # Safety
    /// With R rows and T terms as the registers are set up, and C columns: a is valid for reads of R rows of
    /// `blocks`·T terms, b for reads of `blocks`·T/2 rows of C pairs, and out for writes (and, if `ADD`, reads) of R
    /// rows of C numbers. `blocks` is not 0.
    #[inline(always)]
    pub unsafe fn multiply<const WIDE: bool, const ADD: bool>(
        &self,
        blocks: usize,
        a: Rows<*const u32>,
        b: Rows<*const u32>,
        out: Rows<*mut f32>,
    ) {
        let (a_step, b_step) = (2 * self.terms, self.terms / 2 * b.bytes);
        // SAFETY: `with_tiles` has set up the registers, on a machine that has the instructions. A pass of the loop
        // reads one block of terms of a and b, and there are `blocks` of them; the instructions before and after it
        // touch R rows of 64 bytes of out, or twice as many. The caller vouches for all of them.
        unsafe {
            // Sixteen columns each: how the sum starts, its register, one for b, bytes from the first column.
            macro_rules! product {
                ($(($start:literal, $sum:literal, $right:literal, $at:literal)),*) => {
                    asm!(
                        $($start,)*
                        "2:",
                        "tileloadd tmm2, [{a} + {a_row}]",
                        $(
                            concat!("tileloadd ", $right, ", [{b} + {b_row} + ", $at, "]"),
                            concat!("tdpbf16ps ", $sum, ", tmm2, ", $right),
                        )*
                        "add {a}, {a_step}",
                        "add {b}, {b_step}",
                        "dec {blocks}",
                        "jnz 2b",
                        $(concat!("tilestored [{out} + {out_row} + ", $at, "], ", $sum),)*
                        a = inout(reg) a.at => _,
                        a_row = in(reg) a.bytes,
                        a_step = in(reg) a_step,
                        b = inout(reg) b.at => _,
                        b_row = in(reg) b.bytes,
                        b_step = in(reg) b_step,
                        blocks = inout(reg) blocks => _,
                        out = in(reg) out.at,
                        out_row = in(reg) out.bytes,
                        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _,
                        options(nostack),
                    )
                };
            }
            match (WIDE, ADD) {
                (false, false) => product!(("tilezero tmm0", "tmm0", "tmm3", "0")),
                (false, true) => {
                    product!(("tileloadd tmm0, [{out} + {out_row}]", "tmm0", "tmm3", "0"))
                }
                (true, false) => product!(
                    ("tilezero tmm0", "tmm0", "tmm3", "0"),
                    ("tilezero tmm1", "tmm1", "tmm4", "64")
                ),
                (true, true) => product!(
                    ("tileloadd tmm0, [{out} + {out_row}]", "tmm0", "tmm3", "0"),
                    ("tileloadd tmm1, [{out} + {out_row} + 64]", "tmm1", "tmm4", "64")
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUARD: f32 = 1234.5;

    /// Small whole numbers, exact in bf16 as their products and sums are in f32.
    fn number(i: usize) -> f32 {
        ((i * 7919 + 13) % 31) as f32 - 15.0
    }

    /// Whole numbers as pairs in bf16.
    fn pair(low: f32, high: f32) -> u32 {
        low.to_bits() >> 16 | high.to_bits() & 0xffff_0000
    }

    fn check<const WIDE: bool, const ADD: bool>(
        amx: Amx,
        rows: usize,
        terms: usize,
        blocks: usize,
    ) {
        let (columns, all) = (if WIDE { 32 } else { 16 }, terms * blocks);
        let a = |m: usize, k: usize| number(m * all + k);
        let b = |k: usize, n: usize| number(k * 101 + n * 3 + 7);
        let pairs = (0..rows * all / 2).map(|i| {
            let (m, k) = (i / (all / 2), i % (all / 2));
            pair(a(m, 2 * k), a(m, 2 * k + 1))
        });
        let left: Vec<u32> = pairs.collect();
        let pairs = (0..all / 2 * columns).map(|i| {
            let (k, n) = (i / columns, i % columns);
            pair(b(2 * k, n), b(2 * k + 1, n))
        });
        let right: Vec<u32> = pairs.collect();
        // A column more than are written, and a row.
        let mut out = vec![GUARD; (rows + 1) * (columns + 1)];
        amx.with_tiles(rows, terms, |tiles| {
            let a = Rows { at: left.as_ptr(), bytes: 2 * all };
            let b = Rows { at: right.as_ptr(), bytes: 4 * columns };
            let out = Rows { at: out.as_mut_ptr(), bytes: 4 * (columns + 1) };
            // SAFETY: `rows` and `blocks` times `terms` of a, as many of b; `rows` and columns of out.
            unsafe { tiles.multiply::<WIDE, ADD>(blocks, a, b, out) };
        });
        for (at, &found) in out.iter().enumerate() {
            let (m, n) = (at / (columns + 1), at % (columns + 1));
            let expected = if m < rows && n < columns {
                let start = if ADD { GUARD } else { 0.0 };
                start + (0..all).map(|k| a(m, k) * b(k, n)).sum::<f32>()
            } else {
                GUARD
            };
            assert!(
                found == expected,
                "{rows} rows, {all} terms, ({m}, {n}): {found}, not {expected}"
            );
        }
    }

    #[test]
    fn products_are_exact_and_nothing_beside_them_changes() {
        let Some(amx) = Amx::new() else {
            println!("not tested: this machine has no AMX");
            return;
        };
        for rows in 1..=16 {
            for (terms, blocks) in [(16, 1), (32, 1), (16, 3), (32, 4)] {
                check::<false, false>(amx, rows, terms, blocks);
                check::<false, true>(amx, rows, terms, blocks);
                check::<true, false>(amx, rows, terms, blocks);
                check::<true, true>(amx, rows, terms, blocks);
            }
        }
    }
}
