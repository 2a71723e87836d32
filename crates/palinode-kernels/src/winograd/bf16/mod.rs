//! Products of factors rounded to bf16, two terms at a time: by AVX-512's `vdpbf16ps` (`vectors`), or on
//! AMX's tiles (`tiles`). `pair` rounds factors, `rounded` has the memory for it.

#[cfg(not(target_arch = "x86_64"))]
mod absent;
#[cfg(target_arch = "x86_64")]
mod pair;
#[cfg(target_arch = "x86_64")]
mod rounded;
#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
#[cfg(target_arch = "x86_64")]
mod tiles;
#[cfg(target_arch = "x86_64")]
mod vectors;

#[cfg(not(target_arch = "x86_64"))]
pub(super) use absent::Rounded;
#[cfg(target_arch = "x86_64")]
pub(super) use rounded::Rounded;
