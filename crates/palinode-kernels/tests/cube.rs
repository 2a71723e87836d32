//! The kernels for graphics cards against the naive reference in f64. Debian's software Vulkan is enough.
#![cfg(feature = "wgpu")]
#![allow(clippy::unwrap_used)]

mod support;

use cubecl::Device;
use cubecl::client::Client;
use cubecl::ir::{ElemType, FloatKind};
use half::f16;
use palinode_kernels::convolution::ConvolutionKernel;
use palinode_kernels::cube::{CubeUnit, Limits, UnitOf, weight_gradient};
use palinode_kernels::recurrence::Role;
use palinode_kernels::reference::{self, Recurrence, ReferenceUnit, Shape};
use palinode_kernels::{Activation, Algorithm, Form, Grid};
use support::{noise, relative, updates, wide};

const F32: ElemType = ElemType::Float(FloatKind::F32);
const F16: ElemType = ElemType::Float(FloatKind::F16);

/// The device, or `None` with a remark if there is none here.
fn client() -> Option<Client> {
    match Device::wgpu(cubecl::device::WgpuDeviceKind::DefaultDevice) {
        Ok(device) => Some(device.client()),
        Err(error) => {
            assert!(std::env::var("PALINODE_DEVICE").is_err(), "{error}");
            println!("skipped: {error}");
            None
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    recurrence: Recurrence,
    form: Form,
    activation: Activation,
    input_bias: bool,
    shape: Shape,
    blocks: usize,
    /// Threads of a cube at most; 0: as many as the device has.
    threads: usize,
    /// The type of the factors of all products.
    number: ElemType,
    /// The grid of the state.
    grid: Option<Grid>,
}

impl Case {
    fn reference(&self, h: f64, parameters: &[Vec<f32>; 3]) -> ReferenceUnit<f64> {
        let [kernels, biases, input_biases] = parameters.each_ref().map(|values| wide(values));
        let Self { recurrence, form, activation, shape, blocks, .. } = *self;
        let step = h;
        ReferenceUnit {
            recurrence,
            form,
            activation,
            step,
            shape,
            blocks,
            kernels,
            biases,
            input_biases,
        }
    }

    /// The largest relative errors of the last state, the reconstructed state, the gradient of the state, and the
    /// gradients of kernels, biases and input biases.
    fn errors(&self, client: &Client) -> Vec<(&'static str, f64)> {
        const H: f64 = 0.2;
        let Shape { batch, channels: c, height, width } = self.shape;
        let residuals = self.blocks * self.recurrence.residuals_per_block();
        let deviation = 0.3 * (2.0 / (9 * c) as f64).sqrt();
        let a = if self.input_bias { 0.3 } else { 0.0 };
        let parameters = [
            noise(residuals * c * c * 9, 1, deviation),
            noise(residuals * c, 2, 0.3),
            noise(residuals * c, 7, a),
        ];
        let start = [3, 4].map(|seed| noise(self.shape.len(), seed, 1.0));
        let [first, second] = match self.grid {
            Some(grid) => start.map(|part| part.into_iter().map(|x| grid.nearest(x)).collect()),
            None => start,
        };
        let [g_first, g_second] = [5, 6].map(|seed| noise(self.shape.len(), seed, 1.0));

        let Self { form, activation, input_bias, number, grid, .. } = *self;
        let size = [height, width];
        let unit = UnitOf { channels: c, size, form, activation, input_bias, number, grid };
        let mut limits = Limits::of(client);
        if self.threads > 0 {
            limits.threads = self.threads;
        }
        let unit =
            CubeUnit::new(unit, &updates(self.recurrence, self.blocks, H), residuals, limits)
                .unwrap();

        // [images][2][c][h][w]
        let image = c * height * width;
        let joined = |first: &[f32], second: &[f32]| -> Vec<f32> {
            let both = first.chunks(image).zip(second.chunks(image));
            both.flat_map(|(first, second)| first.iter().chain(second).copied()).collect()
        };
        let upload = |values: &[f32]| client.create_from_slice(bytemuck::cast_slice(values));
        let read = |handle| -> Vec<f32> {
            bytemuck::pod_collect_to_vec(&client.read_one(handle).unwrap())
        };
        let state = upload(&joined(&first, &second));
        let arrays = arrays(form, c, &parameters[0]);
        let [biases, input_biases] = [&parameters[1], &parameters[2]].map(|values| upload(values));
        let weights = match number {
            F32 => upload(&arrays),
            _ => {
                let halves: Vec<f16> = arrays.iter().map(|&weight| f16::from_f32(weight)).collect();
                client.create_from_slice(bytemuck::cast_slice(&halves))
            }
        };
        let operands = [&weights, &biases, &input_biases];
        unit.forward(client, batch, &state, operands).unwrap();
        let last = read(state.clone());
        let gradient = upload(&joined(&g_first, &g_second));
        let evaluations = unit.evaluations().len();
        let found = client.empty(4 * evaluations * unit.parameters());
        unit.backward(client, batch, [&state, &gradient, &found], operands).unwrap();
        let (start, gradient, found) = (read(state), read(gradient), read(found));

        // A two-step scheme keeps its newest state in the stream that was changed last.
        let two_step = matches!(self.recurrence, Recurrence::Midpoint | Recurrence::Leapfrog);
        let swapped = two_step && unit.ends_in_first();
        let split = |joined: &[f32], swapped: bool| -> [Vec<f32>; 2] {
            let stream = |which: usize| {
                let images = joined.chunks(2 * image);
                images.flat_map(|both| &both[which * image..][..image]).copied().collect()
            };
            let both = [stream(0), stream(1)];
            if swapped {
                let [a, b] = both;
                [b, a]
            } else {
                both
            }
        };
        let truth = self.reference(H, &parameters);
        let start_truth = (wide(&first), wide(&second));
        let last_truth = truth.forward(start_truth.clone());
        // The gradient that was given is one with respect to the streams.
        let [g_first, g_second] = split(&joined(&g_first, &g_second), swapped);
        let gradients = truth.backward(start_truth.clone(), (wide(&g_first), wide(&g_second)));

        let [last_first, last_second] = split(&last, swapped);
        let [start_first, start_second] = split(&start, false);
        let [own_first, own_second] = split(&gradient, false);
        let mut kernels = vec![0.0_f32; residuals * c * c * 9];
        let [mut biases, mut input_biases] = [(); 2].map(|()| vec![0.0_f32; residuals * c]);
        for (term, own) in unit.evaluations().iter().zip(found.chunks(unit.parameters())) {
            let (kernel, vectors) = own.split_at(c * c * 9);
            let conjugate = term.role == Role::Conjugate && form == Form::Layer;
            let into = &mut kernels[term.residual * c * c * 9..][..c * c * 9];
            for (at, turned) in pairs(c) {
                into[at] += kernel[if conjugate { turned } else { at }];
                if form == Form::Antisymmetric {
                    into[at] -= kernel[turned];
                }
            }
            for (channel, sum) in vectors.iter().enumerate() {
                let into = if channel < c { &mut biases } else { &mut input_biases };
                into[term.residual * c + channel % c] += *sum;
            }
        }
        let mut errors = vec![
            ("last state", relative(&last_first, &last_truth.0)),
            ("last state", relative(&last_second, &last_truth.1)),
            ("first state", relative(&start_first, &start_truth.0)),
            ("first state", relative(&start_second, &start_truth.1)),
            ("gradient", relative(&own_first, &gradients.start.0)),
            ("gradient", relative(&own_second, &gradients.start.1)),
            ("kernels", relative(&kernels, &gradients.kernels)),
            ("biases", relative(&biases, &gradients.biases)),
        ];
        if input_bias {
            errors.push(("input biases", relative(&input_biases, &gradients.input_biases)));
        }
        errors
    }
}

/// The place of every element in an array `[c, c, 3, 3]`, and its place in the array of the adjoint.
fn pairs(c: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..c * c * 9).map(move |at| {
        let (output, input, tap) = (at / (9 * c), at / 9 % c, at % 9);
        (at, (input * c + output) * 9 + 8 - tap)
    })
}

/// The arrays of the convolutions before σ and of their adjoints, as the kernels take them:
/// `[2][residuals][inputs][9][outputs]`.
fn arrays(form: Form, c: usize, kernels: &[f32]) -> Vec<f32> {
    let mut found = vec![0.0; 2 * kernels.len()];
    for (residual, kernel) in kernels.chunks(c * c * 9).enumerate() {
        for (at, turned) in pairs(c) {
            let m = match form {
                Form::Symmetric | Form::Layer => kernel[at],
                Form::Antisymmetric => kernel[at] - kernel[turned],
            };
            let (output, input, tap) = (at / (9 * c), at / 9 % c, at % 9);
            let inner = residual * c * c * 9 + (input * 9 + tap) * c + output;
            let outer = residual * c * c * 9 + (output * 9 + 8 - tap) * c + input;
            found[inner] = m;
            found[kernels.len() + outer] = m;
        }
    }
    found
}

fn check(case: Case) {
    let Some(client) = client() else { return };
    for (what, error) in case.errors(&client) {
        assert!(error <= 2e-5, "{case:?}: {what} {error:e}");
    }
}

const SMALL: Shape = Shape { batch: 3, channels: 4, height: 5, width: 7 };

fn case(recurrence: Recurrence, form: Form) -> Case {
    let activation = Activation::Tanh;
    Case {
        recurrence,
        form,
        activation,
        input_bias: false,
        shape: SMALL,
        blocks: 3,
        threads: 0,
        number: F32,
        grid: None,
    }
}

#[test]
fn every_recurrence_form_and_activation_agrees_with_the_reference() {
    for recurrence in
        [Recurrence::Verlet, Recurrence::Coupling, Recurrence::Midpoint, Recurrence::Leapfrog]
    {
        for form in [Form::Symmetric, Form::Layer, Form::Antisymmetric] {
            check(case(recurrence, form));
        }
    }
    check(case(Recurrence::Hamiltonian, Form::Layer));
    for activation in [Activation::Relu, Activation::Softplus] {
        check(Case { activation, ..case(Recurrence::Verlet, Form::Symmetric) });
    }
}

#[test]
fn biases_before_k_are_added_and_have_gradients() {
    for form in [Form::Symmetric, Form::Layer, Form::Antisymmetric] {
        check(Case { input_bias: true, ..case(Recurrence::Verlet, form) });
    }
    check(Case { input_bias: true, ..case(Recurrence::Leapfrog, Form::Antisymmetric) });
}

/// Tiles of one, two and four rows; several tiles and several parts of a gradient in one thread; threads that
/// share a part; images that share a cube; one block, and an odd number of blocks.
#[test]
fn every_way_to_share_out_the_work_agrees_with_the_reference() {
    let shape = |batch, channels, height, width| Shape { batch, channels, height, width };
    for (shape, threads) in [
        (shape(2, 16, 16, 16), 0),
        (shape(2, 32, 8, 8), 0),
        (shape(2, 64, 4, 4), 0),
        (shape(2, 8, 9, 6), 32),
        (shape(2, 16, 5, 5), 32),
        (shape(150, 4, 3, 3), 0),
        (shape(1, 4, 1, 1), 0),
    ] {
        let blocks = if shape.batch == 1 { 1 } else { 2 };
        check(Case { shape, threads, blocks, ..case(Recurrence::Verlet, Form::Symmetric) });
    }
    check(Case {
        shape: shape(2, 16, 16, 16),
        blocks: 2,
        ..case(Recurrence::Midpoint, Form::Antisymmetric)
    });
}

/// The sums of 128 images and 16 evaluations take more memory than one launch may use.
#[test]
fn a_backward_pass_of_several_launches_agrees_with_the_reference() {
    let shape = Shape { batch: 128, channels: 32, height: 2, width: 2 };
    check(Case { shape, blocks: 8, ..case(Recurrence::Verlet, Form::Symmetric) });
}

/// The factors of the products are rounded to 11 bits. Both evaluations of a residual round alike, but the state that
/// comes back differs from the first one by rounding in f32, so that some of its numbers fall to another f16.
#[test]
fn units_in_f16_agree_with_the_reference() {
    let Some(client) = client() else { return };
    assert!(client.properties().supports_type(F16), "this device does not compute in f16");
    let shape = |batch, channels, height, width| Shape { batch, channels, height, width };
    for case in [
        case(Recurrence::Verlet, Form::Symmetric),
        case(Recurrence::Coupling, Form::Layer),
        case(Recurrence::Hamiltonian, Form::Layer),
        case(Recurrence::Midpoint, Form::Antisymmetric),
        Case { input_bias: true, ..case(Recurrence::Leapfrog, Form::Antisymmetric) },
        Case { shape: shape(2, 16, 16, 16), ..case(Recurrence::Verlet, Form::Symmetric) },
        Case { shape: shape(2, 64, 4, 4), ..case(Recurrence::Midpoint, Form::Symmetric) },
    ] {
        for (what, error) in (Case { number: F16, ..case }).errors(&client) {
            let limit = if what == "first state" { 1e-4 } else { 1e-3 };
            assert!(error <= limit, "{case:?}: {what} {error:e}");
        }
    }
}

#[test]
fn states_on_a_grid_come_back_to_the_bit_in_every_type() {
    let Some(client) = client() else { return };
    let shape = Shape { batch: 2, channels: 8, height: 9, width: 6 };
    for (recurrence, form) in [
        (Recurrence::Verlet, Form::Symmetric),
        (Recurrence::Hamiltonian, Form::Layer),
        (Recurrence::Midpoint, Form::Antisymmetric),
        (Recurrence::Leapfrog, Form::Symmetric),
    ] {
        for number in [F32, F16] {
            let grid = Grid::new(18).ok();
            let case = Case { grid, number, shape, blocks: 10, ..case(recurrence, form) };
            for (what, error) in case.errors(&client) {
                let limit = if number == F32 { 5e-5 } else { 2e-3 };
                let limit = if what == "first state" { 0.0 } else { limit };
                assert!(error <= limit, "{case:?}: {what} {error:e}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_a_cube_is_left_to_others() {
    let unit = |channels: usize, size: [usize; 2]| {
        let (form, activation) = (Form::Symmetric, Activation::Relu);
        let unit =
            UnitOf { channels, size, form, activation, input_bias: false, number: F32, grid: None };
        let updates = updates(Recurrence::Verlet, 3, 0.1);
        let limits =
            Limits { shared_memory: 32 << 10, threads: 1024, buffers: 16, storage_barrier: true };
        CubeUnit::new(unit, &updates, 6, limits)
    };
    assert!(unit(16, [16, 16]).is_some());
    assert!(unit(6, [8, 8]).is_none(), "not a multiple of four channels");
    assert!(unit(16, [32, 32]).is_none(), "a map of 74 kB");
    assert!(unit(16, [0, 8]).is_none());
}

/// Strides, paddings, groups, large and small kernels, outputs that are no multiple of four, more images than slots.
#[test]
fn weight_gradients_agree_with_the_reference() {
    let Some(client) = client() else { return };
    let base = ConvolutionKernel {
        images: 2,
        inputs: 3,
        outputs: 8,
        size: [6, 5],
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        groups: 1,
        algorithm: Algorithm::Direct,
    };
    for shape in [
        base,
        ConvolutionKernel { stride: [2, 1], ..base },
        ConvolutionKernel { padding: [0, 2], outputs: 5, ..base },
        ConvolutionKernel { kernel: [1, 1], padding: [0, 0], stride: [2, 2], outputs: 6, ..base },
        ConvolutionKernel { kernel: [5, 5], padding: [2, 2], inputs: 4, groups: 2, ..base },
        ConvolutionKernel { inputs: 6, outputs: 6, groups: 6, images: 150, size: [3, 3], ..base },
    ] {
        let [rows, columns] = shape.output_size().unwrap();
        let x = noise(shape.images * shape.inputs * shape.size[0] * shape.size[1], 1, 1.0);
        let d = noise(shape.images * shape.outputs * rows * columns, 2, 1.0);
        let truth = reference::weight_gradient(&shape, &wide(&x), &wide(&d));
        let [x, d] = [&x, &d].map(|values| client.create_from_slice(bytemuck::cast_slice(values)));
        let into = client.empty(4 * truth.len());
        weight_gradient(&client, &shape, [&x, &d, &into]).unwrap();
        let found: Vec<f32> = bytemuck::pod_collect_to_vec(&client.read_one(into).unwrap());
        let error = relative(&found, &truth);
        assert!(error <= 2e-6, "{shape:?}: {error:e}");
        let short = client.empty(4);
        assert!(weight_gradient(&client, &shape, [&x, &d, &short]).is_err());
    }
}
