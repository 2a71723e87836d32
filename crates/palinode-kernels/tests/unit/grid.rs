//! States on a grid: the same values and gradients, and a reversal to the bit.

use crate::RECURRENCES;
use crate::case::Case;
use crate::support::{noise, relative, wide};
use palinode_kernels::reference::{Recurrence, Shape};
use palinode_kernels::unit::{StateSlices, UnitKernel};
use palinode_kernels::{Activation, Algorithm, Context, Form, Grid, Isa};

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
                    let grid = Grid::new(20).ok();
                    let case = Case { form, algorithm, input_bias, grid, ..case };
                    let errors = case.errors();
                    assert!(errors.iter().all(|&error| error <= 5e-6), "{case:?}: {errors:?}");
                }
            }
        }
    }
}

/// Calls `check` with a unit of random weights and a state.
fn with_unit<T>(
    case: Case,
    (h, scale): (f64, f64),
    check: impl FnOnce(&UnitKernel<'_>, [Vec<f32>; 2]) -> T,
) -> T {
    let [kernels, biases, input_biases] = case.parameters();
    let (updates, parameters) = (case.updates(h), case.joined(&kernels, &biases, &input_biases));
    let split = case.split(&parameters);
    let state = [3, 4].map(|seed| noise(case.shape.len(), seed, scale));
    check(&case.unit(&updates, &split), state)
}

fn largest(state: &[Vec<f32>; 2]) -> f32 {
    state.iter().flatten().fold(0.0, |most, x| x.abs().max(most))
}

/// Checks that the inverse and the backward pass undo the forward pass, on the finest grid that the states allow.
fn comes_back_to_the_bit(context: &Context, case: Case, h: f64) {
    let grids = [20, 16, 12, 8, 4, 0].map(|fraction| Grid::new(fraction).unwrap());
    let fits = grids.into_iter().any(|grid| comes_back_on(context, case, grid, h));
    assert!(fits, "{case:?}: no grid is coarse enough");
}

/// The same on one grid; false if the states leave its range.
fn comes_back_on(context: &Context, case: Case, grid: Grid, h: f64) -> bool {
    let case = Case { grid: Some(grid), ..case };
    with_unit(case, (h, 1.0), |unit, start| {
        let start = start.map(|part| part.into_iter().map(|x| grid.nearest(x)).collect::<Vec<_>>());
        let [mut first, mut second] = start.clone();
        unit.forward(context, StateSlices::Apart(&mut first, &mut second)).unwrap();
        assert!([&first, &second] != [&start[0], &start[1]], "{case:?}: nothing has moved");
        let end = [first, second];
        if largest(&end) >= grid.range() / 2.0 {
            return false;
        }
        let mut numbers = end.iter().flatten();
        assert!(numbers.all(|&x| grid.nearest(x) == x), "{case:?}: off the grid");

        let [mut y, mut z] = end.clone();
        unit.inverse(context, StateSlices::Apart(&mut y, &mut z)).unwrap();
        assert!([&y, &z] == [&start[0], &start[1]], "{case:?}: the inverse");

        let [mut gy, mut gz] = [5, 6].map(|seed| noise(case.shape.len(), seed, 1.0));
        let kernels = case.residuals() * case.shape.kernel_len();
        let vectors = if case.input_bias { 2 } else { 1 } * case.residuals() * case.shape.channels;
        let mut gradients = vec![0.0; kernels + vectors];
        let [mut y, mut z] = end;
        unit.backward(
            context,
            StateSlices::Apart(&mut y, &mut z),
            StateSlices::Apart(&mut gy, &mut gz),
            case.split_mut(&mut gradients),
        )
        .unwrap();
        assert!([&y, &z] == [&start[0], &start[1]], "{case:?}: the backward pass");
        true
    })
}

/// So many blocks, or fewer: coupling has no step size, and its states grow with every block.
fn most(recurrence: Recurrence, blocks: usize) -> usize {
    if recurrence == Recurrence::Coupling { blocks.min(8) } else { blocks }
}

#[test]
fn a_hundred_blocks_come_back_to_the_bit() {
    for (recurrence, form) in FORMS {
        for (batch, channels, height, width) in [(1, 16, 16, 16), (3, 3, 7, 5)] {
            let shape = Shape { batch, channels, height, width };
            for algorithm in Algorithm::ALL {
                for input_bias in [false, true] {
                    let case = Case::new(recurrence, shape, most(recurrence, 100));
                    let case = Case { form, algorithm, input_bias, ..case };
                    comes_back_to_the_bit(&Context::new(), case, 0.2);
                }
            }
        }
    }
}

#[test]
fn every_depth_step_size_and_activation_comes_back_to_the_bit() {
    let shape = Shape { batch: 2, channels: 4, height: 5, width: 6 };
    for (recurrence, form) in FORMS {
        for (blocks, h) in [(1, 1.0), (2, 1.5), (10, 0.7), (333, 0.05), (1000, 0.02)] {
            for activation in Activation::ALL {
                let case = Case::new(recurrence, shape, most(recurrence, blocks));
                comes_back_to_the_bit(&Context::new(), Case { form, activation, ..case }, h);
            }
        }
    }
}

#[test]
fn every_instruction_set_comes_back_to_the_bit() {
    let shape = Shape { batch: 3, channels: 19, height: 6, width: 9 };
    for isa in Isa::ALL {
        let Ok(context) = Context::builder().isa(isa).build() else { continue };
        for (recurrence, form) in FORMS {
            for algorithm in Algorithm::ALL {
                let case = Case::new(recurrence, shape, most(recurrence, 20));
                comes_back_to_the_bit(&context, Case { form, algorithm, ..case }, 0.2);
            }
        }
    }
}

/// What comes back beyond the range differs by rounding, as without a grid.
#[test]
fn beyond_the_range_sums_round_as_in_f32() {
    for recurrence in RECURRENCES {
        let shape = Shape { batch: 2, channels: 4, height: 6, width: 6 };
        let grid = Grid::new(26).unwrap();
        let case = Case { grid: Some(grid), ..Case::new(recurrence, shape, 10) };
        with_unit(case, (0.1, 3.0), |unit, start| {
            assert!(largest(&start) > 8.0 * grid.range());
            let [mut y, mut z] = start.clone();
            unit.forward(&Context::new(), StateSlices::Apart(&mut y, &mut z)).unwrap();
            unit.inverse(&Context::new(), StateSlices::Apart(&mut y, &mut z)).unwrap();
            assert!([&y, &z] != [&start[0], &start[1]], "{recurrence:?}");
            let error = relative(&y, &wide(&start[0])).max(relative(&z, &wide(&start[1])));
            assert!(error < 1e-5, "{recurrence:?}: {error:e}");
        });
    }
}

#[test]
fn the_nearest_number_is_odd_in_its_value() {
    let grid = Grid::new(20).unwrap();
    assert_eq!((grid.spacing(), grid.range()), (0.5_f32.powi(20), 16.0));
    for value in [0.0, 0.3, 1.0 + 0.5_f32.powi(21), 1.0 + 1.5 * 0.5_f32.powi(20), 2047.9, 1e30] {
        assert_eq!(grid.nearest(-value), -grid.nearest(value), "{value}");
    }
    assert_eq!(grid.nearest(0.5_f32.powi(21)), 0.0, "of two, the even one");
    assert_eq!(grid.nearest(1.5 * 0.5_f32.powi(20)), 0.5_f32.powi(19), "of two, the even one");
    assert_eq!(grid.nearest(f32::MAX), f32::MAX);
    assert_eq!(Grid::new(-3).unwrap().nearest(13.0), 16.0);
    assert!(grid.nearest(f32::NAN).is_nan() && grid.nearest(f32::INFINITY) == f32::INFINITY);
    let places = |largest| Grid::for_states(largest).map(Grid::fraction);
    assert_eq!([0.0, 4.0, 4.1, 32_768.0].map(places), [Some(22), Some(21), Some(20), Some(8)]);
    assert_eq!([32_769.0, f64::INFINITY, f64::NAN].map(places), [None; 3]);
    assert_eq!(Grid::new(9).unwrap().coarser(), Grid::new(8).ok());
    assert_eq!(Grid::new(8).unwrap().coarser(), None);
    for fraction in [-65, 65, 1000, i32::MIN] {
        assert!(Grid::new(fraction).is_err());
    }
}
