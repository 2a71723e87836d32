//! The instruction set that the kernels run on, chosen when the program runs.

use crate::precision::Precision;
use pulp::{Arch, Scalar, WithSimd};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction set.
///
/// Results depend on it in their last bits, and on nothing else of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[repr(u8)]
pub enum Isa {
    /// AVX-512 (F, BW, CD, DQ, VL), 16 numbers at a time.
    Avx512 = 1,
    /// As `Avx512`, with the same bits, but for products of [factors in bf16](crate::Precision::Bf16), which
    /// go to AMX's tiles.
    Amx = 5,
    /// AVX2 with FMA, 8 numbers at a time.
    Avx2 = 2,
    /// NEON, 4 numbers at a time. (Compiled through the same abstraction; no machine that has it has
    /// run it yet.)
    Neon = 3,
    /// One number at a time, on any machine.
    Portable = 4,
}

impl Isa {
    /// All of them, the best first.
    pub const ALL: [Self; 5] = [Self::Amx, Self::Avx512, Self::Avx2, Self::Neon, Self::Portable];

    /// Whether this machine has it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx => crate::amx::Amx::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => pulp::x86::V4::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::try_new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            Self::Portable => true,
            #[allow(unreachable_patterns)] // on machines that have neither
            _ => false,
        }
    }

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amx => "amx",
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }

    /// The one in use: the best that this machine has, unless another was [selected](Self::select).
    pub fn current() -> Self {
        let current = CURRENT.load(Ordering::Relaxed);
        if let Some(isa) = Self::ALL.into_iter().find(|isa| *isa as u8 == current) {
            return isa;
        }
        let best = Self::ALL.into_iter().find(|isa| isa.is_available());
        let best = best.unwrap_or(Self::Portable);
        CURRENT.store(best as u8, Ordering::Relaxed);
        best
    }

    /// The one to name for results with such gradients, so that all machines that give the same bits can:
    /// [`Avx512`](Self::Avx512) for [`Amx`](Self::Amx) where nothing went to its tiles.
    pub fn for_gradients(self, gradients: Precision) -> Self {
        match (self, gradients) {
            (Self::Amx, Precision::F32) => Self::Avx512,
            _ => self,
        }
    }

    /// Makes the whole process use this one from now on.
    ///
    /// # Errors
    /// A sentence that names what this machine has, where this is not among it.
    pub fn select(self) -> Result<(), String> {
        if !self.is_available() {
            let available = Self::ALL.into_iter().filter(|isa| isa.is_available());
            let names: Vec<_> = available.map(Self::name).collect();
            return Err(format!("this machine has no {self}; it has {}", names.join(", ")));
        }
        CURRENT.store(self as u8, Ordering::Relaxed);
        Ok(())
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|isa| isa.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("unknown instruction set `{name}`; expected one of {names}")
        })
    }
}

/// 0 until somebody asks.
static CURRENT: AtomicU8 = AtomicU8::new(0);

/// Runs `op`, compiled for the current instruction set.
pub(crate) fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    match Isa::current() {
        #[cfg(target_arch = "x86_64")]
        Isa::Amx | Isa::Avx512 => match pulp::x86::V4::try_new() {
            Some(simd) => pulp::Simd::vectorize(simd, op),
            None => op.with_simd(Scalar),
        },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => match pulp::x86::V3::try_new() {
            Some(simd) => pulp::Simd::vectorize(simd, op),
            None => op.with_simd(Scalar),
        },
        Isa::Portable => op.with_simd(Scalar),
        #[allow(unreachable_patterns)] // on machines that have neither of the first two
        _ => Arch::new().dispatch(op),
    }
}
