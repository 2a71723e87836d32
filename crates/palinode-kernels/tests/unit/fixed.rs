//! States in fixed point: the same values and gradients, and a reversal to the bit.

use crate::RECURRENCES;
use crate::case::Case;
use crate::support::noise;
use palinode_kernels::reference::{Recurrence, Shape};
use palinode_kernels::unit::{StateSlices, UnitKernel};
use palinode_kernels::{Algorithm, Context, Fixed, Form, Number};

const FORMS: [(Recurrence, Form); 7] = [
    (Recurrence::Verlet, Form::Symmetric),
    (Recurrence::Coupling, Form::Layer),
    (Recurrence::Hamiltonian, Form::Layer),
    (Recurrence::Midpoint, Form::Antisymmetric),
    (Recurrence::Midpoint, Form::Symmetric),
    (Recurrence::Leapfrog, Form::Symmetric),
    (Recurrence::Leapfrog, Form::Antisymmetric),
];

#[test]
fn values_and_gradients_are_the_references() {
    for (recurrence, form) in FORMS {
        for (batch, channels, height, width) in [(3, 5, 7, 9), (2, 18, 8, 5), (1, 33, 4, 4)] {
            let shape = Shape { batch, channels, height, width };
            for algorithm in Algorithm::ALL {
                for input_bias in [false, true] {
                    let case = Case::new(recurrence, shape, 2);
                    let case = Case { form, algorithm, input_bias, ..case };
                    let errors = case.errors::<Fixed<20>>();
                    assert!(errors.iter().all(|&error| error <= 5e-6), "{case:?}: {errors:?}");
                }
            }
        }
    }
}

/// Calls `check` with a deep unit of random weights and a state.
fn with_deep_unit<const FRACTION: u32>(
    case: Case,
    scale: f64,
    check: impl Fn(&UnitKernel<'_>, [Vec<Fixed<FRACTION>>; 2]),
) {
    let [kernels, biases, input_biases] = case.parameters();
    let (updates, parameters) = (case.updates(0.2), case.joined(&kernels, &biases, &input_biases));
    let split = case.split(&parameters);
    let state = [3, 4]
        .map(|seed| noise(case.shape.len(), seed, scale).into_iter().map(Fixed::nearest).collect());
    check(&case.unit(&updates, &split), state);
}

/// Checks that the inverse and the backward pass undo the forward pass.
fn comes_back_to_the_bit<const FRACTION: u32>(case: Case, scale: f64) {
    with_deep_unit::<FRACTION>(case, scale, |unit, start| {
        let [mut first, mut second] = start.clone();
        unit.forward(&Context::new(), StateSlices::Apart(&mut first, &mut second)).unwrap();
        assert!([&first, &second] != [&start[0], &start[1]], "{case:?}: nothing has moved");
        let [mut y, mut z] = [first.clone(), second.clone()];
        unit.inverse(&Context::new(), StateSlices::Apart(&mut y, &mut z)).unwrap();
        assert!([&y, &z] == [&start[0], &start[1]], "{case:?}: the inverse");

        let [mut gy, mut gz] = [5, 6].map(|seed| noise(case.shape.len(), seed, 1.0));
        let kernels = case.residuals() * case.shape.kernel_len();
        let vectors = if case.input_bias { 2 } else { 1 } * case.residuals() * case.shape.channels;
        let mut gradients = vec![0.0; kernels + vectors];
        unit.backward(
            &Context::new(),
            StateSlices::Apart(&mut first, &mut second),
            StateSlices::Apart(&mut gy, &mut gz),
            case.split_mut(&mut gradients),
        )
        .unwrap();
        assert!([&first, &second] == [&start[0], &start[1]], "{case:?}: the backward pass");
    });
}

#[test]
fn a_hundred_blocks_come_back_to_the_bit() {
    for (recurrence, form) in FORMS {
        for (batch, channels, height, width) in [(1, 16, 16, 16), (3, 3, 7, 5)] {
            let shape = Shape { batch, channels, height, width };
            for algorithm in Algorithm::ALL {
                for input_bias in [false, true] {
                    let case = Case::new(recurrence, shape, 100);
                    let case = Case { form, algorithm, input_bias, ..case };
                    comes_back_to_the_bit::<20>(case, 1.0);
                }
            }
        }
    }
}

#[test]
fn numbers_beyond_the_range_come_back_too() {
    for recurrence in RECURRENCES {
        // With 28 binary places the range ends at ±8.
        let shape = Shape { batch: 2, channels: 4, height: 6, width: 6 };
        let case = Case::new(recurrence, shape, 20);
        comes_back_to_the_bit::<28>(case, 3.0);
        with_deep_unit::<28>(case, 3.0, |unit, [mut first, mut second]| {
            let signs = |state: &[Fixed<28>]| -> Vec<bool> {
                state.iter().map(|x| x.value() > 6.0 || x.value() < -6.0).collect()
            };
            unit.forward(&Context::new(), StateSlices::Apart(&mut first, &mut second)).unwrap();
            let far = signs(&first).into_iter().chain(signs(&second)).filter(|&far| far).count();
            assert!(far > 0, "{recurrence:?}: no number came near the range's end");
        });
    }
}

#[test]
fn the_nearest_number_is_odd_in_its_value() {
    let nearest = |value: f32| Fixed::<20>::nearest(value).value();
    for value in [0.0, 0.3, 1.0 + 0.5_f32.powi(21), 1.0 + 1.5 * 0.5_f32.powi(20), 2047.9, 1e30] {
        assert_eq!(nearest(-value), -nearest(value), "{value}");
    }
    assert_eq!(nearest(0.5_f32.powi(21)), 0.0, "of two, the even one");
    assert_eq!(nearest(1.5 * 0.5_f32.powi(20)), 0.5_f32.powi(19), "of two, the even one");
    assert_eq!(nearest(f32::NAN), 0.0);
    assert_eq!(nearest(f32::INFINITY), 2_147_483_520.0 / 1_048_576.0, "the end of the range");
}
