//! The fast unit against the f64 reference.
#![allow(clippy::unwrap_used)]

mod support;

use palinode_kernels::Activation;
use palinode_kernels::reference::{Form, Recurrence, Shape, Unit};
use palinode_kernels::unit::{State, Step, SymmetricUnit};
use support::{noise, relative, wide};

struct Case {
    recurrence: Recurrence,
    shape: Shape,
    blocks: usize,
}

/// K and b of every residual behind each other.
fn joined(kernels: &[f32], biases: &[f32], channels: usize) -> Vec<f32> {
    let pairs = kernels.chunks(channels * channels * 9).zip(biases.chunks(channels));
    pairs.flat_map(|(kernel, bias)| kernel.iter().chain(bias).copied()).collect()
}

impl Case {
    fn steps(&self, h: f32) -> Vec<Step> {
        let step = |j: usize| match self.recurrence {
            Recurrence::Verlet => Step::TwoStream { first: (h, 2 * j), second: (-h, 2 * j + 1) },
            Recurrence::Coupling => {
                Step::TwoStream { first: (1.0, 2 * j), second: (1.0, 2 * j + 1) }
            }
            Recurrence::Midpoint => {
                Step::Previous { residual: (if j == 0 { h } else { 2.0 * h }, j) }
            }
            _ => Step::Extrapolated { residual: (-h * h, j) },
        };
        (0..self.blocks).map(step).collect()
    }

    /// Largest relative errors of (state, reconstruction, state gradient, kernels, biases).
    fn errors(&self) -> [f64; 5] {
        let Shape { batch, channels, height, width } = self.shape;
        let residuals = self.blocks * self.recurrence.residuals_per_block();
        let deviation = 0.3 * (2.0 / (9 * channels) as f64).sqrt();
        let kernels = noise(residuals * self.shape.kernel_len(), 1, deviation);
        let biases = noise(residuals * channels, 2, 0.3);
        let first = noise(self.shape.len(), 3, 1.0);
        let mut second = noise(self.shape.len(), 4, 1.0);
        if self.recurrence == Recurrence::Leapfrog {
            // Two states of one slow motion, as a unit meets them.
            second.iter_mut().zip(&first).for_each(|(x, before)| *x = before + 0.02 * *x);
        }
        let (g1, g2) = (noise(self.shape.len(), 5, 1.0), noise(self.shape.len(), 6, 1.0));
        let h = 0.25_f32;
        let twin = Unit::<f64> {
            recurrence: self.recurrence,
            form: Form::Symmetric,
            activation: Activation::Relu,
            step: f64::from(h),
            shape: self.shape,
            blocks: self.blocks,
            kernels: wide(&kernels),
            biases: wide(&biases),
            input_biases: vec![0.0; biases.len()],
        };
        let truth = twin.forward((wide(&first), wide(&second)));
        let slopes = twin.backward((wide(&first), wide(&second)), (wide(&g1), wide(&g2)));

        let steps = self.steps(h);
        let parameters = joined(&kernels, &biases, channels);
        let unit = SymmetricUnit {
            images: batch,
            channels,
            height,
            width,
            steps: &steps,
            parameters: &parameters,
        };
        let (mut y, mut z) = (first.clone(), second.clone());
        unit.forward(State::Apart(&mut y, &mut z));
        let state = relative(&y, &truth.0).max(relative(&z, &truth.1));
        let (mut gy, mut gz) = (g1, g2);
        let mut found = vec![0.0; parameters.len()];
        unit.backward(State::Apart(&mut y, &mut z), State::Apart(&mut gy, &mut gz), &mut found);
        let residuals = found.chunks(channels * channels * 9 + channels);
        let (found_kernels, found_biases): (Vec<&[f32]>, Vec<&[f32]>) =
            residuals.map(|residual| residual.split_at(residual.len() - channels)).unzip();
        [
            state,
            relative(&y, &wide(&first)).max(relative(&z, &wide(&second))),
            relative(&gy, &slopes.start.0).max(relative(&gz, &slopes.start.1)),
            relative(&found_kernels.concat(), &slopes.kernels),
            relative(&found_biases.concat(), &slopes.biases),
        ]
    }
}

const RECURRENCES: [Recurrence; 4] =
    [Recurrence::Verlet, Recurrence::Coupling, Recurrence::Midpoint, Recurrence::Leapfrog];

/// (batch, channels, height, width): every awkward size.
const SHAPES: [(usize, usize, usize, usize); 12] = [
    (1, 1, 1, 1),
    (2, 3, 2, 5),
    (3, 17, 4, 4),
    (1, 16, 7, 7),
    (2, 5, 8, 8),
    (5, 8, 14, 14),
    (1, 16, 16, 16),
    (2, 4, 28, 28),
    (3, 16, 32, 32),
    (1, 2, 9, 33),
    (70, 33, 3, 3),
    (2, 56, 8, 8),
];

#[test]
fn values_and_gradients_are_the_references_for_every_shape() {
    for recurrence in RECURRENCES {
        for (batch, channels, height, width) in SHAPES {
            let shape = Shape { batch, channels, height, width };
            let errors = Case { recurrence, shape, blocks: 2 }.errors();
            assert!(
                errors.iter().all(|&error| error <= 1e-5),
                "{recurrence:?} {shape:?}: {errors:?}"
            );
        }
    }
}

#[test]
fn depth_does_not_spoil_the_reversal() {
    for recurrence in [Recurrence::Verlet, Recurrence::Leapfrog] {
        let shape = Shape { batch: 1, channels: 8, height: 8, width: 8 };
        let errors = Case { recurrence, shape, blocks: 40 }.errors();
        assert!(errors.iter().all(|&error| error <= 2e-5), "{recurrence:?}: {errors:?}");
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let shape = Shape { batch: 9, channels: 16, height: 32, width: 32 };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let kernels = noise(4 * shape.kernel_len(), 1, 0.05);
            let biases = noise(4 * shape.channels, 2, 0.3);
            let parameters = joined(&kernels, &biases, shape.channels);
            let steps = [0, 2].map(|k| Step::TwoStream { first: (0.1, k), second: (-0.1, k + 1) });
            let unit = SymmetricUnit {
                images: shape.batch,
                channels: shape.channels,
                height: shape.height,
                width: shape.width,
                steps: &steps,
                parameters: &parameters,
            };
            let mut arrays: Vec<Vec<f32>> =
                (3..7).map(|seed| noise(shape.len(), seed, 1.0)).collect();
            let [y, z, gy, gz] = arrays.as_mut_slice() else { unreachable!() };
            unit.forward(State::Apart(y, z));
            let mut gradients = vec![0.0; parameters.len()];
            unit.backward(State::Apart(y, z), State::Apart(gy, gz), &mut gradients);
            (arrays, gradients)
        })
    };
    let one = run(1);
    for threads in [2, 3, 4] {
        assert!(run(threads) == one, "{threads} threads give other bits");
    }
}

/// Both parts of a state side by side, image by image.
fn side_by_side(first: &[f32], second: &[f32], image: usize) -> Vec<f32> {
    let parts = first.chunks(image).zip(second.chunks(image));
    parts.flat_map(|(first, second)| first.iter().chain(second).copied()).collect()
}

#[test]
fn joined_states_are_the_same_and_the_inverse_undoes_a_sweep() {
    for recurrence in RECURRENCES {
        let shape = Shape { batch: 5, channels: 6, height: 9, width: 7 };
        let steps = Case { recurrence, shape, blocks: 3 }.steps(0.1);
        let residuals = 3 * recurrence.residuals_per_block();
        let kernels = noise(residuals * shape.kernel_len(), 1, 0.1);
        let biases = noise(residuals * shape.channels, 2, 0.3);
        let parameters = joined(&kernels, &biases, shape.channels);
        let unit = SymmetricUnit {
            images: shape.batch,
            channels: shape.channels,
            height: shape.height,
            width: shape.width,
            steps: &steps,
            parameters: &parameters,
        };
        let image = shape.len() / shape.batch;
        let start: Vec<Vec<f32>> = (3..7).map(|seed| noise(shape.len(), seed, 1.0)).collect();
        let mut apart = start.clone();
        let [y, z, gy, gz] = apart.as_mut_slice() else { unreachable!() };
        let (mut both, mut slopes) = (side_by_side(y, z, image), side_by_side(gy, gz, image));
        unit.forward(State::Apart(y, z));
        unit.forward(State::Joined(&mut both));
        assert!(both == side_by_side(y, z, image), "{recurrence:?}: forward");

        let (mut first, mut second) = (y.clone(), z.clone());
        unit.inverse(State::Apart(&mut first, &mut second));
        let error = relative(&first, &wide(&start[0])).max(relative(&second, &wide(&start[1])));
        assert!(error < 5e-6, "{recurrence:?}: off by {error:e} after the inverse");

        let mut gradients = [vec![0.0; parameters.len()], vec![0.0; parameters.len()]];
        unit.backward(State::Apart(y, z), State::Apart(gy, gz), &mut gradients[0]);
        unit.backward(State::Joined(&mut both), State::Joined(&mut slopes), &mut gradients[1]);
        assert!(gradients[0] == gradients[1], "{recurrence:?}: parameters");
        assert!(slopes == side_by_side(gy, gz, image), "{recurrence:?}: gradient");
        assert!(*y == first && *z == second, "{recurrence:?}: reconstruction");
    }
}
