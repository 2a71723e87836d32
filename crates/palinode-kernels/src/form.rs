//! The formulas of residuals.

/// The formula of a residual F(x). K is a 3×3 convolution with zero padding 1, as many outputs as inputs
/// and stride 1; Kᵀ is its adjoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Kᵀσ(K(x + a) + b).
    Symmetric,
    /// σ(K(x + a) + b), whose [conjugate](crate::recurrence::Role::Conjugate) is σ(Kᵀ(x + a) + b).
    Layer,
    /// σ((K − Kᵀ)(x + a) + b).
    Antisymmetric,
}

impl Form {
    /// Sets `inner` to the array of M, the convolution before σ (K, Kᵀ or K − Kᵀ), from the array of K;
    /// both are `[c, c, 3, 3]`.
    ///
    /// Kᵀ is again a convolution: in its array inputs and outputs are exchanged and both spatial axes
    /// reversed.
    pub(crate) fn inner(self, conjugate: bool, c: usize, kernel: &[f32], inner: &mut [f32]) {
        match self {
            Self::Layer if conjugate => {
                for_each_pair(c, |at, turned| inner[at] = kernel[turned]);
            }
            Self::Symmetric | Self::Layer => inner.copy_from_slice(kernel),
            Self::Antisymmetric => {
                for_each_pair(c, |at, turned| inner[at] = kernel[at] - kernel[turned]);
            }
        }
    }

    /// Adds to the gradient with respect to K what the gradient with respect to M contributes: the adjoint
    /// of [`inner`](Self::inner).
    pub(crate) fn add_gradient(self, conjugate: bool, c: usize, inner: &[f32], kernel: &mut [f32]) {
        match self {
            Self::Layer if conjugate => {
                for_each_pair(c, |at, turned| kernel[at] += inner[turned]);
            }
            Self::Symmetric | Self::Layer => {
                kernel.iter_mut().zip(inner).for_each(|(kernel, inner)| *kernel += inner);
            }
            Self::Antisymmetric => {
                for_each_pair(c, |at, turned| kernel[at] += inner[at] - inner[turned]);
            }
        }
    }
}

/// Calls `visit` with the place of every element in an array `[c, c, 3, 3]` and its place in the array
/// of the adjoint.
fn for_each_pair(c: usize, mut visit: impl FnMut(usize, usize)) {
    for output in 0..c {
        for input in 0..c {
            for tap in 0..9 {
                visit((output * c + input) * 9 + tap, (input * c + output) * 9 + 8 - tap);
            }
        }
    }
}
