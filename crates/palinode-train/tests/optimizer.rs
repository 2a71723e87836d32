//! The optimisers against hand arithmetic, and their state.
#![allow(clippy::unwrap_used)]

mod support;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor};
use palinode::Activation;
use palinode::network::weights::{Array, Arrays, Names, collect, replace};
use palinode::network::{Network, NetworkConfig, Phase};
use palinode::random::{Generator, Purpose};
use palinode::reversible::Differentiation;
use palinode_train::recipe::{
    Decayed, OptimizerName, OptimizerRecipe, SmoothnessKind, SmoothnessRecipe,
};
use palinode_train::train::{GradientMean, NetworkOptimizer, ParameterGradients, cross_entropy};

/// A network of zero blocks whose weights are all `value`.
fn network(value: f32) -> Network {
    let mut config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 2);
    config = config.with_units([0, 0, 0], [2, 2, 2]);
    let network = config.init(0, Differentiation::Stored, &Device::flex().autodiff()).unwrap();
    let constant = |(name, array): (String, Array)| {
        let values = vec![value; array.values.len()];
        (name, Array { values, ..array })
    };
    let arrays: Arrays = collect(&network).into_iter().map(constant).collect();
    replace(network, &arrays).unwrap()
}

/// A network of one block per unit with random weights, biases included.
fn random_network(seed: u64) -> Network {
    let mut config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 2);
    config = config.with_units([1, 1, 1], [2, 2, 2]);
    let network = config.init(0, Differentiation::Stored, &Device::flex().autodiff()).unwrap();
    let mut generator = Generator::new(seed, Purpose::Input);
    let mut arrays = collect(&network);
    for array in arrays.values_mut() {
        let values: Tensor<1> = generator.normal([array.values.len()], 1.0, &Device::flex());
        array.values = values.into_data().try_to_vec().unwrap();
    }
    replace(network, &arrays).unwrap()
}

/// A loss Σ gw with random g, and these g in the order of a visit.
fn random_loss(network: &Network, step: u64) -> (Tensor<1>, Vec<f32>) {
    struct Visitor(Generator, Option<Tensor<1>>, Vec<f32>);
    impl ModuleVisitor for Visitor {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let weight = param.val();
            let gradient: Tensor<D> =
                self.0.normal(weight.shape(), 1.0, &Device::flex().autodiff());
            self.2.extend(support::values(gradient.clone()).into_iter().map(|g| g as f32));
            let part = (weight * gradient).sum();
            self.1 = Some(match self.1.take() {
                Some(sum) => sum + part,
                None => part,
            });
        }
    }
    let generator = Generator::with_stream(99, Purpose::Input, step);
    let mut visitor = Visitor(generator, None, Vec::new());
    network.visit(&mut visitor);
    (visitor.1.unwrap(), visitor.2)
}

/// All weights in the order of a visit.
fn flat(network: &Network) -> Vec<f32> {
    weights_of(network).into_iter().map(|weight| weight as f32).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// For every weight, whether it belongs to a kernel.
fn kernel_mask(network: &Network) -> Vec<bool> {
    let slots = Names::of(network).slots;
    let mask = slots.iter().map(|s| vec![s.is_kernel(); s.shape.iter().product::<usize>()]);
    mask.collect::<Vec<_>>().concat()
}

/// The loss Σ w over all parameters, whose gradient is 1 everywhere.
fn sum_of_weights(network: &Network) -> Tensor<1> {
    struct Sum(Option<Tensor<1>>);
    impl ModuleVisitor for Sum {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let part = param.val().sum();
            self.0 = Some(match self.0.take() {
                Some(sum) => sum + part,
                None => part,
            });
        }
    }
    let mut sum = Sum(None);
    network.visit(&mut sum);
    sum.0.unwrap()
}

fn step(network: Network, optimizer: &mut NetworkOptimizer, rate: f64) -> Network {
    let loss = sum_of_weights(&network);
    step_down(network, optimizer, loss, rate)
}

/// One step down the gradient of `loss`.
fn step_down(
    network: Network,
    optimizer: &mut NetworkOptimizer,
    loss: Tensor<1>,
    rate: f64,
) -> Network {
    let gradients = ParameterGradients::take(&network, &mut loss.backward());
    optimizer.step(network, gradients, rate).unwrap()
}

fn sgd() -> OptimizerRecipe {
    OptimizerRecipe::default()
}

#[test]
fn three_steps_by_hand() {
    let recipe = sgd().with_momentum(0.9).with_weight_decay(0.5);
    let mut network = network(1.0);
    let mut optimizer = NetworkOptimizer::new(&recipe, &network);
    // Kernels: g = 1 + 0.5w, v ← 0.9v + g, w ← w − 0.1v.
    //   w = 1      g = 1.5       v = 1.5         w = 0.85
    //   w = 0.85   g = 1.425     v = 2.775       w = 0.5725
    //   w = 0.5725 g = 1.28625   v = 3.78375     w = 0.194125
    // Biases: g = 1: v = 1, 1.9, 2.71; w = 0.9, 0.71, 0.439.
    let expected = [(0.85, 0.9), (0.5725, 0.71), (0.194_125, 0.439)];
    for (kernel, bias) in expected {
        network = step(network, &mut optimizer, 0.1);
        let arrays = collect(&network);
        for (name, array) in arrays {
            let wanted: f32 = if name.ends_with("weight") { kernel } else { bias };
            for value in array.values {
                assert!((value - wanted).abs() < 1e-6, "{name}: {value}, expected {wanted}");
            }
        }
    }
    let state = optimizer.state().unwrap();
    assert!((state["momentum.stem.weight"].values[0] - 3.78375).abs() < 1e-5);
    assert!((state["momentum.head.bias"].values[0] - 2.71).abs() < 1e-5);
}

/// Burn's SGD gives the bits of w ← w − η·(μv + (g + λw)), each operation rounded once to f32.
#[test]
fn sgd_rounds_as_the_formula_says() {
    let (rate, momentum, decay) = (0.037, 0.9, 2e-4);
    let recipe = sgd().with_momentum(momentum).with_weight_decay(decay).with_decayed(Decayed::All);
    let mut network = random_network(3);
    let mut optimizer = NetworkOptimizer::new(&recipe, &network);
    let mut velocity: Option<Vec<f32>> = None;
    for step in 0..4 {
        let weights = flat(&network);
        let (loss, gradients) = random_loss(&network, step);
        network = step_down(network, &mut optimizer, loss, rate);
        let (eta, mu, lambda) = (rate as f32, momentum as f32, decay as f32);
        let decayed = gradients.iter().zip(&weights).map(|(g, w)| g + w * lambda);
        let moved: Vec<f32> = match &velocity {
            Some(velocity) => velocity.iter().zip(decayed).map(|(v, g)| v * mu + g).collect(),
            None => decayed.collect(),
        };
        let expected: Vec<f32> = weights.iter().zip(&moved).map(|(w, v)| w - v * eta).collect();
        assert_eq!(bits(&flat(&network)), bits(&expected), "step {step}");
        velocity = Some(moved);
    }
}

/// m ← β₁m + (1 − β₁)g, s ← β₂s + (1 − β₂)g², w ← (1 − ηλ)w − η·m̂/(√ŝ + ε).
#[test]
fn adamw_by_hand() {
    let recipe = sgd()
        .with_name(OptimizerName::AdamW)
        .with_betas([0.8, 0.95])
        .with_epsilon(1e-3)
        .with_weight_decay(0.1);
    let mut network = random_network(5);
    let mut optimizer = NetworkOptimizer::new(&recipe, &network);
    let kernel: Vec<bool> = kernel_mask(&network);
    let length = kernel.len();
    let mut weights: Vec<f64> = flat(&network).into_iter().map(f64::from).collect();
    let (mut first, mut second) = (vec![0.0; length], vec![0.0; length]);
    for step in 0..5_u64 {
        let (loss, gradients) = random_loss(&network, step);
        network = step_down(network, &mut optimizer, loss, 0.02);
        let time = step as i32 + 1;
        for index in 0..length {
            let g = f64::from(gradients[index]);
            first[index] = 0.8 * first[index] + 0.2 * g;
            second[index] = 0.95 * second[index] + 0.05 * g * g;
            let m = first[index] / (1.0 - 0.8_f64.powi(time));
            let s: f64 = second[index] / (1.0 - 0.95_f64.powi(time));
            let decay = if kernel[index] { 0.02 * 0.1 } else { 0.0 };
            weights[index] = (1.0 - decay) * weights[index] - 0.02 * m / (s.sqrt() + 1e-3);
        }
        for (found, expected) in flat(&network).iter().zip(&weights) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} against {expected}");
        }
    }
}

/// Muon's step of a kernel `[out, in, 3, 3]` is an almost orthogonal matrix `[out, in·9]`; biases and the
/// fully connected layer go by AdamW.
#[test]
fn muon_takes_the_kernels_of_convolutions_as_matrices() {
    let recipe = sgd().with_name(OptimizerName::Muon).with_weight_decay(0.0);
    let before = random_network(7);
    let mut optimizer = NetworkOptimizer::new(&recipe, &before);
    let old = collect(&before);
    let (loss, _) = random_loss(&before, 0);
    let after = collect(&step_down(before, &mut optimizer, loss, 0.1));
    let step: Vec<f64> = after["stem.weight"]
        .values
        .iter()
        .zip(&old["stem.weight"].values)
        .map(|(new, old)| f64::from(old - new))
        .collect();
    // Two rows of 9; Moonshot's scale is 0.2·√max(rows, columns).
    let scale = 0.1 * 0.2 * 9.0_f64.sqrt();
    let dot = |a: usize, b: usize| -> f64 {
        (0..9).map(|i| step[9 * a + i] * step[9 * b + i]).sum::<f64>() / (scale * scale)
    };
    for row in 0..2 {
        assert!((0.6..1.3).contains(&dot(row, row).sqrt()), "row {row}: {}", dot(row, row));
    }
    assert!(dot(0, 1).abs() < 0.2, "rows are not orthogonal: {}", dot(0, 1));
    let fields: Vec<String> = optimizer.state().unwrap().into_keys().collect();
    for name in ["momentum.stem.weight", "momentum.units.0.kernel", "moment_1.head.weight"] {
        assert!(fields.iter().any(|field| field == name), "{name} is not in {fields:?}");
    }
    assert!(!fields.iter().any(|field| field == "momentum.head.weight"));
    assert!(fields.iter().any(|field| field == "moment_2.units.0.bias"));
}

/// k steps, a restart and k steps are 2k steps, bit for bit.
#[test]
fn a_restored_optimizer_goes_on_with_the_same_bits() {
    for name in [OptimizerName::Sgd, OptimizerName::AdamW, OptimizerName::Muon] {
        for smoothness in [SmoothnessKind::None, SmoothnessKind::Step] {
            let recipe = sgd().with_name(name).with_clip_norm(1.0).with_weight_decay(0.01);
            let penalty = SmoothnessRecipe::default().with_kind(smoothness).with_strength(0.1);
            let make = |network: &Network| {
                NetworkOptimizer::new(&recipe, network).with_smoothness(penalty, network)
            };
            let go = |mut network: Network, optimizer: &mut NetworkOptimizer, steps| {
                for step in steps {
                    let (loss, _) = random_loss(&network, step);
                    network = step_down(network, optimizer, loss, 0.05);
                }
                network
            };
            let start = random_network(11);
            let mut whole = make(&start);
            let expected = go(start, &mut whole, 0..6);

            let half = random_network(11);
            let mut first = make(&half);
            let half = go(half, &mut first, 0..3);
            let again = replace(random_network(12), &collect(&half)).unwrap();
            let mut second = make(&again);
            second.restore(&first.state().unwrap(), 3, &Device::flex()).unwrap();
            let found = go(again, &mut second, 3..6);
            assert_eq!(collect(&found), collect(&expected), "{name:?} {smoothness:?}");
            assert_eq!(second.state().unwrap(), whole.state().unwrap());
        }
    }
}

#[test]
fn a_state_that_does_not_fit_is_refused_by_name() {
    let network = random_network(1);
    let mut optimizer = NetworkOptimizer::new(&sgd(), &network);
    let (loss, _) = random_loss(&network, 0);
    let network = step_down(network, &mut optimizer, loss, 0.1);
    let state = optimizer.state().unwrap();
    let message = |recipe: &OptimizerRecipe, state: &Arrays, steps| {
        let mut optimizer = NetworkOptimizer::new(recipe, &network);
        optimizer.restore(state, steps, &Device::flex()).unwrap_err().to_string()
    };
    let mut missing = state.clone();
    missing.remove("momentum.head.bias");
    assert!(message(&sgd(), &missing, 1).contains("`momentum.head.bias` is missing"));
    let mut foreign = state.clone();
    foreign.insert("momentum.head.extra".into(), Array { shape: vec![1], values: vec![0.0] });
    assert!(message(&sgd(), &foreign, 1).contains("`momentum.head.extra`"));
    let mut shape = state.clone();
    shape.get_mut("momentum.head.bias").unwrap().shape = vec![1, 2];
    assert!(message(&sgd(), &shape, 1).contains("`head.bias` has shape [1, 2]"));
    assert!(message(&sgd(), &state, 0).contains("momentum."), "a state before the first step");
    let adamw = sgd().with_name(OptimizerName::AdamW);
    assert!(message(&adamw, &state, 1).contains("`moment_1."));
}

#[test]
fn decay_on_all_reaches_biases_and_clipping_bounds_the_whole_gradient() {
    let decay_all = sgd().with_weight_decay(1.0).with_decayed(Decayed::All).with_momentum(0.0);
    let before = network(1.0);
    let mut optimizer = NetworkOptimizer::new(&decay_all, &before);
    let after = collect(&step(before, &mut optimizer, 0.1));
    // g = 1 + 1·1 everywhere.
    assert!(after.values().flat_map(|a| &a.values).all(|w| (w - 0.8).abs() < 1e-6));

    let clipped = sgd().with_clip_norm(2.0).with_weight_decay(0.0);
    let before = network(1.0);
    let mut optimizer = NetworkOptimizer::new(&clipped, &before);
    let count: usize = collect(&before).values().map(|a| a.values.len()).sum();
    let after = collect(&step(before, &mut optimizer, 1.0));
    let moved: f64 = after
        .values()
        .flat_map(|a| &a.values)
        .map(|w| f64::from(1.0 - w).powi(2))
        .sum::<f64>()
        .sqrt();
    assert!((moved - 2.0).abs() < 1e-4, "{count} gradients of 1, clipped to 2, moved {moved}");
}

/// One read-back gives the bits of one read-back per parameter: f32 sums, added in f64 in order.
#[test]
fn clipping_has_the_bits_of_sums_that_are_read_one_by_one() {
    let network = random_network(2);
    let (loss, _) = random_loss(&network, 1);
    let mut clipped = ParameterGradients::take(&network, &mut loss.backward());
    let before = clipped.clone();
    clipped.clip(0.1).unwrap();
    let squares: f64 = before
        .as_slice()
        .iter()
        .flatten()
        .map(|gradient| gradient.clone().powi_scalar(2).sum().into_scalar::<f64>())
        .sum();
    let scale = 0.1 / squares.sqrt();
    assert!(scale < 1.0);
    for (found, before) in
        clipped.as_slice().iter().flatten().zip(before.as_slice().iter().flatten())
    {
        let expected = before.clone() * scale;
        assert_eq!(support::values(found.clone()), support::values(expected));
    }
}

#[test]
fn a_gradient_that_is_not_finite_is_not_clipped_in_silence() {
    let before = network(1.0);
    let mut optimizer = NetworkOptimizer::new(&sgd().with_clip_norm(1.0), &before);
    let loss = sum_of_weights(&before) * 1e25;
    let gradients = ParameterGradients::take(&before, &mut loss.backward());
    let error = optimizer.step(before, gradients, 0.1).unwrap_err().to_string();
    assert!(error.contains("the norm of the gradient is not finite"), "{error}");
}

/// Batches of 2, 2 and 1 images with the gradients a, b, c: (2a + 2b + c)/5. One batch keeps its bits.
#[test]
fn accumulated_gradients_count_by_their_images() {
    let network = random_network(4);
    let gradient = |step| {
        let (loss, values) = random_loss(&network, step);
        (ParameterGradients::take(&network, &mut loss.backward()), values)
    };
    let all = |gradients: ParameterGradients| -> Vec<f64> {
        gradients.as_slice().iter().flatten().flat_map(|g| support::values(g.clone())).collect()
    };
    let mut mean = GradientMean::default();
    let mut expected = vec![0.0; gradient(0).1.len()];
    for (step, images) in [(0, 2), (1, 2), (2, 1)] {
        let (gradients, values) = gradient(step);
        mean.add(gradients, images).unwrap();
        let weighted = values.iter().map(|&g| f64::from(g) * images as f64 / 5.0);
        expected.iter_mut().zip(weighted).for_each(|(sum, g)| *sum += g);
    }
    for (found, expected) in all(mean.finish().unwrap()).iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-6, "{found} against {expected}");
    }
    let mut single = GradientMean::default();
    single.add(gradient(3).0, 7).unwrap();
    assert_eq!(all(single.finish().unwrap()), all(gradient(3).0));
    assert!(GradientMean::default().finish().is_none());
}

/// A parameter that took no part in a step has the gradient zero, and decays; one that wants none stays.
#[test]
fn frozen_parameters_stay_and_unused_ones_decay() {
    for frozen in [false, true] {
        let mut before = network(1.0);
        before.stem.weight = before.stem.weight.set_require_grad(!frozen);
        let recipe = sgd().with_weight_decay(0.5);
        let mut optimizer = NetworkOptimizer::new(&recipe, &before);
        // A loss of the head's bias alone.
        let loss = before.head.bias.val().sum();
        let after = collect(&step_down(before, &mut optimizer, loss, 0.1));
        let expected = if frozen { 1.0 } else { 1.0 - 0.1 * 0.5 };
        assert!(after["stem.weight"].values.iter().all(|w| (w - expected).abs() < 1e-6));
        assert!(after["head.bias"].values.iter().all(|b| (b - 0.9).abs() < 1e-6));
    }
}

/// Casts every parameter to f64, a leaf of its own.
struct InF64;

impl ModuleMapper for InF64 {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|weight| weight.inner().cast(DType::F64).autodiff().require_grad())
    }
}

fn weights_of(network: &Network) -> Vec<f64> {
    struct Visitor(Vec<f64>);
    impl ModuleVisitor for Visitor {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(support::values(param.val()));
        }
    }
    let mut visitor = Visitor(Vec::new());
    network.visit(&mut visitor);
    visitor.0
}

/// A block that was left out has the gradient zero in every mode: momentum and decay go on alike.
#[test]
fn stochastic_depth_trains_alike_in_every_mode() {
    let device = Device::flex().autodiff();
    let train = |mode| {
        let mut config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 4);
        config = config.with_units([2, 2, 2], [4, 4, 4]);
        config.survival = 0.4;
        config.activation = Activation::Tanh;
        let mut network = config.init(1, mode, &device).unwrap().map(&mut InF64);
        let recipe = sgd().with_weight_decay(0.1);
        let mut optimizer = NetworkOptimizer::new(&recipe, &network);
        for step in 0..6 {
            let images: Tensor<4> = Generator::with_stream(2, Purpose::Input, step)
                .normal([4, 1, 8, 8], 1.0, &device)
                .cast(DType::F64);
            let labels = Tensor::from_ints([0, 1, 2, 3], &device);
            let logits = network.forward(images, Phase::Training { seed: 1, step }).unwrap();
            network = step_down(network, &mut optimizer, cross_entropy(logits, labels), 0.1);
        }
        weights_of(&network)
    };
    let stored = train(Differentiation::Stored);
    for mode in [Differentiation::Checkpointed, Differentiation::Reversible] {
        let error = support::relative(&train(mode), &stored);
        assert!(error < 1e-11, "{mode:?}: {error:e}");
    }
}
