//! The three modes of differentiation.

use crate::error::{Error, Result};
use crate::residual::{Effects, Residual};
use crate::scheme::Scheme;
use serde::{Deserialize, Serialize};

/// How a unit is differentiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Differentiation {
    /// Plain autodiff: every activation is kept.
    Stored,
    /// States are kept at every ⌈√N⌉-th block; the states between are recomputed.
    Checkpointed,
    /// Only the unit's last state is kept; the scheme's inverse reconstructs the others.
    #[default]
    Reversible,
}

impl Differentiation {
    /// The three modes.
    pub const ALL: [Self; 3] = [Self::Stored, Self::Checkpointed, Self::Reversible];

    /// The mode's name in recipes and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Checkpointed => "checkpointed",
            Self::Reversible => "reversible",
        }
    }

    /// Checks that the scheme has an inverse if this mode needs one, and that the residuals have no side
    /// effects if this mode evaluates them twice.
    pub(crate) fn check<R: Residual>(self, residuals: &[R], scheme: &dyn Scheme) -> Result<()> {
        if self == Self::Stored {
            return Ok(());
        }
        if self == Self::Reversible && !scheme.is_reversible() {
            let reason = "the scheme has no inverse; use mode `stored` or `checkpointed`";
            return Err(Error::config("training.mode", reason));
        }
        for residual in residuals {
            let effect = match residual.effects() {
                Effects::None => continue,
                Effects::Randomness => "randomness (for instance dropout or noise)",
                Effects::RunningState => "running state (for instance batch norm)",
            };
            return Err(Error::NotRepeatable {
                mode: self.name(),
                residual: std::any::type_name::<R>(),
                effect,
            });
        }
        Ok(())
    }
}
