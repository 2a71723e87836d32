//! The check of whole networks: right ones pass, and every kind of mistake fails the check that is meant for it.
#![allow(clippy::unwrap_used)]

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use palinode::check::{Finding, check_network};
use palinode::network::{Network, NetworkConfig, Site, Variant};
use palinode::random::{Generator, Purpose};
use palinode::residual::{
    BuiltIn, BuiltInConfig, BuiltInSettings, Effects, Pass, Residual, Role, Vjp,
};
use palinode::reversible::Differentiation;
use palinode::scheme::SchemeName;

fn config(model: &str) -> NetworkConfig {
    let config = NetworkConfig::named(model).unwrap();
    config.for_data(1, [8, 8], 3).with_units([3, 2], [8, 16])
}

/// A network of each kind that has a code path of its own.
fn configs() -> Vec<NetworkConfig> {
    let models = ["hamiltonian-74", "midpoint-26", "leapfrog-26", "revnet-38", "resnet-32"];
    let mut all: Vec<NetworkConfig> = models.map(config).to_vec();
    for name in ["hamiltonian-74", "midpoint-26"] {
        all.push(config(name).with_variant(Variant::Inception));
    }
    for (name, scheme) in [
        ("hamiltonian-74", SchemeName::ForestRuth),
        ("leapfrog-26", SchemeName::RungeKutta),
        ("leapfrog-26", SchemeName::Damped),
        ("leapfrog-26", SchemeName::Momentum),
    ] {
        let residual = BuiltInConfig::usual_for(scheme);
        let mut own = config(name);
        (own.model, own.scheme, own.residual) = (format!("{scheme:?}"), scheme, residual);
        all.push(own);
    }
    all
}

fn images() -> Tensor<4> {
    Generator::new(6, Purpose::Input).normal([3, 1, 8, 8], 1.0, &Device::flex())
}

fn failed(found: &[Finding]) -> Vec<&'static str> {
    let mut names: Vec<&str> =
        found.iter().filter(|own| !own.passed).map(|own| own.check).collect();
    names.dedup();
    names
}

#[test]
fn right_networks_pass_every_check() {
    for mut config in configs() {
        let model = config.model.clone();
        for norm in [false, true] {
            config.block_norm |= norm;
            let device = Device::flex().autodiff();
            let network = config.init(1, config.usual_mode(), &device).unwrap();
            let before = palinode::network::weights::collect(&network);
            let found = check_network(&network, images()).unwrap();
            assert_eq!(failed(&found), [""; 0], "{model}, {norm}: {found:?}");
            assert_eq!(palinode::network::weights::collect(&network), before, "{model}");
            let checks: Vec<&str> = found.iter().map(|finding| finding.check).collect();
            let units = network.units.len();
            let count = |name: &str| checks.iter().filter(|check| **check == name).count();
            let reversible = model != "resnet-32";
            let exact = network.units[0].scheme().is_exact();
            assert_eq!(count("adjoint"), units);
            assert_eq!((count("difference quotient"), count("Taylor")), (1, 2));
            assert_eq!(count("modes"), if reversible { 2 } else { 1 });
            assert_eq!(count("precision"), 1);
            assert_eq!(count("exact reversal"), if exact { units } else { 0 });
            assert_eq!(count("drift"), if reversible { units } else { 0 });
        }
    }
}

/// A residual with a mistake in what it says about itself.
#[derive(Module, Debug)]
struct Wrong {
    right: BuiltIn,
    #[module(skip)]
    mistake: Mistake,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mistake {
    /// jvp has the wrong sign.
    Jvp,
    /// vjp is 1 % too large.
    Vjp,
}

impl Residual for Wrong {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.right.forward(x, pass)
    }

    fn jvp(&self, role: Role, x: &Tensor<4>, v: &Tensor<4>, pass: &Pass) -> Option<Tensor<4>> {
        let right = self.right.jvp(role, x, v, pass)?;
        Some(if self.mistake == Mistake::Jvp { right.neg() } else { right })
    }

    fn vjp(&self, x: &Tensor<4>, v: &Tensor<4>, pass: &Pass) -> Option<Vjp> {
        // Stored activations do not need it, so the modes differ. (F is its own adjoint to first order.)
        (self.mistake == Mistake::Vjp).then(|| Vjp {
            value: self.right.forward(x.clone(), pass),
            input: self.right.jvp(Role::Forward, x, v, pass).unwrap() * 1.01,
            parameters: Vec::new(),
        })
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

fn wrong(mistake: Mistake) -> Network<Wrong> {
    let device = Device::flex().autodiff();
    let make = |site: Site, generator: &mut Generator, device: &Device| {
        let settings = BuiltInSettings::new(site.channels, palinode::Activation::Tanh);
        Wrong { right: BuiltInConfig::Symmetric.init(settings, generator, device), mistake }
    };
    let config = config("hamiltonian-74");
    config.init_with(1, Differentiation::Reversible, &device, make).unwrap()
}

#[test]
fn mistakes_fail_the_checks_that_are_meant_for_them() {
    assert_eq!(failed(&check_network(&wrong(Mistake::Jvp), images()).unwrap()), ["adjoint"]);
    let found = check_network(&wrong(Mistake::Vjp), images()).unwrap();
    assert_eq!(failed(&found), ["modes", "precision"], "{found:#?}");
}

#[test]
fn a_step_that_is_too_large_fails_the_checks_of_reversal() {
    let mut config = config("midpoint-26").with_units([20, 20], [8, 16]);
    config.step = 1.0;
    let device = Device::flex().autodiff();
    let network = config.init(1, Differentiation::Reversible, &device).unwrap();
    assert!(network.units[0].scheme().time_step() == 1.0);
    let found = check_network(&network, images()).unwrap();
    assert!(failed(&found).contains(&"drift"), "{found:#?}");
}
