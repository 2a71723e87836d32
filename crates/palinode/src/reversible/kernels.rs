//! How the kernels compute a unit.

use super::Blocks;
use super::Differentiation;
use super::fused::Fused;
use crate::error::{Error, Result};
use crate::residual::Residual;
use palinode_kernels::{Algorithm, Precision};

/// How the kernels compute a unit in training, where they compute it as a whole: units of the built-in
/// residuals without norm and dropout, reversibly differentiated, in f32 on the CPU.
///
/// (What is classified or validated is computed as exactly as they can.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kernels {
    /// `None`: [the quickest](Algorithm::quickest) for the images' size.
    pub algorithm: Option<Algorithm>,
    /// What the factors of the products for gradients are rounded to.
    pub gradients: Precision,
}

impl Kernels {
    /// Refuses a choice for a unit that it would do nothing for, or that this machine cannot make.
    pub(crate) fn check<R: Residual>(
        self,
        blocks: &Blocks<'_, R>,
        mode: Differentiation,
    ) -> Result<()> {
        let field = match self {
            Self { algorithm: None, gradients: Precision::F32 } => return Ok(()),
            Self { gradients: Precision::F32, .. } => "training.algorithm",
            Self { .. } => "training.gradients",
        };
        if mode != Differentiation::Reversible || !Fused::knows(blocks) {
            let reason = "is for units that the kernels compute as a whole: those of the built-in \
                residuals without norm and dropout, in mode `reversible`";
            return Err(Error::config(field, reason));
        }
        self.gradients.check().map_err(|reason| Error::config(field, reason))
    }
}
