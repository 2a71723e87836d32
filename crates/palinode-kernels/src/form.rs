//! The formulas that a residual can have.

/// What a residual computes from its argument x, K being a 3×3 convolution with zero padding 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Kᵀσ(K(x + a) + b).
    Symmetric,
    /// σ(K(x + a) + b); its conjugate is σ(Kᵀ(x + a) + b).
    Layer,
    /// σ((K − Kᵀ)(x + a) + b).
    Antisymmetric,
}

impl Form {
    /// The array M of the convolution before σ, from that of K; both `[c, c, 3, 3]`.
    ///
    /// Kᵀ is again a convolution: its array has inputs and outputs exchanged and both spatial axes
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

    /// Adds to K's gradient what M's contributes: the adjoint of [`inner`](Self::inner).
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

/// Calls `visit` with the place of every element of an array `[c, c, 3, 3]` and its place in the
/// array of the adjoint.
fn for_each_pair(c: usize, mut visit: impl FnMut(usize, usize)) {
    for output in 0..c {
        for input in 0..c {
            for tap in 0..9 {
                visit((output * c + input) * 9 + tap, (input * c + output) * 9 + 8 - tap);
            }
        }
    }
}
