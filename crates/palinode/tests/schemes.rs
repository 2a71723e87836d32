//! The schemes beyond the paper's: their order in time, their formulas written out once more, their inverses, and where they
//! are stable. In f64.
#![allow(clippy::unwrap_used)]

mod support;

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use palinode::network::{Phase, Unit};
use palinode::residual::{Effects, Pass, Residual};
use palinode::reversible::Differentiation;
use palinode::scheme::{
    Damped, ForestRuth, Momentum, ReversibleRungeKutta, RungeKutta, Scheme, StabilityRegion,
    Streams, Verlet,
};
use std::sync::Arc;
use support::{relative, values};

/// A smooth residual, the same in every block: a(x + sin x/2).
#[derive(Module, Debug)]
struct Pendulum {
    #[module(skip)]
    factor: f64,
}

impl Residual for Pendulum {
    fn forward(&self, x: Tensor<4>, _: &Pass) -> Tensor<4> {
        (x.clone() + x.sin() * 0.5) * self.factor
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

fn unit(scheme: impl Scheme, blocks: usize, factor: f64) -> Unit<Pendulum> {
    let count = blocks * scheme.residuals_per_block();
    let residuals = vec![Pendulum { factor }; count];
    Unit::new(residuals, Arc::new(scheme), Differentiation::Stored).unwrap()
}

fn start(streams: Streams) -> Tensor<4> {
    let channels = if streams == Streams::Two { 4 } else { 2 };
    let numbers: Vec<f64> = (0..channels * 6).map(|index| (index as f64 * 0.7).sin()).collect();
    let data = burn::tensor::TensorData::new(numbers, [1, channels, 2, 3]);
    Tensor::from_data(data, (&Device::flex(), DType::F64))
}

/// The order in h that halving it shows, of the solution after time 1.
fn order<S: Scheme>(make: impl Fn(f64) -> S, factor: f64) -> f64 {
    let solution = |blocks: usize| {
        let unit = unit(make(1.0 / blocks as f64), blocks, factor);
        let x = start(unit.scheme().streams());
        values(unit.forward(x, Phase::Inference).unwrap())
    };
    let exact = solution(2048);
    let error = |blocks| relative(&solution(blocks), &exact);
    (error(32) / error(64)).log2()
}

#[test]
fn every_scheme_has_its_order() {
    let close = |found: f64, expected: f64| {
        assert!((found - expected).abs() < 0.2, "order {found}, expected {expected}");
    };
    close(order(|step| Verlet { step }, 1.0), 1.0);
    close(order(|step| ForestRuth { step }, 1.0), 4.0);
    for method in [RungeKutta::Euler, RungeKutta::Midpoint, RungeKutta::Rk4] {
        let make = |coupling| move |step| ReversibleRungeKutta { step, method, coupling };
        close(order(make(1.0), -1.0), f64::from(method.order()));
        // The coupling averages some of the error away.
        let coupled = order(make(0.99), -1.0);
        assert!(coupled > f64::from(method.order()) - 0.2, "{method:?}: {coupled}");
    }
    close(order(|step| Damped { step, damping: 0.8 }, 1.0), 1.0);
    // With this γ the ODE of the momentum network is that of the damped one, up to its first step.
    close(order(|step| Momentum { step, memory: 1.0 - step }, 1.0), 1.0);
}

/// The formulas of the docstrings on plain numbers.
#[test]
fn one_block_follows_the_formula() {
    let f = |x: f64| x + x.sin() * 0.5;
    let h = 0.3;
    let close = |found: Vec<f64>, expected: Vec<f64>| {
        assert!(relative(&found, &expected) < 1e-14, "{found:?} {expected:?}");
    };
    let output = |unit: &Unit<Pendulum>| {
        let x = start(unit.scheme().streams());
        (values(x.clone()), values(unit.forward(x, Phase::Inference).unwrap()))
    };

    let (x, found) = output(&unit(ForestRuth { step: h }, 1, 1.0));
    let half = x.len() / 2;
    let outer = 1.0 / (2.0 - 2.0_f64.powf(1.0 / 3.0));
    let mut expected = vec![0.0; x.len()];
    for index in 0..half {
        let (mut y, mut z) = (x[index], x[half + index]);
        // Three steps of the half-kick form of Verlet's method.
        for share in [outer, 1.0 - 2.0 * outer, outer] {
            z -= share * h / 2.0 * f(y);
            y += share * h * f(z);
            z -= share * h / 2.0 * f(y);
        }
        (expected[index], expected[half + index]) = (y, z);
    }
    close(found, expected);

    let coupling = 0.9;
    let rk4 = |x: f64, h: f64| {
        let k1 = f(x);
        let k2 = f(x + h / 2.0 * k1);
        let k3 = f(x + h / 2.0 * k2);
        let k4 = f(x + h * k3);
        h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    };
    let scheme = ReversibleRungeKutta { step: h, method: RungeKutta::Rk4, coupling };
    let (x, found) = output(&unit(scheme, 2, 1.0));
    let two_steps = |x: &f64| {
        let (mut y, mut z) = (*x, *x);
        for _ in 0..2 {
            y = coupling * y + (1.0 - coupling) * z + rk4(z, h);
            z -= rk4(y, -h);
        }
        y
    };
    close(found, x.iter().map(two_steps).collect());

    let gamma = 0.8;
    let (x, found) = output(&unit(Damped { step: h, damping: gamma }, 3, 1.0));
    let three_steps = |x: &f64| {
        let (mut before, mut now) = (*x, *x);
        for _ in 0..3 {
            // (X⁺ − 2X + X⁻)/h² + γ(X⁺ − X⁻)/(2h) = −F(X), solved for X⁺.
            let known = 2.0 * now / (h * h) - before / (h * h) + gamma * before / (2.0 * h);
            let next = (known - f(now)) / (1.0 / (h * h) + gamma / (2.0 * h));
            (before, now) = (now, next);
        }
        now
    };
    close(found, x.iter().map(three_steps).collect());

    let (x, found) = output(&unit(Momentum { step: h, memory: 0.7 }, 3, 1.0));
    let three_steps = |x: &f64| {
        let (mut x, mut v) = (*x, 0.0);
        for _ in 0..3 {
            v = 0.7 * v + 0.3 * h * f(x);
            x += v;
        }
        x
    };
    close(found, x.iter().map(three_steps).collect());
}

#[test]
fn inverses_undo_the_blocks() {
    let error = |unit: Unit<Pendulum>| {
        let x = start(unit.scheme().streams());
        let (last, evaluations) = unit.forward_state(x.clone(), Phase::Inference).unwrap();
        relative(&values(unit.inverse(last, &evaluations).unwrap()), &values(x))
    };
    assert!(error(unit(ForestRuth { step: 0.2 }, 20, 1.0)) < 1e-13);
    for (coupling, bound) in [(1.0, 1e-13), (0.9, 1e-12)] {
        let method = RungeKutta::Rk4;
        let scheme = ReversibleRungeKutta { step: 0.1, method, coupling };
        let error = error(unit(scheme, 20, -1.0));
        assert!(error < bound, "{coupling}: {error:e}");
    }
    // Errors grow by (1 + q)/(1 − q) a block, and by 1/γ.
    let error_of = error(unit(Damped { step: 0.2, damping: 1.0 }, 20, 1.0));
    assert!(error_of < 1e-12, "{error_of:e}");
    let error_of = error(unit(Momentum { step: 0.2, memory: 0.8 }, 20, -1.0));
    assert!(error_of < 1e-12, "{error_of:e}");
}

/// On F₁(x) = F₂(x) = x the Hamiltonian schemes are the oscillator Ÿ = −Y.
#[test]
fn the_oscillator_is_stable_below_the_limit_and_unstable_above() {
    #[derive(Module, Debug)]
    struct Identity {
        #[module(skip)]
        _unused: (),
    }
    impl Residual for Identity {
        fn forward(&self, x: Tensor<4>, _: &Pass) -> Tensor<4> {
            x
        }
        fn effects(&self) -> Effects {
            Effects::None
        }
    }
    let growth = |scheme: Arc<dyn Scheme>| {
        let residuals = vec![Identity { _unused: () }; 400 * scheme.residuals_per_block()];
        let unit = Unit::new(residuals, scheme, Differentiation::Stored).unwrap();
        let x = start(unit.scheme().streams());
        let y = values(unit.forward(x.clone(), Phase::Inference).unwrap());
        let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        norm(&y) / norm(&values(x))
    };
    for make in [
        |step| -> Arc<dyn Scheme> { Arc::new(Verlet { step }) },
        |step| -> Arc<dyn Scheme> { Arc::new(ForestRuth { step }) },
    ] {
        let Some(StabilityRegion::ImaginaryAxis(limit)) = make(1.0).stability_region() else {
            panic!("there is a limit");
        };
        assert!(growth(make(0.995 * limit)) < 50.0, "{limit}");
        assert!(growth(make(1.005 * limit)) > 1e6, "{limit}");
    }
    // With friction: below the limit of leapfrog, and decaying.
    assert!(growth(Arc::new(Damped { step: 1.9, damping: 0.5 })) < 1e-3);
    assert!(growth(Arc::new(Damped { step: 2.02, damping: 0.5 })) > 1e6);
}

/// A linear field: −x, or a rotation of the two channels.
#[derive(Module, Debug)]
struct Linear {
    #[module(skip)]
    rotates: bool,
}

impl Residual for Linear {
    fn forward(&self, x: Tensor<4>, _: &Pass) -> Tensor<4> {
        if !self.rotates {
            return x.neg();
        }
        let [first, second] = [0, 1].map(|channel| x.clone().narrow(1, channel, 1));
        Tensor::cat(vec![second.neg(), first], 1)
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

#[test]
fn the_copies_of_a_runge_kutta_pair_part_as_the_formula_says() {
    // The distance of the copies after 400 blocks.
    let apart = |rotates: bool, step: f64, coupling: f64| {
        let scheme = ReversibleRungeKutta { step, method: RungeKutta::Rk4, coupling };
        let unit =
            Unit::new(vec![Linear { rotates }; 400], Arc::new(scheme), Differentiation::Stored);
        let unit = unit.unwrap();
        let (last, _) = unit.forward_state(start(Streams::One), Phase::Inference).unwrap();
        let difference = values(last.first - last.second);
        difference.iter().map(|x| x * x).sum::<f64>().sqrt()
    };
    // Imaginary eigenvalues: bounded with λ = 1.
    assert!(apart(true, 1.0, 1.0) < 1.0);
    // A decay: the parasitic mode grows like λe^h a block, until λ is small enough.
    let grown = (apart(false, 0.2, 1.0) / apart(false, 0.1, 1.0)).ln();
    assert!((grown / 40.0 - 1.0).abs() < 0.3, "e^{{0.2·400}} against e^{{0.1·400}}: {grown}");
    assert!(apart(false, 0.1, 0.95) > 1.0, "0.1 is above ln(1/0.95)");
    assert!(apart(false, 0.1, 0.85) < 1e-6, "0.1 is below ln(1/0.85)");
}
