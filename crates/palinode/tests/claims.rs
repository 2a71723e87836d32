//! Misuse is an error: residuals that contradict their own description, inputs of the wrong shape or
//! type.
#![allow(clippy::unwrap_used)]

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor};
use palinode::check::check_residual;
use palinode::dropout::Dropout;
use palinode::network::{NetworkConfig, Phase, Unit};
use palinode::norm::BatchNorm;
use palinode::random::{Generator, Purpose};
use palinode::residual::{
    BuiltInConfig, BuiltInSettings, Effects, Form, KernelForm, Pass, Residual, SymmetricConfig,
};
use palinode::reversible::Differentiation;
use palinode::scheme::{SchemeName, Start};
use palinode::{Activation, Context};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A residual with a mistake that the test selects.
#[derive(Module, Debug)]
struct Wrong {
    weight: Param<Tensor<4>>,
    norm: BatchNorm,
    dropout: Dropout,
    #[module(skip)]
    how: How,
    #[module(skip)]
    evaluations: Arc<AtomicU32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Right,
    OneChannel,
    TwiceTheChannels,
    F64,
    ChangesEveryTime,
    SharesANorm,
    TwoDropoutsOfOneNumber,
    KernelForm,
}

impl Wrong {
    fn new(how: How, device: &Device) -> Self {
        let mut generator = Generator::new(1, Purpose::Weights);
        let weight = generator.normal([1, 4, 1, 1], 0.5, device);
        Self {
            weight: Param::from_tensor(weight),
            norm: BatchNorm::new(4, 1e-5, device),
            dropout: Dropout::new(0.25),
            how,
            evaluations: Arc::default(),
        }
    }
}

impl Residual for Wrong {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let value = (x * self.weight.val()).tanh();
        match self.how {
            How::Right | How::KernelForm => value,
            How::OneChannel => value.narrow(1, 0, 1),
            How::TwiceTheChannels => Tensor::cat(vec![value.clone(), value], 1),
            How::F64 => value.cast(DType::F64),
            How::ChangesEveryTime => {
                let count = self.evaluations.fetch_add(1, Ordering::Relaxed);
                value * (1.0 + f64::from(count))
            }
            How::SharesANorm => {
                let once = self.norm.forward(value, pass);
                self.norm.forward(once, pass)
            }
            How::TwoDropoutsOfOneNumber => {
                let once = self.dropout.forward(value, pass);
                self.dropout.forward(once, pass)
            }
        }
    }

    fn kernel_form(&self) -> Option<KernelForm> {
        let (form, activation) = (Form::Symmetric, Activation::Tanh);
        (self.how == How::KernelForm).then_some(KernelForm { form, activation, input_bias: false })
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

const PHASE: Phase = Phase::Training { seed: 1, step: 2 };

fn unit(how: How, mode: Differentiation, device: &Device) -> Unit<Wrong> {
    let scheme = SchemeName::Leapfrog.with_step(0.1, Start::AtRest);
    let residuals = (0..3).map(|_| Wrong::new(how, device)).collect();
    Unit::new(residuals, scheme, mode).unwrap().numbered(5)
}

#[test]
fn residuals_that_change_the_shape_or_misuse_a_layer_are_refused_by_name_in_every_mode() {
    let device = Device::flex().autodiff();
    let x: Tensor<4> = Generator::new(2, Purpose::Input).normal([2, 4, 5, 5], 1.0, &device);
    for (how, words) in [
        (How::OneChannel, ["Wrong, residual 0 of unit 5", "[2, 1, 5, 5]"]),
        (How::TwiceTheChannels, ["Wrong, residual 0 of unit 5", "[2, 8, 5, 5]"]),
        (How::F64, ["Wrong, residual 0 of unit 5", "F64"]),
        (How::SharesANorm, ["batch norm", "evaluated twice"]),
        (How::TwoDropoutsOfOneNumber, ["two dropouts", "number 0"]),
    ] {
        for mode in Differentiation::ALL {
            let error = unit(how, mode, &device).forward(x.clone(), PHASE).unwrap_err();
            let message = error.to_string();
            for word in words {
                assert!(message.contains(word), "{mode:?} {how:?}: {word} is not in {message}");
            }
        }
    }
    for mode in Differentiation::ALL {
        unit(How::Right, mode, &device).forward(x.clone(), PHASE).unwrap();
    }
}

#[test]
fn a_residual_is_checked_against_its_own_description() {
    let (device, context) = (Device::flex(), Context::new());
    let check = |how| check_residual(&Wrong::new(how, &device), [2, 4, 6, 5], &context, &device);
    check(How::Right).unwrap();
    for (how, words) in [
        (How::OneChannel, "[2, 1, 6, 5]"),
        (How::ChangesEveryTime, "evaluations can be repeated"),
        (How::SharesANorm, "evaluated twice"),
    ] {
        let message = check(how).unwrap_err().to_string();
        assert!(message.contains(words), "{how:?}: {message}");
    }
    // Its parameters do not match the kernel form.
    check(How::KernelForm).unwrap_err();
    for kind in [
        BuiltInConfig::Symmetric,
        BuiltInConfig::Layer,
        BuiltInConfig::Antisymmetric,
        BuiltInConfig::Inception,
        BuiltInConfig::AntisymmetricInception,
    ] {
        for activation in [Activation::Relu, Activation::Tanh, Activation::Softplus] {
            let mut generator = Generator::new(3, Purpose::Weights);
            let settings = BuiltInSettings::new(4, activation);
            let residual = kind.init(settings, &mut generator, &device);
            check_residual(&residual, [2, 4, 6, 5], &context, &device).unwrap();
        }
    }
}

/// A symmetric residual whose kernel form has the wrong σ, or says nothing of a parameter.
#[derive(Module, Debug)]
struct Claims {
    own: palinode::residual::Symmetric,
    scale: Option<Param<Tensor<1>>>,
}

impl Residual for Claims {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.own.forward(x, pass)
    }

    fn kernel_form(&self) -> Option<KernelForm> {
        let form = self.own.kernel_form()?;
        let activation = match self.scale {
            Some(_) => form.activation,
            None => Activation::Softplus,
        };
        Some(KernelForm { activation, ..form })
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

#[test]
fn a_wrong_kernel_form_is_detected() {
    let device = Device::flex();
    let mut generator = Generator::new(3, Purpose::Weights);
    let own = SymmetricConfig::new(4).init(&mut generator, &device);
    let claims = Claims { own, scale: None };
    let found = check_residual(&claims, [2, 4, 6, 5], &Context::new(), &device);
    let message = found.unwrap_err().to_string();
    assert!(message.contains("Claims") && message.contains("kernel_form"), "{message}");
}

/// Without the error, the gradient of the additional parameter would silently be zero.
#[test]
fn a_parameter_that_the_kernel_form_does_not_describe_is_refused() {
    let device = Device::flex();
    let mut generator = Generator::new(3, Purpose::Weights);
    let own = SymmetricConfig::new(4).init(&mut generator, &device);
    let scale = Some(Param::from_tensor(Tensor::ones([4], &device)));
    let scheme = SchemeName::Midpoint.with_step(0.1, Start::AtRest);
    let unit = Unit::new(vec![Claims { own, scale }], scheme, Differentiation::Reversible).unwrap();
    let found = unit.forward(Tensor::zeros([1, 4, 3, 3], &device), Phase::Inference);
    let message = found.unwrap_err().to_string();
    assert!(message.contains("Claims") && message.contains("describes 2 parameters"), "{message}");
}

#[test]
fn images_of_the_wrong_shape_or_type_are_refused() {
    let device = Device::flex();
    let config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 3);
    let config = config.with_units([1, 1, 1], [4, 4, 4]);
    let network = config.init(0, Differentiation::Reversible, &device).unwrap();
    let images = |shape: [usize; 4]| Tensor::<4>::zeros(shape, &device);
    network.forward(images([2, 1, 8, 8]), Phase::Inference).unwrap();
    for (wrong, words) in [
        (images([2, 3, 8, 8]), "[2, 3, 8, 8]"),
        (images([2, 1, 8, 9]), "[2, 1, 8, 9]"),
        (images([2, 1, 8, 8]).cast(DType::F64), "F64"),
    ] {
        let message = network.forward(wrong, Phase::Inference).unwrap_err().to_string();
        assert!(message.contains(words) && message.contains("[n, 1, 8, 8] in F32"), "{message}");
    }
    let x = Tensor::<4>::zeros([1, 4, 3, 3], &device).cast(DType::F64);
    let message = network.units[0].forward(x, Phase::Inference).unwrap_err().to_string();
    assert!(message.contains("F64") && message.contains("F32"), "{message}");
}
