//! User-defined residuals: they work in every scheme and mode, unless they have side effects.
#![allow(clippy::unwrap_used)]

mod support;

use burn::module::{Module, Param, ParamId};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor, activation};
use palinode::network::{NetworkConfig, Phase, Unit};
use palinode::random::{Generator, Purpose};
use palinode::residual::{Effects, Pass, Residual, Vjp};
use palinode::reversible::Differentiation;
use palinode::scheme::{SchemeName, Start, Streams};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{IN_KERNELS, module_gradients, relative, values};

/// A bottleneck of Burn's own layers, with an unused parameter and a counter of evaluations.
#[derive(Module, Debug)]
struct Bottleneck {
    narrow: Conv2d,
    wide: Conv2d,
    unused: Param<Tensor<1>>,
    #[module(skip)]
    evaluations: Arc<AtomicUsize>,
}

impl Bottleneck {
    fn new(channels: usize, evaluations: &Arc<AtomicUsize>, device: &Device) -> Self {
        let same = PaddingConfig2d::Explicit(1, 1, 1, 1);
        Self {
            narrow: Conv2dConfig::new([channels, 2], [1, 1]).init(device),
            wide: Conv2dConfig::new([2, channels], [3, 3]).with_padding(same).init(device),
            unused: Param::from_tensor(Tensor::ones([3], device)),
            evaluations: evaluations.clone(),
        }
    }
}

impl Residual for Bottleneck {
    fn forward(&self, x: Tensor<4>, _: &Pass) -> Tensor<4> {
        self.evaluations.fetch_add(1, Ordering::Relaxed);
        self.wide.forward(activation::silu(self.narrow.forward(x)))
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

#[test]
fn all_modes_agree_in_every_scheme_and_evaluations_are_counted() {
    let device = Device::flex().autodiff();
    for scheme in SchemeName::REVERSIBLE {
        let blocks = 5;
        let evaluations = Arc::new(AtomicUsize::new(0));
        let scheme_with_step = scheme.with_step(0.2, Start::AtRest);
        let count = blocks * scheme_with_step.residuals_per_block();
        let residuals: Vec<_> =
            (0..count).map(|_| Bottleneck::new(3, &evaluations, &device)).collect();
        let streams = match scheme_with_step.streams() {
            Streams::One => 1,
            Streams::Two => 2,
        };
        // F is evaluated once per block and stream, so twice per block by the single-layer Hamiltonian; seven times by
        // Forest and Ruth; eight times by RK4 forwards and backwards, six of them once more for the gradient.
        let (n, again) = match scheme {
            SchemeName::ForestRuth => (7 * blocks, 0),
            SchemeName::RungeKutta => (8 * blocks, 6 * blocks),
            _ => (blocks * streams, 0),
        };
        let input: Tensor<4> =
            Generator::new(1, Purpose::Input).normal([2, 3 * streams, 6, 5], 1.0, &Device::flex());
        let mut results = Vec::new();
        for mode in Differentiation::ALL {
            let unit = Unit::new(residuals.clone(), scheme_with_step.clone(), mode).unwrap();
            let input = input.clone().autodiff().require_grad();
            evaluations.store(0, Ordering::Relaxed);
            let output = unit.forward(input.clone(), support::PHASE).unwrap();
            assert_eq!(evaluations.swap(0, Ordering::Relaxed), n, "{scheme:?} {mode:?} forward");
            let gradients = output.powi_scalar(2).sum().backward();
            let backward = match mode {
                Differentiation::Stored => 0,
                Differentiation::Checkpointed => 2 * n + again,
                Differentiation::Reversible => n + again,
            };
            let found = evaluations.load(Ordering::Relaxed);
            assert_eq!(found, backward, "{scheme:?} {mode:?} backward");
            let parameters = module_gradients(&unit, &gradients);
            results.push((parameters, values(input.grad(&gradients).unwrap())));
        }
        for (parameters, input) in &results[1..] {
            let error = relative(parameters, &results[0].0).max(relative(input, &results[0].1));
            assert!(error < 1e-5, "{scheme:?}: {error:e}");
        }
    }
}

/// A residual without parameters.
#[derive(Module, Debug)]
struct Fixed {
    #[module(skip)]
    factor: f64,
}

impl Residual for Fixed {
    fn forward(&self, x: Tensor<4>, _: &Pass) -> Tensor<4> {
        x.tanh() * self.factor
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

#[test]
fn a_residual_without_parameters_works_in_every_mode() {
    let input: Tensor<4> =
        Generator::new(2, Purpose::Input).normal([1, 2, 3, 3], 1.0, &Device::flex());
    let gradient = |mode| {
        let scheme = SchemeName::Leapfrog.with_step(0.5, Start::Report);
        let unit = Unit::new(vec![Fixed { factor: 0.7 }; 4], scheme, mode).unwrap();
        let input = input.clone().autodiff().require_grad();
        let gradients =
            unit.forward(input.clone(), support::PHASE).unwrap().powi_scalar(2).sum().backward();
        values(input.grad(&gradients).unwrap())
    };
    let stored = gradient(Differentiation::Stored);
    for mode in [Differentiation::Checkpointed, Differentiation::Reversible] {
        assert!(relative(&gradient(mode), &stored) < 1e-6);
    }
}

/// A residual whose parameters can be computed from another tensor, as in a hypernetwork.
#[derive(Module, Debug)]
struct Scaled {
    scale: Param<Tensor<1>>,
    shift: Param<Tensor<1>>,
}

impl Residual for Scaled {
    fn forward(&self, x: Tensor<4>, _: &Pass) -> Tensor<4> {
        let vector = |param: &Param<Tensor<1>>| param.val().reshape([1, -1, 1, 1]);
        (x * vector(&self.scale) + vector(&self.shift)).tanh()
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

/// The leaf is also a parent of other nodes here. No gradient may be lost or counted twice.
#[test]
fn gradients_of_computed_shared_and_frozen_parameters_are_correct() {
    let device = Device::flex().autodiff();
    let input: Tensor<4> =
        Generator::new(4, Purpose::Input).normal([2, 2, 3, 3], 1.0, &Device::flex());
    let gradients = |mode, computed: bool| {
        let leaf = Tensor::<1>::from_data([0.3, -0.8], &device).require_grad();
        let frozen = Tensor::<1>::from_data([0.1, 0.2], &device);
        let own = if computed { leaf.clone() * 2.0 } else { leaf.clone() };
        let param = |tensor: &Tensor<1>| Param::initialized(ParamId::new(), tensor.clone());
        let residuals: Vec<_> =
            (0..3).map(|_| Scaled { scale: param(&own), shift: param(&frozen) }).collect();
        let scheme = SchemeName::Leapfrog.with_step(0.5, Start::AtRest);
        let unit = Unit::new(residuals, scheme, mode).unwrap();
        let output = unit.forward(input.clone().autodiff(), support::PHASE).unwrap();
        let penalty = leaf.clone().powi_scalar(2).sum();
        let gradients = (output.powi_scalar(2).sum() + penalty).backward();
        assert!(frozen.grad(&gradients).is_none(), "{mode:?}: a frozen parameter");
        values(leaf.grad(&gradients).unwrap())
    };
    for computed in [false, true] {
        let stored = gradients(Differentiation::Stored, computed);
        for mode in [Differentiation::Checkpointed, Differentiation::Reversible] {
            let error = relative(&gradients(mode, computed), &stored);
            assert!(error < 1e-6, "{mode:?}, computed: {computed}: {error:e}");
        }
    }
}

#[derive(Module, Debug)]
struct WithDropout {
    dropout: Dropout,
}

impl Residual for WithDropout {
    fn forward(&self, x: Tensor<4>, _: &Pass) -> Tensor<4> {
        self.dropout.forward(x)
    }

    fn effects(&self) -> Effects {
        Effects::Randomness
    }
}

#[derive(Module, Debug)]
struct WithNorm {
    norm: BatchNorm,
}

impl Residual for WithNorm {
    fn forward(&self, x: Tensor<4>, _: &Pass) -> Tensor<4> {
        self.norm.forward(x)
    }

    fn effects(&self) -> Effects {
        Effects::RunningState
    }
}

fn refusals<R: Residual>(residual: R) -> Vec<Option<String>> {
    Differentiation::ALL
        .into_iter()
        .map(|mode| {
            let scheme = SchemeName::Midpoint.with_step(0.1, Start::AtRest);
            Unit::new(vec![residual.clone()], scheme, mode).err().map(|error| error.to_string())
        })
        .collect()
}

#[test]
fn side_effects_are_refused_where_a_residual_is_evaluated_again() {
    let device = Device::flex();
    let dropout = refusals(WithDropout { dropout: DropoutConfig::new(0.5).init() });
    let norm = refusals(WithNorm { norm: BatchNormConfig::new(2).init(&device) });
    for (refused, effect) in [(dropout, "dropout"), (norm, "batch norm")] {
        assert_eq!(refused[0], None, "stored mode takes any residual");
        for message in &refused[1..] {
            let message = message.as_deref().unwrap();
            assert!(message.contains(effect) && message.contains("use mode `stored`"), "{message}");
        }
    }
    let scheme = SchemeName::Midpoint.with_step(0.1, Start::AtRest);
    let residual = WithDropout { dropout: DropoutConfig::new(0.5).init() };
    let unit = Unit::new(vec![residual], scheme, Differentiation::Stored).unwrap();
    assert!(unit.with_mode(Differentiation::Reversible).is_err(), "changing the mode checks too");
}

#[test]
fn a_whole_network_of_user_defined_residuals_has_gradients() {
    let device = Device::flex().autodiff();
    let mut config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 4);
    config = config.with_units([2, 1, 1], [4, 8, 8]);
    let evaluations = Arc::new(AtomicUsize::new(0));
    let network = config
        .init_with(3, Differentiation::Reversible, &device, |site, _, device| {
            Bottleneck::new(site.channels, &evaluations, device)
        })
        .unwrap();
    let images = Generator::new(3, Purpose::Input).normal([2, 1, 8, 8], 1.0, &device);
    let gradients =
        network.forward(images, Phase::Training { seed: 0, step: 0 }).unwrap().sum().backward();
    let found = module_gradients(&network, &gradients);
    assert!(found.iter().any(|g| *g != 0.0) && found.iter().all(|g| g.is_finite()));
    let names = palinode::network::weights::collect(&network);
    assert_eq!(names["units.0.narrow.weight"].shape, [2, 2, 2, 2, 1, 1]);
}

/// The mean over the channels: one channel, which would be broadcast to all of them.
#[derive(Module, Debug)]
struct Mean {
    scale: Param<Tensor<1>>,
    /// Whether its own vjp is what is wrong.
    #[module(skip)]
    in_vjp: bool,
}

impl Residual for Mean {
    fn forward(&self, x: Tensor<4>, _: &Pass) -> Tensor<4> {
        match self.in_vjp {
            true => x * self.scale.val().reshape([1, 1, 1, 1]),
            false => x.mean_dim(1) * self.scale.val().reshape([1, 1, 1, 1]),
        }
    }

    fn vjp(&self, x: &Tensor<4>, v: &Tensor<4>, _: &Pass) -> Option<Vjp> {
        let scale = || self.scale.val().reshape([1, 1, 1, 1]);
        self.in_vjp.then(|| Vjp {
            value: x.clone() * scale(),
            input: v.clone().mean_dim(1) * scale(),
            parameters: vec![(x.clone() * v.clone()).sum()],
        })
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

#[test]
fn a_residual_of_another_shape_is_refused_by_name_and_never_broadcast() {
    let device = Device::flex().autodiff();
    let phase = Phase::Training { seed: 0, step: 0 };
    let modes =
        [Differentiation::Stored, Differentiation::Checkpointed, Differentiation::Reversible];
    let mean = |in_vjp| Mean { scale: Param::from_tensor(Tensor::ones([1], &device)), in_vjp };
    for scheme in IN_KERNELS {
        for mode in modes {
            let scheme = scheme.with_step(0.2, Start::AtRest);
            let residuals = (0..2 * scheme.residuals_per_block()).map(|_| mean(false)).collect();
            let unit = Unit::new(residuals, scheme, mode).unwrap().numbered(2);
            let x = Tensor::<4>::ones([2, 4, 3, 3], &device);
            let message = unit.forward(x, phase).unwrap_err().to_string();
            for words in ["Mean, residual 0 of unit 2", "[2, 1, 3, 3]", "keep shape"] {
                assert!(message.contains(words), "{mode:?}: {message}");
            }
        }
    }
    // The first block of a baseline's unit, whose residual changes the shape.
    let config = NetworkConfig::named("resnet-32").unwrap().for_data(1, [8, 8], 3);
    let config = config.with_units([1, 1], [4, 8]);
    let network =
        config.init_with(0, Differentiation::Stored, &device, |site, _, _| mean(site.stride == 1));
    let network = network.unwrap();
    let message = network.forward(Tensor::ones([2, 1, 8, 8], &device), phase).unwrap_err();
    let message = message.to_string();
    assert!(message.contains("Mean, residual 0 of unit 1: returned"), "{message}");
}

#[test]
#[should_panic(expected = "its vjp returned the gradient [2, 1, 3, 3]")]
fn a_vjp_of_another_shape_is_refused_by_name() {
    let device = Device::flex().autodiff();
    let scale = || Param::from_tensor(Tensor::ones([1], &device));
    let residuals = (0..2).map(|_| Mean { scale: scale(), in_vjp: true }).collect();
    let scheme = SchemeName::Midpoint.with_step(0.2, Start::AtRest);
    let unit = Unit::new(residuals, scheme, Differentiation::Reversible).unwrap();
    let x = Tensor::<4>::ones([2, 4, 3, 3], &device).require_grad();
    let output = unit.forward(x, Phase::Training { seed: 0, step: 0 }).unwrap();
    output.sum().backward();
}
