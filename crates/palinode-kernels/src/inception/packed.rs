//! Kernels of few channels as the convolution of planes reads them.

/// Channels of results in registers at a time.
pub(super) const ROWS: usize = 4;

/// A kernel `[g, g, k, k]` as it is read: `[outputs/ROWS][input][tap][ROWS]`, zeros in the place of
/// channels that are not there.
pub(super) struct Packed {
    pub group: usize,
    pub extent: usize,
    pub weights: Vec<f32>,
}

impl Packed {
    /// The kernel, or that of its adjoint: inputs and outputs swapped and both axes reversed.
    pub fn new(group: usize, extent: usize, kernel: &[f32], transposed: bool) -> Self {
        let taps = extent * extent;
        let mut weights = vec![0.0; group.next_multiple_of(ROWS) * group * taps];
        for output in 0..group {
            for input in 0..group {
                for tap in 0..taps {
                    let value = match transposed {
                        false => kernel[(output * group + input) * taps + tap],
                        true => kernel[(input * group + output) * taps + (taps - 1 - tap)],
                    };
                    let block = output / ROWS * group * taps * ROWS;
                    weights[block + (input * taps + tap) * ROWS + output % ROWS] = value;
                }
            }
        }
        Self { group, extent, weights }
    }
}
