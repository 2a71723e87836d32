//! Units against the f64 reference.
#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod bf16;
mod case;
mod grid;
#[path = "../support/mod.rs"]
mod support;

use case::Case;
use palinode_kernels::recurrence::{Drift, Term, Update};
use palinode_kernels::reference::{self, Recurrence, Shape};
use palinode_kernels::unit::{Parameters, StateSlices, UnitKernel};
use palinode_kernels::{Activation, Algorithm, Context, Error, Form, Microbatches, Precision};
use support::{noise, relative, wide};

const RECURRENCES: [Recurrence; 4] =
    [Recurrence::Verlet, Recurrence::Coupling, Recurrence::Midpoint, Recurrence::Leapfrog];

/// (batch, channels, height, width): awkward sizes of every kind.
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
            let errors = Case::new(recurrence, shape, 2).errors();
            assert!(
                errors.iter().all(|&error| error <= 5e-6),
                "{recurrence:?} {shape:?}: {errors:?}"
            );
        }
    }
}

/// The bounds in the documentation of [`Algorithm`]: F and its gradients, at the sizes and initial weights of
/// the report's networks.
#[test]
fn every_algorithm_keeps_its_bounds() {
    for (algorithm, bounds) in [
        (Algorithm::Winograd4, [2e-6, 3e-6]),
        (Algorithm::Winograd2, [5e-7, 1e-6]),
        (Algorithm::Direct, [1e-6, 1e-6]),
    ] {
        for (batch, channels, size) in [(2, 16, 32), (4, 32, 16), (8, 56, 8), (8, 64, 8)] {
            let shape = Shape { batch, channels, height: size, width: size };
            let case = Case { algorithm, ..Case::new(Recurrence::Midpoint, shape, 1) };
            let kernel = noise(shape.kernel_len(), 1, (2.0 / (9 * channels) as f64).sqrt());
            let (bias, x) = (noise(channels, 2, 0.1), noise(shape.len(), 3, 1.0));
            let v = noise(shape.len(), 4, 1.0);
            let residual = Term::new(1.0, 0);
            let updates = [Update::TwoStep { drift: Drift::Previous, residual }];
            let parameters = [kernel, bias].concat();
            let split = case.split(&parameters);
            let unit = case.unit(&updates, &split);
            // From (0, x) to (x, F(x)).
            let (mut first, mut second) = (vec![0.0; x.len()], x.clone());
            unit.forward(&Context::new(), StateSlices::Apart(&mut first, &mut second)).unwrap();
            let twin = reference::ReferenceResidual::<f64> {
                form: case.form,
                activation: case.activation,
                shape,
                kernel: &wide(&parameters[..shape.kernel_len()]),
                bias: &wide(&parameters[shape.kernel_len()..]),
                input_bias: &vec![0.0; channels],
            };
            let value = relative(&second, &twin.value(&wide(&x), false));
            let truth = twin.gradient(&wide(&x), &wide(&v), false);
            let (mut g_first, mut g_second) = (vec![0.0; x.len()], v);
            let mut found = vec![0.0; parameters.len()];
            unit.backward(
                &Context::new(),
                StateSlices::Apart(&mut first, &mut second),
                StateSlices::Apart(&mut g_first, &mut g_second),
                case.split_mut(&mut found),
            )
            .unwrap();
            let (found_kernel, found_bias) = found.split_at(shape.kernel_len());
            let gradient = relative(&g_second, &truth.x)
                .max(relative(found_kernel, &truth.kernel))
                .max(relative(found_bias, &truth.bias));
            let errors = [value, gradient];
            println!("{algorithm} {shape:?}: F {value:.1e}, gradients {gradient:.1e}");
            let kept = errors.iter().zip(bounds).all(|(error, bound)| *error <= bound);
            assert!(kept, "{algorithm} {shape:?}: {errors:?}, more than {bounds:?}");
        }
    }
}

#[test]
fn two_hundred_blocks_do_not_spoil_the_reversal() {
    for algorithm in Algorithm::ALL {
        let shape = Shape { batch: 1, channels: 16, height: 16, width: 16 };
        let case = Case { algorithm, ..Case::new(Recurrence::Verlet, shape, 200) };
        let kernels = case.residuals() * shape.kernel_len();
        // Half of the initial deviation. (With all of it, a state grows to 26 under random weights, and the
        // reversal has errors of 6e-5 with direct sums and 1.3e-4 with F(4×4).)
        let kernels = noise(kernels, 1, 0.5 * (2.0 / (9 * shape.channels) as f64).sqrt());
        let biases = vec![0.0; case.residuals() * shape.channels];
        let (updates, parameters) = (case.updates(0.1), case.joined(&kernels, &biases, &[]));
        let split = case.split(&parameters);
        let unit = case.unit(&updates, &split);
        let (y, z) = (noise(shape.len(), 3, 1.0), noise(shape.len(), 4, 1.0));
        let (mut first, mut second) = (y.clone(), z.clone());
        unit.forward(&Context::new(), StateSlices::Apart(&mut first, &mut second)).unwrap();
        unit.inverse(&Context::new(), StateSlices::Apart(&mut first, &mut second)).unwrap();
        let furthest = |a: &[f32], b: &[f32]| {
            a.iter().zip(b).fold(0.0_f32, |furthest, (a, b)| furthest.max((a - b).abs()))
        };
        let error = furthest(&first, &y).max(furthest(&second, &z));
        println!("{algorithm}: {error:.1e} after 200 blocks");
        assert!(error <= 2e-5, "{algorithm}: off by {error:e}");
    }
}

#[test]
fn depth_does_not_spoil_the_reversal() {
    for recurrence in [Recurrence::Verlet, Recurrence::Leapfrog] {
        let shape = Shape { batch: 1, channels: 8, height: 8, width: 8 };
        let errors = Case::new(recurrence, shape, 40).errors();
        assert!(errors.iter().all(|&error| error <= 2e-5), "{recurrence:?}: {errors:?}");
    }
}

#[test]
fn every_form_and_activation_is_the_references() {
    let smooth = [Activation::Tanh, Activation::Softplus];
    let forms = [
        (Recurrence::Verlet, Form::Symmetric),
        (Recurrence::Verlet, Form::Layer),
        (Recurrence::Coupling, Form::Antisymmetric),
        (Recurrence::Hamiltonian, Form::Layer),
        (Recurrence::Hamiltonian, Form::Symmetric),
        (Recurrence::Midpoint, Form::Antisymmetric),
        (Recurrence::Midpoint, Form::Layer),
        (Recurrence::Leapfrog, Form::Symmetric),
        (Recurrence::Leapfrog, Form::Antisymmetric),
    ];
    for (recurrence, form) in forms {
        for activation in [Activation::Relu, smooth[0], smooth[1]] {
            for input_bias in [false, true] {
                for (batch, channels, height, width) in [(3, 5, 7, 9), (2, 18, 8, 5), (1, 33, 4, 4)]
                {
                    let shape = Shape { batch, channels, height, width };
                    for algorithm in Algorithm::ALL {
                        let case = Case::new(recurrence, shape, 2);
                        let case = Case { form, activation, input_bias, algorithm, ..case };
                        let errors = case.errors();
                        assert!(errors.iter().all(|&error| error <= 5e-6), "{case:?}: {errors:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let shape = Shape { batch: 9, channels: 16, height: 32, width: 32 };
    let forms = [
        (Recurrence::Verlet, Form::Symmetric),
        (Recurrence::Hamiltonian, Form::Layer),
        (Recurrence::Midpoint, Form::Antisymmetric),
    ];
    let here = Context::new();
    let precisions = Precision::ALL.into_iter().filter(|&precision| here.check(precision).is_ok());
    let cases = precisions.flat_map(|gradients| forms.map(|form| (gradients, form)));
    for (gradients, (recurrence, form)) in cases {
        let case = Case { form, input_bias: true, gradients, ..Case::new(recurrence, shape, 2) };
        let [kernels, biases, input_biases] = case.parameters();
        let (updates, parameters) =
            (case.updates(0.1), case.joined(&kernels, &biases, &input_biases));
        let split = case.split(&parameters);
        let unit = case.unit(&updates, &split);
        let run = |threads: usize| {
            let context = &Context::builder().threads(threads).build().unwrap();
            let arrays = (3..7).map(|seed| noise(shape.len(), seed, 1.0)).collect();
            there_and_back(&case, context, &unit, arrays)
        };
        let one = run(1);
        for threads in [2, 3, 4] {
            assert!(run(threads) == one, "{case:?}: {threads} threads give other bits");
        }
    }
}

/// Forward and backward from both parts of a state and the gradients with respect to the last one: the gradients with
/// respect to the parameters, and what the four arrays then hold.
fn there_and_back(
    case: &Case,
    context: &Context,
    unit: &UnitKernel<'_>,
    mut arrays: Vec<Vec<f32>>,
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let [y, z, gy, gz] = arrays.as_mut_slice() else { unreachable!() };
    unit.forward(context, StateSlices::Apart(y, z)).unwrap();
    let parameters = unit.parameters.iter();
    let lengths = parameters.map(|of| of.kernel.len() + of.bias.len() + of.input_bias.len());
    let mut gradients = vec![0.0; lengths.sum()];
    let (state, gradient) = (StateSlices::Apart(y, z), StateSlices::Apart(gy, gz));
    unit.backward(context, state, gradient, case.split_mut(&mut gradients)).unwrap();
    (gradients, arrays)
}

#[test]
fn two_halves_of_a_batch_give_the_bits_of_the_whole() {
    let here = Context::new();
    let precisions = Precision::ALL.into_iter().filter(|&precision| here.check(precision).is_ok());
    let precisions: Vec<Precision> = precisions.collect();
    for (images, size) in [(11, 32), (37, 8), (3, 16)] {
        let shape = Shape { batch: images, channels: 8, height: size, width: size };
        for (recurrence, form) in
            [(Recurrence::Verlet, Form::Symmetric), (Recurrence::Midpoint, Form::Antisymmetric)]
        {
            for &gradients in &precisions {
                let case = Case { form, gradients, ..Case::new(recurrence, shape, 3) };
                check_halves(&case);
            }
            check_halves(&Case {
                form,
                algorithm: Algorithm::Direct,
                ..Case::new(recurrence, shape, 3)
            });
        }
    }
}

/// The gradients of a batch in eight micro-batches are the sums of those of its halves in four each, whatever the
/// numbers of threads.
fn check_halves(case: &Case) {
    let [kernels, biases, input_biases] = case.parameters();
    let (updates, parameters) = (case.updates(0.1), case.joined(&kernels, &biases, &input_biases));
    let split = case.split(&parameters);
    let arrays: Vec<Vec<f32>> = (3..7).map(|seed| noise(case.shape.len(), seed, 1.0)).collect();
    let image = case.shape.len() / case.shape.batch;
    let run = |images: std::ops::Range<usize>, count: usize, threads: usize| {
        let microbatches = Microbatches::new(count).unwrap();
        let context = Context::builder().threads(threads).microbatches(Some(microbatches));
        let context = &context.build().unwrap();
        let unit = UnitKernel { images: images.len(), ..case.unit(&updates, &split) };
        let own = images.start * image..images.end * image;
        let arrays = arrays.iter().map(|array| array[own.clone()].to_vec()).collect();
        there_and_back(case, context, &unit, arrays)
    };
    let (images, middle) = (case.shape.batch, case.shape.batch.div_ceil(2));
    let (sums, whole) = run(0..images, 8, 2);
    let (first, first_images) = run(0..middle, 4, 1);
    let (second, second_images) = run(middle..images, 4, 3);
    let equal = sums.iter().zip(first.iter().zip(&second)).all(|(sum, (a, b))| *sum == a + b);
    assert!(equal, "{case:?}: other gradients");
    for (whole, (a, b)) in whole.iter().zip(first_images.iter().zip(&second_images)) {
        assert!(*whole == [&a[..], b].concat(), "{case:?}: other states");
    }
    if images > 8 {
        assert!(sums != run(0..images, 1, 2).0, "{case:?}: the order does not show");
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
        let case = Case::new(recurrence, shape, 3);
        let [kernels, biases, input_biases] = case.parameters();
        let (updates, parameters) =
            (case.updates(0.1), case.joined(&kernels, &biases, &input_biases));
        let split = case.split(&parameters);
        let unit = case.unit(&updates, &split);
        let image = shape.len() / shape.batch;
        let start: Vec<Vec<f32>> = (3..7).map(|seed| noise(shape.len(), seed, 1.0)).collect();
        let mut apart = start.clone();
        let [y, z, gy, gz] = apart.as_mut_slice() else { unreachable!() };
        let (mut both, mut both_gradients) =
            (side_by_side(y, z, image), side_by_side(gy, gz, image));
        unit.forward(&Context::new(), StateSlices::Apart(y, z)).unwrap();
        unit.forward(&Context::new(), StateSlices::Joined(&mut both)).unwrap();
        assert!(both == side_by_side(y, z, image), "{recurrence:?}: forward");

        let (mut first, mut second) = (y.clone(), z.clone());
        unit.inverse(&Context::new(), StateSlices::Apart(&mut first, &mut second)).unwrap();
        let error = relative(&first, &wide(&start[0])).max(relative(&second, &wide(&start[1])));
        assert!(error < 5e-6, "{recurrence:?}: off by {error:e} after the inverse");

        let mut gradients = [vec![0.0; parameters.len()], vec![0.0; parameters.len()]];
        let [apart, joined] = &mut gradients;
        unit.backward(
            &Context::new(),
            StateSlices::Apart(y, z),
            StateSlices::Apart(gy, gz),
            case.split_mut(apart),
        )
        .unwrap();
        let gradient = StateSlices::Joined(&mut both_gradients);
        unit.backward(
            &Context::new(),
            StateSlices::Joined(&mut both),
            gradient,
            case.split_mut(joined),
        )
        .unwrap();
        assert!(gradients[0] == gradients[1], "{recurrence:?}: parameters");
        assert!(both_gradients == side_by_side(gy, gz, image), "{recurrence:?}: gradient");
        assert!(*y == first && *z == second, "{recurrence:?}: reconstruction");
    }
}

#[test]
fn units_that_do_not_fit_are_named() {
    let shape = Shape { batch: 2, channels: 3, height: 4, width: 5 };
    let case = Case::new(Recurrence::Verlet, shape, 1);
    let [kernels, biases, _] = case.parameters();
    let parameters = case.joined(&kernels, &biases, &[]);
    let context = Context::new();
    let run = |updates: &[Update], parameters: &[f32], len: usize| {
        let split = case.split(parameters);
        case.unit(updates, &split).forward(&context, StateSlices::Joined(&mut vec![0.0; len]))
    };
    let (updates, len) = (case.updates(0.1), 2 * shape.len());
    assert_eq!(run(&updates, &parameters, len), Ok(()));
    let short = Error::Length { what: "a state", expected: len, found: len - 1 };
    assert_eq!(run(&updates, &parameters, len - 1), Err(short));
    let missing = Error::MissingResidual { update: 0, residual: 1, residuals: 1 };
    assert_eq!(run(&updates, &parameters[..parameters.len() / 2], len), Err(missing));
    let euler = [Update::OneStep { residual: Term::new(0.1, 0) }];
    assert_eq!(run(&euler, &parameters, len), Err(Error::NoInverse { update: 0 }));

    let item = parameters.len() / 2;
    let found = parameters.len() - 1;
    let whole = Parameters::split(&parameters[1..], 3, false).map(|_| ());
    assert_eq!(whole, Err(Error::Multiple { what: "parameters", item, found }));
    assert_eq!(Parameters::split(&[], 0, false).map(|_| ()), Err(Error::NoChannels));
}
