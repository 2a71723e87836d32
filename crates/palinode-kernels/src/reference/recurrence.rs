//! How the blocks of a unit follow each other.

/// The recurrence of a unit. F is a residual, h the step.
///
/// Sources: Chang et al., Reversible architectures for arbitrarily deep residual neural networks (AAAI 2018);
/// `Coupling`: Gomez et al., The reversible residual network (NeurIPS 2017).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recurrence {
    /// Y⁺ = Y + hF₁(Z), Z⁺ = Z − hF₂(Y⁺).
    Verlet,
    /// Y⁺ = Y + hF(Z), Z⁺ = Z − hF*(Y⁺), F* being the conjugate of F with the same parameters.
    Hamiltonian,
    /// Y⁺ = Y + F₁(Z), Z⁺ = Z + F₂(Y⁺).
    Coupling,
    /// X₁ = X₀ + hF(X₀), then X_{j+1} = X_{j−1} + 2hF(X_j).
    Midpoint,
    /// X_{j+1} = 2X_j − X_{j−1} − h²F(X_j).
    Leapfrog,
}

impl Recurrence {
    /// Every recurrence.
    pub const ALL: [Self; 5] =
        [Self::Verlet, Self::Hamiltonian, Self::Coupling, Self::Midpoint, Self::Leapfrog];

    /// Residuals with parameters of their own in one block.
    pub fn residuals_per_block(self) -> usize {
        match self {
            Self::Verlet | Self::Coupling => 2,
            Self::Hamiltonian | Self::Midpoint | Self::Leapfrog => 1,
        }
    }
}
