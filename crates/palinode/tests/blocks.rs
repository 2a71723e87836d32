//! Residuals with convolutions, norms and dropouts inside: derivatives, repetition, statistics.
#![allow(clippy::unwrap_used)]

mod support;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Distribution, Tensor};
use palinode::Activation;
use palinode::network::weights::collect;
use palinode::network::{Network, NetworkConfig, Phase, Unit, Variant};
use palinode::random::{Generator, Purpose};
use palinode::residual::{BuiltIn, BuiltInConfig, BuiltInSettings, Pass, Residual};
use palinode::reversible::Differentiation;
use palinode::scheme::{SchemeName, Start};
use palinode::training::{OptimizerRecipe, Sgd, cross_entropy};
use support::{module_gradients, relative, values};

const KINDS: [BuiltInConfig; 7] = [
    BuiltInConfig::Symmetric,
    BuiltInConfig::Layer,
    BuiltInConfig::Antisymmetric,
    BuiltInConfig::Inception,
    BuiltInConfig::AntisymmetricInception,
    BuiltInConfig::Basic,
    BuiltInConfig::Aggregated,
];

/// Every parameter moved: an f64 copy with `amount` times a random direction added, tracked.
struct Move {
    generator: Generator,
    amount: f64,
}

impl ModuleMapper for Move {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, _) = param.consume();
        let value = value.inner();
        let direction: Tensor<D> = self.generator.normal(value.shape(), 1.0, &value.device());
        let moved = value.cast(DType::F64) + direction.cast(DType::F64) * self.amount;
        Param::initialized(id, moved.autodiff().require_grad())
    }
}

/// The direction of [`Move`], flat.
struct Direction {
    generator: Generator,
    values: Vec<f64>,
}

impl ModuleVisitor for Direction {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val().inner();
        let direction: Tensor<D> = self.generator.normal(value.shape(), 1.0, &value.device());
        self.values.extend(values(direction.cast(DType::F64)));
    }
}

fn direction<M: Module>(module: &M) -> Vec<f64> {
    let mut visitor =
        Direction { generator: Generator::new(31, Purpose::Input), values: Vec::new() };
    module.visit(&mut visitor);
    visitor.values
}

fn residual(kind: BuiltInConfig, normed: bool, amount: f64) -> BuiltIn {
    let settings = BuiltInSettings {
        norm: normed,
        with_conjugate: true,
        dropout: if normed { 0.3 } else { 0.0 },
        bottleneck: 4,
        groups: 2,
        ..BuiltInSettings::new(8, Activation::Tanh)
    };
    let mut generator = Generator::new(3, Purpose::Weights);
    let residual = kind.init(settings, &mut generator, &Device::flex());
    let mut generator = Generator::new(31, Purpose::Input);
    // Nothing is where it begins: biases that are zero hide mistakes.
    let residual = residual.map(&mut Move { generator: generator.clone(), amount: 0.2 });
    generator = Generator::new(31, Purpose::Input);
    residual.map(&mut Move { generator, amount })
}

fn normal(seed: u64, shape: [usize; 4]) -> Tensor<4> {
    Generator::new(seed, Purpose::Input).normal(shape, 1.0, &Device::flex()).cast(DType::F64)
}

/// The derivative along a random direction of parameters and input, by autodiff and by central
/// differences of fourth order: batch statistics and dropout masks take part.
#[test]
fn gradients_of_every_residual_are_its_slopes() {
    let shape = [3, 8, 5, 4];
    let (x, along, weight) = (normal(1, shape), normal(2, shape), normal(3, shape));
    let phase = Phase::Training { seed: 7, step: 2 };
    for kind in KINDS {
        for normed in [false, true] {
            for conjugate in [false, true] {
                let value = |residual: &BuiltIn, x: Tensor<4>| {
                    let pass = Pass::first(phase, 5);
                    let y = match conjugate {
                        false => residual.forward(x, &pass),
                        true => residual.conjugate(x, &pass),
                    };
                    (y * weight.clone().autodiff()).sum()
                };
                let here = residual(kind, normed, 0.0);
                let input = x.clone().autodiff().require_grad();
                let gradients = value(&here, input.clone()).backward();
                let of_parameters = module_gradients(&here, &gradients);
                let slopes: f64 =
                    of_parameters.iter().zip(direction(&here)).map(|(g, d)| g * d).sum();
                let of_input = input.grad(&gradients).unwrap();
                let slope = slopes + (of_input * along.clone()).sum().into_scalar::<f64>();

                let step = 1e-4;
                let at = |amount: f64| {
                    let moved = residual(kind, normed, amount);
                    let x = x.clone() + along.clone() * amount;
                    value(&moved, x.autodiff()).inner().into_scalar::<f64>()
                };
                let expected = (8.0 * (at(step) - at(-step)) - at(2.0 * step) + at(-2.0 * step))
                    / (12.0 * step);
                let error = (slope - expected).abs() / expected.abs().max(1.0);
                assert!(
                    error < 1e-8,
                    "{kind:?}, norm and dropout {normed}, conjugate {conjugate}: {slope} against \
                     {expected}"
                );
            }
        }
    }
}

/// F(x) = Aᵀσ(Ax + b) with A as a matrix, made from nothing but its kernels.
#[test]
fn inception_is_the_formula_with_a_dense_matrix() {
    let (group, height, width) = (2, 4, 5);
    let (channels, pixels) = (4 * group, height * width);
    let found = residual(BuiltInConfig::Inception, false, 0.0);
    let BuiltIn::Inception(inception) = &found else { panic!("not inception") };
    // A convolution of zero padding as a matrix of [out · pixels, in · pixels], and its bias.
    let matrix = |(weight, bias): &(Tensor<4>, Option<Tensor<1>>)| {
        let [out, inputs, extent, _] = weight.dims();
        let w = values(weight.clone());
        let mut m = vec![vec![0.0; inputs * pixels]; out * pixels];
        for o in 0..out {
            for i in 0..inputs {
                for (tap, value) in
                    w[(o * inputs + i) * extent * extent..][..extent * extent].iter().enumerate()
                {
                    for row in 0..height {
                        for column in 0..width {
                            let r = (row + tap / extent).checked_sub(extent / 2);
                            let c = (column + tap % extent).checked_sub(extent / 2);
                            if let (Some(r), Some(c)) = (r, c)
                                && r < height
                                && c < width
                            {
                                m[o * pixels + row * width + column][i * pixels + r * width + c] +=
                                    value;
                            }
                        }
                    }
                }
            }
        }
        let bias = values(bias.clone().unwrap());
        (m, (0..out * pixels).map(|k| bias[k / pixels]).collect::<Vec<f64>>())
    };
    let apply = |m: &[Vec<f64>], x: &[f64]| -> Vec<f64> {
        m.iter().map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
    };
    let back = |m: &[Vec<f64>], y: &[f64]| -> Vec<f64> {
        (0..m[0].len()).map(|k| m.iter().zip(y).map(|(row, y)| row[k] * y).sum()).collect()
    };
    let add =
        |a: Vec<f64>, b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
    let parameters = inception.map.parameters();
    let [one, three_reduce, three, five_reduce, five] = parameters.each_ref().map(matrix);

    let x = normal(9, [1, channels, height, width]);
    let flat = values(x.clone());
    let quarter = |index: usize| &flat[index * group * pixels..(index + 1) * group * pixels];
    let after = |first: &(Vec<Vec<f64>>, Vec<f64>), x: &[f64]| add(apply(&first.0, x), &first.1);
    let hidden = [
        quarter(0).to_vec(),
        after(&one, quarter(1)),
        after(&three, &after(&three_reduce, quarter(2))),
        after(&five, &after(&five_reduce, quarter(3))),
    ]
    .map(|part| part.into_iter().map(f64::tanh).collect::<Vec<_>>());
    let expected = [
        hidden[0].clone(),
        back(&one.0, &hidden[1]),
        back(&three_reduce.0, &back(&three.0, &hidden[2])),
        back(&five_reduce.0, &back(&five.0, &hidden[3])),
    ]
    .concat();
    let y = values(found.forward(x.autodiff(), &Pass::first(Phase::Inference, 0)));
    let error = relative(&y, &expected);
    assert!(error < 1e-13, "{error:e}");
}

struct Cast(DType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, _) = param.consume();
        Param::initialized(id, value.inner().cast(self.0).autodiff().require_grad())
    }
}

/// A unit of residuals with batch norm and dropout.
fn unit(
    scheme: SchemeName,
    kind: BuiltInConfig,
    mode: Differentiation,
    dtype: DType,
) -> Unit<BuiltIn> {
    let settings = BuiltInSettings {
        norm: true,
        with_conjugate: scheme == SchemeName::HamiltonianSingle,
        dropout: 0.2,
        bottleneck: 4,
        groups: 2,
        ..BuiltInSettings::new(8, Activation::Tanh)
    };
    let scheme = scheme.with_step(0.3, Start::AtRest);
    let mut generator = Generator::new(3, Purpose::Weights);
    let residuals = (0..4 * scheme.residuals_per_block())
        .map(|_| kind.init(settings, &mut generator, &Device::flex()).map(&mut Cast(dtype)))
        .collect();
    Unit::new(residuals, scheme, mode).unwrap()
}

/// Running statistics of a module, flat.
fn running<M: Module>(module: &M) -> Vec<f64> {
    struct Visitor {
        name: String,
        found: Vec<f64>,
    }
    impl ModuleVisitor for Visitor {
        fn enter_module(&mut self, name: &str, _: &str) {
            name.clone_into(&mut self.name);
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.name.starts_with("running") {
                self.found.extend(values(param.val()));
            }
        }
    }
    let mut visitor = Visitor { name: String::new(), found: Vec::new() };
    module.visit(&mut visitor);
    visitor.found
}

#[test]
fn norms_and_dropouts_inside_blocks_are_the_same_in_every_mode() {
    for scheme in [SchemeName::Euler].into_iter().chain(SchemeName::REVERSIBLE) {
        let channels = 8 * if scheme.with_step(1.0, Start::AtRest).streams()
            == palinode::scheme::Streams::Two
        {
            2
        } else {
            1
        };
        for kind in KINDS {
            for phase in [Phase::Training { seed: 5, step: 11 }, Phase::BatchStatistics] {
                let mut results: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
                for mode in Differentiation::ALL {
                    if scheme == SchemeName::Euler && mode == Differentiation::Reversible {
                        continue;
                    }
                    let unit = unit(scheme, kind, mode, DType::F64);
                    let before = running(&unit);
                    let x = normal(4, [3, channels, 4, 5]).autodiff().require_grad();
                    let y = unit.forward(x.clone(), phase).unwrap();
                    let gradients = y.powi_scalar(2).sum().backward();
                    let mut found = module_gradients(&unit, &gradients);
                    found.extend(values(x.grad(&gradients).unwrap()));
                    let after = running(&unit);
                    assert_eq!(before != after, phase != Phase::BatchStatistics, "{mode:?}");
                    results.push((found, after));
                }
                for (gradients, statistics) in &results[1..] {
                    let error = relative(gradients, &results[0].0);
                    assert!(error < 1e-11, "{scheme:?} {kind:?} {phase:?}: {error:e}");
                    let error = relative(statistics, &results[0].1);
                    assert!(error < 1e-12, "{scheme:?} {kind:?} {phase:?}: statistics {error:e}");
                }
            }
        }
    }
}

#[test]
fn a_unit_with_norms_and_dropouts_comes_back_and_says_what_it_kept() {
    for scheme in SchemeName::REVERSIBLE {
        let unit = unit(scheme, BuiltInConfig::Symmetric, Differentiation::Stored, DType::F64);
        let streams = unit.scheme().streams();
        let channels = if streams == palinode::scheme::Streams::Two { 16 } else { 8 };
        let x = normal(4, [3, channels, 4, 5]);
        let (last, memory) =
            unit.forward_state(x.clone().autodiff(), Phase::Training { seed: 5, step: 0 }).unwrap();
        let evaluations = 4 * if channels == 16 { 2 } else { 1 };
        assert_eq!(memory.bytes(), evaluations * 8 * 16, "{scheme:?}: two numbers a channel");
        let error = relative(&values(unit.inverse(last, &memory).unwrap()), &values(x));
        assert!(error < 1e-12, "{scheme:?}: {error:e}");
    }
}

/// A network with norms and dropouts everywhere, after `steps` optimiser steps, and the last
/// gradients.
fn trained(mode: Differentiation, steps: u64, dtype: DType) -> (Network, Vec<f64>) {
    let device = Device::flex().autodiff();
    let mut config = NetworkConfig::named("revnet-38").unwrap().for_data(1, [8, 8], 5);
    (config.blocks, config.widths) = ([3, 3, 3], [8, 8, 16]);
    (config.block_dropout, config.dropout, config.activation) = (0.1, 0.2, Activation::Tanh);
    let mut network = config.init(7, mode, &device).unwrap().map(&mut Cast(dtype));
    let recipe = OptimizerRecipe { learning_rate: 0.05, ..OptimizerRecipe::default() };
    let mut optimizer = Sgd::new(&recipe, &network);
    let mut last = Vec::new();
    for step in 0..steps {
        let mut generator = Generator::with_stream(2, Purpose::Input, step);
        let images: Tensor<4> = generator.normal([4, 1, 8, 8], 1.0, &device).cast(dtype);
        let labels = Tensor::from_ints([0, 1, 2, 3], &device);
        let logits = network.forward(images, Phase::Training { seed: 1, step }).unwrap();
        let mut gradients = cross_entropy(logits, labels).backward();
        last = module_gradients(&network, &gradients);
        network = optimizer.step(network, &mut gradients, 0.05);
    }
    (network, last)
}

fn parameters<M: Module>(module: &M) -> Vec<f64> {
    struct Visitor(Vec<f64>);
    impl ModuleVisitor for Visitor {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(values(param.val()));
        }
    }
    let mut visitor = Visitor(Vec::new());
    module.visit(&mut visitor);
    visitor.0
}

/// Parameters are visited with the running statistics among them.
#[test]
fn after_one_and_five_steps_weights_gradients_and_statistics_are_those_of_stored_mode() {
    for (steps, dtype, bound) in
        [(1, DType::F64, 1e-11), (5, DType::F64, 1e-11), (1, DType::F32, 2e-5)]
    {
        let (stored, gradients) = trained(Differentiation::Stored, steps, dtype);
        for mode in [Differentiation::Checkpointed, Differentiation::Reversible] {
            let (network, own) = trained(mode, steps, dtype);
            let error = relative(&own, &gradients);
            assert!(error < bound, "{mode:?}, {steps} steps: gradients differ by {error:e}");
            for (what, found, expected) in [
                ("weights", parameters(&network), parameters(&stored)),
                ("statistics", running(&network), running(&stored)),
            ] {
                let error = relative(&found, &expected);
                assert!(error < bound, "{mode:?}, {steps} steps: {what} differ by {error:e}");
            }
        }
    }
}

#[test]
fn inference_moves_nothing_and_nobodys_random_numbers_move() {
    let (network, _) = trained(Differentiation::Reversible, 1, DType::F32);
    let before = collect(&network);
    let device = Device::flex();
    let images: Tensor<4> = Generator::new(2, Purpose::Input).normal([4, 1, 8, 8], 1.0, &device);
    let logits = |phase| values(network.valid().forward(images.clone(), phase).unwrap());
    let inference = logits(Phase::Inference);
    assert_eq!(inference, logits(Phase::Inference));
    assert_eq!(before, collect(&network));

    let drawn = |between: &dyn Fn()| {
        device.seed(42);
        let first = Tensor::<1>::random([4], Distribution::Default, &device);
        between();
        let second = Tensor::<1>::random([4], Distribution::Default, &device);
        (values(first), values(second))
    };
    // (No other test of this binary draws from Burn's generator.)
    let alone = drawn(&|| ());
    assert_eq!(
        alone,
        drawn(&|| {
            trained(Differentiation::Reversible, 1, DType::F32);
        })
    );
}

#[test]
fn variants_of_every_scheme_train_in_every_mode() {
    let device = Device::flex().autodiff();
    for model in ["hamiltonian", "hamiltonian-single", "midpoint", "leapfrog", "coupling"] {
        // Coupling has no step: without norms it would run away.
        let norms = if model == "coupling" { &[true][..] } else { &[false, true] };
        let single = model == "hamiltonian-single";
        for (variant, &normed) in
            Variant::ALL.into_iter().flat_map(|v| norms.iter().map(move |n| (v, n)))
        {
            let inception = matches!(variant, Variant::Inception | Variant::InceptionLarge);
            if single && inception && normed {
                // Refused: two functions, one norm.
                continue;
            }
            let mut results = Vec::new();
            for mode in Differentiation::ALL {
                let mut config = NetworkConfig::named(model).unwrap().with_variant(variant);
                config = config.for_data(1, [8, 8], 5);
                (config.blocks, config.widths) = ([2, 2, 2], [8, 16, 16]);
                (config.block_norm, config.block_dropout) =
                    (normed, if normed { 0.1 } else { 0.0 });
                config.activation = Activation::Tanh;
                let network = config.init(1, mode, &device).unwrap();
                let images = Generator::new(2, Purpose::Input).normal([4, 1, 8, 8], 1.0, &device);
                let logits = network.forward(images, Phase::Training { seed: 1, step: 3 }).unwrap();
                let gradients = logits.powi_scalar(2).sum().backward();
                results.push(module_gradients(&network, &gradients));
            }
            for found in &results[1..] {
                let error = relative(found, &results[0]);
                assert!(error < 2e-5, "{model} {variant:?} {normed}: {error:e}");
            }
        }
    }
}

#[test]
fn stochastic_depth_is_the_same_in_every_mode_and_an_average_in_inference() {
    let device = Device::flex().autodiff();
    let build = |mode| {
        let mut config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 5);
        (config.blocks, config.widths, config.survival) = ([3, 3, 3], [4, 8, 8], 0.3);
        config.init(1, mode, &device).unwrap()
    };
    let images = Generator::new(2, Purpose::Input).normal([4, 1, 8, 8], 1.0, &device);
    let run = |mode, step| {
        let network = build(mode);
        let logits = network.forward(images.clone(), Phase::Training { seed: 1, step }).unwrap();
        let gradients = logits.clone().powi_scalar(2).sum().backward();
        (values(logits), module_gradients(&network, &gradients))
    };
    let (first, second) = (run(Differentiation::Stored, 0), run(Differentiation::Stored, 1));
    assert_ne!(first.0, second.0, "two steps drop the same blocks");
    assert!(first.1.iter().filter(|&&g| g == 0.0).count() > 50, "nothing was dropped");
    for mode in [Differentiation::Checkpointed, Differentiation::Reversible] {
        let found = run(mode, 0);
        assert!(relative(&found.1, &first.1) < 1e-4, "{mode:?}");
    }
}

/// What the report did not see: an inception unit is four networks side by side, since A is block
/// diagonal and every scheme adds quarter to quarter. Only stem and head mix them.
#[test]
fn the_quarters_of_an_inception_unit_never_meet() {
    let unit = unit(
        SchemeName::Hamiltonian,
        BuiltInConfig::Inception,
        Differentiation::Stored,
        DType::F64,
    );
    let x = normal(4, [2, 16, 4, 5]);
    let output = |x: &Tensor<4>| unit.forward(x.clone(), Phase::Inference).unwrap();
    let before = output(&x);
    // Two streams of eight channels, in quarters of two.
    for quarter in 0..4 {
        let moved = (0..2).fold(x.clone(), |x, stream| {
            let first = 8 * stream + 2 * quarter;
            let part = x.clone().narrow(1, first, 2) + 0.5;
            x.slice_assign([0..2, first..first + 2, 0..4, 0..5], part)
        });
        let change = values((output(&moved) - before.clone()).abs());
        let place = |index: usize| index / 20 % 8 / 2;
        for (index, change) in change.into_iter().enumerate() {
            assert!(place(index) == quarter || change == 0.0, "quarter {quarter} reaches others");
        }
    }
}

/// A block that was left out has the gradient zero in every mode: momentum and decay go on alike.
#[test]
fn stochastic_depth_trains_alike_in_every_mode() {
    let device = Device::flex().autodiff();
    let train = |mode| {
        let mut config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 4);
        (config.blocks, config.widths, config.survival) = ([2, 2, 2], [4, 4, 4], 0.4);
        config.activation = Activation::Tanh;
        let mut network = config.init(1, mode, &device).unwrap().map(&mut Cast(DType::F64));
        let recipe = OptimizerRecipe { weight_decay: 0.1, ..OptimizerRecipe::default() };
        let mut optimizer = Sgd::new(&recipe, &network);
        for step in 0..6 {
            let images: Tensor<4> = Generator::with_stream(2, Purpose::Input, step)
                .normal([4, 1, 8, 8], 1.0, &device)
                .cast(DType::F64);
            let labels = Tensor::from_ints([0, 1, 2, 3], &device);
            let logits = network.forward(images, Phase::Training { seed: 1, step }).unwrap();
            let mut gradients = cross_entropy(logits, labels).backward();
            network = optimizer.step(network, &mut gradients, 0.1);
        }
        parameters(&network)
    };
    let stored = train(Differentiation::Stored);
    for mode in [Differentiation::Checkpointed, Differentiation::Reversible] {
        let error = relative(&train(mode), &stored);
        assert!(error < 1e-11, "{mode:?}: {error:e}");
    }
}

/// F and F* of the single-layer Hamiltonian network see different numbers: each has running statistics
/// of its own, and they are those of its own input.
#[test]
fn the_two_functions_of_a_layer_have_a_norm_each() {
    let unit = unit(
        SchemeName::HamiltonianSingle,
        BuiltInConfig::Layer,
        Differentiation::Stored,
        DType::F64,
    );
    let BuiltIn::Layer(layer) = &unit.residuals[0] else { panic!("not a layer") };
    let (norm, conjugate) = (layer.norm.as_ref().unwrap(), layer.conjugate_norm.as_ref().unwrap());
    let x = normal(4, [3, 16, 4, 5]);
    unit.forward(x.autodiff(), Phase::Training { seed: 1, step: 0 }).unwrap();
    let [first, second] = [norm, conjugate].map(|norm| values(norm.running_var.value_sync()));
    assert!(first.iter().chain(&second).all(|&variance| variance != 1.0), "one never moved");
    assert!(relative(&first, &second) > 1e-3, "both have the same statistics");
    // A tenth of the way from 1 to the batch's variance, once.
    assert!(first.iter().all(|&v| v > 0.9 - 1e-9), "moved more than once: {first:?}");
}
