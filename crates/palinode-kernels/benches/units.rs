//! Six blocks of a two-layer Hamiltonian unit on 128 images, at the sizes of the report's networks.
//!
//! Items are the operations of direct convolutions, whatever the algorithm: `Gitem/s` is GF/s.
//! Run: `cargo bench -p palinode-kernels --bench units`.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use palinode_kernels::recurrence::{Term, Update};
use palinode_kernels::unit::{Gradients, Parameters, StateSlices, UnitKernel};
use palinode_kernels::{Activation, Algorithm, Context, Error, Form, Grid, Precision};

const IMAGES: usize = 128;
const BLOCKS: usize = 6;
/// (channels, rows and columns); the last unit of hamiltonian-74 has 56 channels.
const SHAPES: [(usize, usize); 4] = [(16, 32), (32, 16), (56, 8), (64, 8)];

fn main() {
    divan::main();
}

fn noise(count: usize, scale: f32) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) * scale).collect()
}

/// Calls `work` with a unit, and counts the operations of `passes` forward passes.
fn with_unit(
    (algorithm, gradients, grid): (Algorithm, Precision, Option<Grid>),
    (channels, size): (usize, usize),
    passes: usize,
    bencher: Bencher<'_, '_>,
    work: impl Fn(
        &Context,
        &UnitKernel<'_>,
        &mut [f32],
        &mut [f32],
        Vec<Gradients<'_>>,
    ) -> Result<(), Error>,
) {
    let kernel = channels * channels * 9;
    let parameters = noise(2 * BLOCKS * (kernel + channels), 0.05);
    let context = Context::new();
    let updates: Vec<Update> = (0..BLOCKS)
        .map(|j| Update::TwoStream {
            first: Term::new(0.1, 2 * j),
            second: Term::new(-0.1, 2 * j + 1),
        })
        .collect();
    let unit = UnitKernel {
        images: IMAGES,
        channels,
        height: size,
        width: size,
        form: Form::Symmetric,
        activation: Activation::Relu,
        algorithm,
        gradients,
        grid,
        updates: &updates,
        parameters: &Parameters::split(&parameters, channels, false).expect("whole residuals"),
    };
    let operations = 2 * 4 * BLOCKS * kernel * size * size * IMAGES * passes;
    let len = 2 * IMAGES * channels * size * size;
    let mut found = vec![0.0; parameters.len()];
    bencher
        .counter(ItemsCount::new(operations))
        .with_inputs(|| (noise(len, 1.0), noise(len, 0.3)))
        .bench_local_values(|(mut state, mut gradient)| {
            let into = Gradients::split(&mut found, channels, false).expect("whole residuals");
            work(&context, &unit, &mut state, &mut gradient, into).expect("the shapes fit");
            black_box((&state, &gradient, &found));
        });
}

const ALGORITHMS: [Algorithm; 3] = Algorithm::ALL;

#[divan::bench(args = SHAPES, consts = [0, 1, 2])]
fn forward<const ALGORITHM: usize>(bencher: Bencher<'_, '_>, shape: (usize, usize)) {
    let how = (ALGORITHMS[ALGORITHM], Precision::F32, None);
    with_unit(how, shape, 1, bencher, |context, unit, state, _, _| {
        unit.forward(context, StateSlices::Joined(state))
    });
}

#[divan::bench(args = SHAPES, consts = [0, 1, 2])]
fn backward<const ALGORITHM: usize>(bencher: Bencher<'_, '_>, shape: (usize, usize)) {
    let how = (ALGORITHMS[ALGORITHM], Precision::F32, None);
    with_unit(how, shape, 3, bencher, |context, unit, state, gradient, gradients| {
        unit.backward(context, StateSlices::Joined(state), StateSlices::Joined(gradient), gradients)
    });
}

#[divan::bench(args = SHAPES, ignore = Context::new().check(Precision::Bf16).is_err())]
fn backward_bf16(bencher: Bencher<'_, '_>, shape: (usize, usize)) {
    let how = (Algorithm::Winograd4, Precision::Bf16, None);
    with_unit(how, shape, 3, bencher, |context, unit, state, gradient, gradients| {
        unit.backward(context, StateSlices::Joined(state), StateSlices::Joined(gradient), gradients)
    });
}

#[divan::bench(args = SHAPES)]
fn forward_exact(bencher: Bencher<'_, '_>, shape: (usize, usize)) {
    let how = (Algorithm::Winograd4, Precision::F32, Grid::new(16).ok());
    with_unit(how, shape, 1, bencher, |context, unit, state, _, _| {
        unit.forward(context, StateSlices::Joined(state))
    });
}

#[divan::bench(args = SHAPES)]
fn backward_exact(bencher: Bencher<'_, '_>, shape: (usize, usize)) {
    let how = (Algorithm::Winograd4, Precision::F32, Grid::new(16).ok());
    with_unit(how, shape, 3, bencher, |context, unit, state, gradient, gradients| {
        unit.backward(context, StateSlices::Joined(state), StateSlices::Joined(gradient), gradients)
    });
}
