//! The parameters of residuals, and the gradients with respect to them.

use crate::error::Error;

/// The parameters of one residual.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a> {
    /// K, `[c, c, 3, 3]` as `[out, in, row, column]`.
    pub kernel: &'a [f32],
    /// b, `[c]`.
    pub bias: &'a [f32],
    /// a, `[c]`, or empty if the residual has none.
    pub input_bias: &'a [f32],
}

impl<'a> Parameters<'a> {
    /// Splits one array into the parameters of all residuals. It holds K, b and, with `input_bias`, a of
    /// the first residual, then those of the next, and so on.
    ///
    /// # Errors
    /// [`Error::Multiple`] if `all` does not hold whole residuals, [`Error::NoChannels`] for 0 channels.
    pub fn split(all: &'a [f32], channels: usize, input_bias: bool) -> Result<Vec<Self>, Error> {
        let length = checked_len("parameters", all.len(), channels, input_bias)?;
        let split = |residual: &'a [f32]| {
            let (kernel, vectors) = residual.split_at(9 * channels * channels);
            let (bias, input_bias) = vectors.split_at(channels);
            Self { kernel, bias, input_bias }
        };
        Ok(all.chunks_exact(length).map(split).collect())
    }

    /// Checks the lengths for `c` channels.
    pub(super) fn check(&self, c: usize) -> Result<(), Error> {
        Error::check_len("a residual's kernel K", 9 * c * c, self.kernel.len())?;
        Error::check_len("a residual's bias b", c, self.bias.len())?;
        match self.input_bias {
            [] => Ok(()),
            a => Error::check_len("a residual's input bias a", c, a.len()),
        }
    }
}

/// Where the gradients with respect to the parameters of one residual are added.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// With respect to K, `[c, c, 3, 3]`.
    pub kernel: &'a mut [f32],
    /// With respect to b, `[c]`.
    pub bias: &'a mut [f32],
    /// With respect to a, `[c]`, or empty if the residual has none.
    pub input_bias: &'a mut [f32],
}

impl<'a> Gradients<'a> {
    /// Splits one array into the gradients of all residuals, in the order of [`Parameters::split`].
    ///
    /// # Errors
    /// As [`Parameters::split`].
    pub fn split(
        all: &'a mut [f32],
        channels: usize,
        input_bias: bool,
    ) -> Result<Vec<Self>, Error> {
        let length = checked_len("gradients", all.len(), channels, input_bias)?;
        let split = |residual: &'a mut [f32]| {
            let (kernel, vectors) = residual.split_at_mut(9 * channels * channels);
            let (bias, input_bias) = vectors.split_at_mut(channels);
            Self { kernel, bias, input_bias }
        };
        Ok(all.chunks_exact_mut(length).map(split).collect())
    }

    /// Checks that the arrays are as long as the parameters.
    pub(super) fn check(&self, of: &Parameters<'_>) -> Result<(), Error> {
        Error::check_len("the gradient of a kernel K", of.kernel.len(), self.kernel.len())?;
        Error::check_len("the gradient of a bias b", of.bias.len(), self.bias.len())?;
        let (expected, found) = (of.input_bias.len(), self.input_bias.len());
        Error::check_len("the gradient of an input bias a", expected, found)
    }
}

/// The length of one residual's parameters, after checking that `found` is a multiple of it.
fn checked_len(
    what: &'static str,
    found: usize,
    channels: usize,
    input_bias: bool,
) -> Result<usize, Error> {
    if channels == 0 {
        return Err(Error::NoChannels);
    }
    let vectors = if input_bias { 2 } else { 1 };
    let item = channels * (9 * channels + vectors);
    if found.is_multiple_of(item) { Ok(item) } else { Err(Error::Multiple { what, item, found }) }
}
