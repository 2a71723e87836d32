//! Units that are wrong by construction: the watch notices each of them, also where states are exact.
#![allow(clippy::unwrap_used)]

mod support;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use palinode::network::Unit;
use palinode::random::{Generator, Purpose};
use palinode::residual::{Effects, Pass, Residual, Vjp};
use palinode::reversible::{Differentiation, Watch};
use palinode::scheme::{Grid, Hamiltonian, Scheme, Streams, Update};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// tanh(x), or what a mistake makes of it.
#[derive(Module, Debug)]
struct Tanh {
    #[module(skip)]
    mistake: Mistake,
    #[module(skip)]
    evaluations: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mistake {
    None,
    /// Every evaluation gives another value, although the residual says that it has no side effects.
    Remembers,
    /// The residual's own vjp computes another value than `forward`.
    OtherVjp,
}

impl Residual for Tanh {
    fn forward(&self, x: Tensor<4>, _: &Pass) -> Tensor<4> {
        let before = self.evaluations.fetch_add(1, Ordering::Relaxed);
        let factor =
            if self.mistake == Mistake::Remembers { 1.0 + 1e-3 * before as f64 } else { 1.0 };
        x.tanh() * factor
    }

    fn effects(&self) -> Effects {
        Effects::None
    }

    fn vjp(&self, x: &Tensor<4>, cotangent: &Tensor<4>, _: &Pass) -> Option<Vjp> {
        (self.mistake == Mistake::OtherVjp).then(|| {
            let value = x.clone().tanh() * 0.999;
            let input = cotangent.clone() * (value.clone().powi_scalar(2).neg() + 1.0);
            Vjp { value, input, parameters: Vec::new() }
        })
    }
}

/// A Hamiltonian scheme whose step size depends on how often it was asked.
#[derive(Debug, Default)]
struct Forgetful(AtomicUsize);

impl Scheme for Forgetful {
    fn streams(&self) -> Streams {
        Streams::Two
    }

    fn residuals_per_block(&self) -> usize {
        2
    }

    fn updates(&self, block: usize) -> Vec<Update> {
        let asked = self.0.fetch_add(1, Ordering::Relaxed);
        Hamiltonian { step: 0.1 + 1e-4 * asked as f64 }.updates(block)
    }
}

/// The drift of a unit of four blocks.
fn drift(mistake: Mistake, scheme: impl Scheme, grid: Option<Grid>) -> f64 {
    let residual = Tanh { mistake, evaluations: Arc::default() };
    let unit = Unit::new(vec![residual; 8], Arc::new(scheme), Differentiation::Reversible).unwrap();
    let watch = Watch::new();
    let unit = unit.with_grid(grid).with_watch(Some(&watch));
    let x: Tensor<4> = Generator::new(3, Purpose::Input).normal([2, 4, 5, 6], 1.0, &Device::flex());
    let y = unit.forward(x.autodiff().require_grad(), support::PHASE).unwrap();
    drop(y.powi_scalar(2).sum().backward());
    watch.read(1).unwrap()[0]
}

#[test]
fn what_cannot_come_back_is_noticed() {
    for grid in [None, Grid::for_states(8.0)] {
        let of = |mistake| drift(mistake, Hamiltonian { step: 0.1 }, grid);
        let right = of(Mistake::None);
        assert!(right < 1e-6 && (grid.is_none() || right == 0.0), "{right:e}");
        for (what, found) in [
            ("a residual that remembers", of(Mistake::Remembers)),
            ("a vjp of another value", of(Mistake::OtherVjp)),
            ("a scheme that forgets", drift(Mistake::None, Forgetful::default(), grid)),
        ] {
            println!("{what}: drift {found:.0e}");
            assert!(found > 1e-5, "{what}: {found:e}");
        }
    }
}
