//! Proofs that the machine has an instruction set, and code compiled for it.
//!
//! A token can only be made where the processor has what it stands for. Code that needs an instruction
//! set takes its token by value, so it cannot run on a machine without.

#[cfg(target_arch = "x86_64")]
use crate::amx::Amx;
use crate::isa::Isa;
#[cfg(target_arch = "aarch64")]
use pulp::aarch64::Neon;
#[cfg(target_arch = "x86_64")]
use pulp::x86::{V3, V4};
use pulp::{Scalar, Simd, WithSimd};

/// A proof that the machine has one of the instruction sets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Token {
    #[cfg(target_arch = "x86_64")]
    Amx(Amx),
    #[cfg(target_arch = "x86_64")]
    Avx512(V4),
    #[cfg(target_arch = "x86_64")]
    Avx2(V3),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    Portable(Scalar),
}

impl Token {
    /// The token of an instruction set, if the machine has it.
    pub fn of(isa: Isa) -> Option<Self> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => Amx::new().map(Self::Amx),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => V4::try_new().map(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => V3::try_new().map(Self::Avx2),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Neon::try_new().map(Self::Neon),
            Isa::Portable => Some(Self::Portable(Scalar)),
            #[allow(unreachable_patterns, reason = "every processor lacks some of the others")]
            _ => None,
        }
    }

    /// The token of the fastest instruction set that the machine has.
    pub fn best() -> Self {
        Isa::ALL.into_iter().find_map(Self::of).unwrap_or(Self::Portable(Scalar))
    }

    pub fn isa(self) -> Isa {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(_) => Isa::Amx,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Isa::Avx512,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Isa::Avx2,
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => Isa::Neon,
            Self::Portable(_) => Isa::Portable,
        }
    }

    /// Runs `op`, compiled for this instruction set.
    pub fn dispatch<Op: WithSimd>(self, op: Op) -> Op::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(amx) => Simd::vectorize(amx.vectors(), op),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => Simd::vectorize(simd, op),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => Simd::vectorize(simd, op),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => Simd::vectorize(simd, op),
            Self::Portable(simd) => Simd::vectorize(simd, op),
        }
    }

    /// The proof that the machine takes products of factors in bf16, if it does with this instruction
    /// set.
    pub fn bf16(self) -> Option<Bf16> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(amx) => Some(Bf16::Tiles(amx)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(vectors) => Avx512Bf16::new(vectors).map(Bf16::Vectors),
            _ => None,
        }
    }
}

/// A proof that the machine takes products of factors in bf16.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bf16 {
    /// By AVX-512's `vdpbf16ps`.
    #[cfg(target_arch = "x86_64")]
    Vectors(Avx512Bf16),
    /// By AMX's `tdpbf16ps`.
    #[cfg(target_arch = "x86_64")]
    Tiles(Amx),
}

impl Bf16 {
    /// Whether they are taken on AMX's tiles.
    pub fn has_tiles(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vectors(_) => false,
            #[cfg(target_arch = "x86_64")]
            Self::Tiles(_) => true,
        }
    }
}

/// A proof that the machine has AVX-512 with its products of factors in bf16.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512Bf16 {
    vectors: V4,
}

#[cfg(target_arch = "x86_64")]
impl Avx512Bf16 {
    /// None where the processor lacks them.
    pub fn new(vectors: V4) -> Option<Self> {
        is_x86_feature_detected!("avx512bf16").then_some(Self { vectors })
    }

    pub fn vectors(self) -> V4 {
        self.vectors
    }
}

impl Isa {
    /// Whether this machine has it.
    pub fn is_available(self) -> bool {
        Token::of(self).is_some()
    }
}
