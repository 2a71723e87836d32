//! What the blocks of a unit do to its state: the one description that schemes and kernels share.
//!
//! A state has two parts: (Y, Z) for two streams, (X_{j−1}, X_j) for one state. An [`Update`] adds a
//! function of one part to the other part, so it can be undone by subtracting the same function again;
//! [`Update::OneStep`] alone has no inverse.

use crate::error::Error;

/// Which of a residual's two functions is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The residual F itself.
    Forward,
    /// Its conjugate F*, with the same parameters: σ(Kᵀx + b) for a residual σ(Kx + b). Residuals of
    /// other forms are their own conjugates.
    Conjugate,
}

/// A multiple of one residual of the unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// The factor.
    pub scale: f64,
    /// Which residual of the unit, counted from its first block.
    pub residual: usize,
    /// Which of its two functions.
    pub role: Role,
}

impl Term {
    /// scale·F with residual number `residual` itself.
    pub fn new(scale: f64, residual: usize) -> Self {
        Self { scale, residual, role: Role::Forward }
    }
}

/// What one block does to the state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Update {
    /// Y⁺ = Y + a·F(Z), then Z⁺ = Z + b·G(Y⁺).
    TwoStream {
        /// a·F.
        first: Term,
        /// b·G.
        second: Term,
    },
    /// X_{j+1} = X_{j−1} + s·F(X_j), or X_{j+1} = 2X_j − X_{j−1} + s·F(X_j).
    TwoStep {
        /// Which of the two.
        drift: Drift,
        /// s·F.
        residual: Term,
    },
    /// X_{j+1} = X_j + s·F(X_j): the whole state changes at once, and there is no way back.
    OneStep {
        /// s·F.
        residual: Term,
    },
}

/// Where a two-step scheme would be without its residual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    /// X_{j−1}: a first-order ODE.
    Previous,
    /// 2X_j − X_{j−1}: a second-order ODE, going on at the same speed.
    Extrapolated,
}

impl Update {
    /// The evaluations of residuals, in their order.
    pub fn terms(&self) -> impl Iterator<Item = Term> + use<> {
        let (first, second) = match *self {
            Self::TwoStream { first, second } => (first, Some(second)),
            Self::TwoStep { residual, .. } | Self::OneStep { residual } => (residual, None),
        };
        std::iter::once(first).chain(second)
    }

    /// The same update with other evaluations.
    pub fn with_terms(self, change: impl Fn(Term) -> Term) -> Self {
        match self {
            Self::TwoStream { first, second } => {
                Self::TwoStream { first: change(first), second: change(second) }
            }
            Self::TwoStep { drift, residual } => {
                Self::TwoStep { drift, residual: change(residual) }
            }
            Self::OneStep { residual } => Self::OneStep { residual: change(residual) },
        }
    }
}

/// Checks that `updates` make up a unit of `residuals` residuals that the kernels can compute: every
/// update has an inverse and names residuals that exist, and no residual belongs to two updates. (The
/// two terms of one update may share theirs.)
///
/// # Errors
/// [`Error::NoInverse`], [`Error::MissingResidual`] or [`Error::SharedResidual`], for the first update
/// that breaks the rule.
pub fn check_updates(updates: &[Update], residuals: usize) -> Result<(), Error> {
    let mut taken = vec![false; residuals];
    for (update, &kind) in updates.iter().enumerate() {
        if let Update::OneStep { .. } = kind {
            return Err(Error::NoInverse { update });
        }
        for Term { residual, .. } in kind.terms() {
            match taken.get(residual) {
                None => return Err(Error::MissingResidual { update, residual, residuals }),
                Some(true) => return Err(Error::SharedResidual { update, residual }),
                Some(false) => {}
            }
        }
        for Term { residual, .. } in kind.terms() {
            taken[residual] = true;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(first: usize, second: usize) -> Update {
        Update::TwoStream { first: Term::new(0.1, first), second: Term::new(-0.1, second) }
    }

    #[test]
    fn units_that_the_kernels_cannot_compute_are_refused() {
        let step = |residual| Update::TwoStep {
            drift: Drift::Previous,
            residual: Term::new(0.2, residual),
        };
        assert_eq!(check_updates(&[pair(0, 1), pair(2, 2), step(3)], 4), Ok(()));
        assert_eq!(
            check_updates(&[pair(0, 1), pair(2, 4)], 4),
            Err(Error::MissingResidual { update: 1, residual: 4, residuals: 4 })
        );
        assert_eq!(
            check_updates(&[pair(0, 1), step(2), step(1)], 4),
            Err(Error::SharedResidual { update: 2, residual: 1 })
        );
        let euler = Update::OneStep { residual: Term::new(0.1, 1) };
        assert_eq!(check_updates(&[step(0), euler], 2), Err(Error::NoInverse { update: 1 }));
    }
}
