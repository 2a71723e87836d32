//! Tests of the reference itself: adjoints, Taylor tests, and the order of the schemes.
#![allow(clippy::unwrap_used)]

mod support;

use palinode::residual::BuiltInConfig;
use palinode::scheme::SchemeName;
use palinode_kernels::Activation;
use palinode_kernels::reference::{Recurrence, ReferenceUnit, Shape, adjoint, convolve};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::{Case, IN_KERNELS, values};

fn normal(count: usize, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Sum of twelve uniforms: close enough to normal for test data.
    (0..count).map(|_| (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn the_adjoint_of_the_reference_is_the_true_adjoint() {
    for (height, width) in [(1, 1), (1, 5), (5, 7), (8, 8)] {
        let shape = Shape { batch: 2, channels: 3, height, width };
        let kernel = normal(shape.kernel_len(), 1);
        let (x, y) = (normal(shape.len(), 2), normal(shape.len(), 3));
        let left = dot(&convolve(&shape.convolution(), &kernel, &x), &y);
        let right = dot(&x, &adjoint(&shape.convolution(), &kernel, &y));
        assert!((left - right).abs() <= 1e-12 * left.abs(), "{height}×{width}: {left} {right}");
    }
}

/// For φ(ε) = ⟨c, unit(x + εd; θ + εη)⟩, the error of φ(0) must be of order ε, and the error of
/// φ(0) + εφ′(0) of order ε².
#[test]
fn taylor_tests_of_every_residual_in_every_scheme() {
    let residuals = [BuiltInConfig::Symmetric, BuiltInConfig::Layer, BuiltInConfig::Antisymmetric];
    for scheme in IN_KERNELS {
        for residual in residuals {
            // A smooth σ, since the second order cannot be observed at ReLU's kinks.
            for activation in [Activation::Tanh, Activation::Softplus] {
                let case = Case { residual, activation, blocks: 3, batch: 2, ..Case::new(scheme) };
                taylor(case);
            }
        }
    }
}

fn taylor(case: Case) {
    let unit = case.twin(&case.unit(palinode::reversible::Differentiation::Stored));
    let length = case.shape().len();
    let start = (normal(length, 11), normal(length, 12));
    let cotangent = (normal(length, 13), normal(length, 14));
    let direction = (normal(length, 15), normal(length, 16));
    let eta = (
        normal(unit.kernels.len(), 17),
        normal(unit.biases.len(), 18),
        normal(unit.input_biases.len(), 19),
    );
    let phi = |unit: &ReferenceUnit<f64>, start| {
        let (a, b) = unit.forward(start);
        dot(&cotangent.0, &a) + dot(&cotangent.1, &b)
    };
    let gradient = unit.backward(start.clone(), cotangent.clone());
    let derivative = dot(&gradient.start.0, &direction.0)
        + dot(&gradient.start.1, &direction.1)
        + dot(&gradient.kernels, &eta.0)
        + dot(&gradient.biases, &eta.1)
        + dot(&gradient.input_biases, &eta.2);
    let value = phi(&unit, start.clone());
    let moved = |x: &[f64], d: &[f64], eps: f64| -> Vec<f64> {
        x.iter().zip(d).map(|(x, d)| x + eps * d).collect()
    };
    let (mut zeroth, mut first) = (Vec::new(), Vec::new());
    let steps = [1e-4, 5e-5, 2.5e-5, 1.25e-5];
    for eps in steps {
        let moved_unit = ReferenceUnit {
            kernels: moved(&unit.kernels, &eta.0, eps),
            biases: moved(&unit.biases, &eta.1, eps),
            input_biases: moved(&unit.input_biases, &eta.2, eps),
            ..unit.clone()
        };
        let start = (moved(&start.0, &direction.0, eps), moved(&start.1, &direction.1, eps));
        let moved_value = phi(&moved_unit, start);
        zeroth.push((moved_value - value).abs());
        first.push((moved_value - value - eps * derivative).abs());
    }
    let order = |errors: &[f64]| (errors[0] / errors[3]).log2() / 3.0;
    let (without, with) = (order(&zeroth), order(&first));
    assert!((without - 1.0).abs() < 0.1, "{case:?}: order {without} without the gradient");
    assert!((with - 2.0).abs() < 0.1, "{case:?}: order {with} with the gradient");
}

/// Halving the step at a fixed end time T divides the error by 2^order.
///
/// The weights are smooth in depth: the same in every block. The exact solution is approximated by the
/// same scheme with 4096 blocks.
#[test]
fn observed_orders_are_the_documented_ones() {
    // (recurrence, staggered, order)
    let cases = [
        (Recurrence::Verlet, false, 1.0),
        (Recurrence::Verlet, true, 2.0),
        (Recurrence::Hamiltonian, false, 1.0),
        (Recurrence::Hamiltonian, true, 2.0),
        (Recurrence::Midpoint, false, 2.0),
        (Recurrence::Leapfrog, false, 1.0),
    ];
    for (recurrence, staggered, expected) in cases {
        let end = |blocks: usize| integrate(recurrence, staggered, blocks);
        let truth = end(4096);
        let error = |blocks: usize| -> f64 {
            let found = end(blocks);
            found.iter().zip(&truth).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
        };
        let errors = [error(32), error(64), error(128)];
        let observed = (errors[0] / errors[2]).log2() / 2.0;
        assert!(
            (observed - expected).abs() < 0.15,
            "{recurrence:?} staggered={staggered}: order {observed}, errors {errors:?}"
        );
    }
}

/// The state at T = 1 with h = 1/blocks. If `staggered`, Z is ahead of Y by h/2: Z takes a half step
/// first, and only Y is returned.
fn integrate(recurrence: Recurrence, staggered: bool, blocks: usize) -> Vec<f64> {
    let shape = Shape { batch: 1, channels: 2, height: 3, width: 3 };
    let step = 1.0 / blocks as f64;
    let case = match recurrence {
        Recurrence::Verlet | Recurrence::Leapfrog => BuiltInConfig::Symmetric,
        Recurrence::Midpoint => BuiltInConfig::Antisymmetric,
        _ => BuiltInConfig::Layer,
    };
    let per_block = recurrence.residuals_per_block();
    let scaled = |values: Vec<f64>| -> Vec<f64> { values.iter().map(|v| 0.3 * v).collect() };
    let block_kernels = scaled(normal(per_block * shape.kernel_len(), 21));
    let block_biases = scaled(normal(per_block * shape.channels, 22));
    let unit = |blocks: usize, step: f64| ReferenceUnit {
        recurrence,
        form: match case {
            BuiltInConfig::Symmetric => palinode_kernels::Form::Symmetric,
            BuiltInConfig::Layer => palinode_kernels::Form::Layer,
            BuiltInConfig::Antisymmetric => palinode_kernels::Form::Antisymmetric,
            other => panic!("the reference has no {other:?}"),
        },
        activation: Activation::Tanh,
        step,
        shape,
        blocks,
        kernels: block_kernels.repeat(blocks),
        biases: block_biases.repeat(blocks),
        input_biases: vec![0.0; block_biases.len() * blocks],
    };
    let (y, z) = (normal(shape.len(), 23), normal(shape.len(), 24));
    match recurrence {
        Recurrence::Midpoint | Recurrence::Leapfrog => unit(blocks, step).forward((y.clone(), y)).1,
        _ if staggered => {
            // Z₁⸝₂ from Z₀ by half a step of the second equation, without changing Y.
            let z = half_kick(&unit(1, step / 2.0), &y, &z);
            unit(blocks, step).forward((y, z)).0
        }
        _ => {
            let (y, z) = unit(blocks, step).forward((y, z));
            [y, z].concat()
        }
    }
}

/// Z − (h/2)·F₂(Y): the second equation of a block alone, where `unit` has the step h/2.
fn half_kick(unit: &ReferenceUnit<f64>, y: &[f64], z: &[f64]) -> Vec<f64> {
    // forward(Y₋, Z) = (Y, Z⁺), where the first equation takes Y₋ to Y.
    let (moved, _) = unit.forward((vec![0.0; y.len()], z.to_vec()));
    let before: Vec<f64> = y.iter().zip(&moved).map(|(y, m)| y - m).collect();
    unit.forward((before, z.to_vec())).1
}

#[test]
fn burn_and_the_reference_agree_on_the_last_state() {
    let case = Case { blocks: 4, batch: 3, ..Case::new(SchemeName::Hamiltonian) };
    let unit = case.unit(palinode::reversible::Differentiation::Stored);
    let (state, _) = unit.forward_state(case.input(), support::PHASE).unwrap();
    let twin = case.twin(&unit).forward(case.open(&values(case.input())));
    let error = support::relative(&values(state.first), &twin.0)
        .max(support::relative(&values(state.second), &twin.1));
    assert!(error < 1e-13, "{error:e}");
}
