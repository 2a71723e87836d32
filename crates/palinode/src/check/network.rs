//! Checks of a whole network: its derivatives, its modes and its reversal.

use super::derivative::{adjoint_error, taylor};
use crate::device::read;
use crate::error::Result;
use crate::network::weights::in_f64;
use crate::network::{Network, Phase, StateKind};
use crate::norm::is_running;
use crate::random::{Generator, Purpose};
use crate::residual::Residual;
use crate::reversible::{Differentiation, Watch};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Gradients, Tensor};
use serde::Serialize;

/// How far from the network's own parameters the Taylor test is made, as a share of their size.
const BESIDE: f64 = 0.05;

/// One check of a network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What was checked.
    pub check: &'static str,
    /// Where: a unit, a mode.
    pub place: String,
    /// What was found.
    pub value: f64,
    /// The smallest and the largest value that are right.
    pub expected: [f64; 2],
    /// Whether it is one of these.
    pub passed: bool,
}

impl Finding {
    fn new(check: &'static str, place: impl Into<String>, value: f64, expected: [f64; 2]) -> Self {
        // A NaN does not pass.
        let passed = value >= expected[0] && value <= expected[1];
        Self { check, place: place.into(), value, expected, passed }
    }
}

/// Checks a network on standardised `images`, with random directions from fixed seeds. The network itself is not changed.
///
/// * *adjoint*: for every unit |⟨Φv, w⟩ − ⟨v, Φᵀw⟩| / (‖Φv‖‖w‖), with Φ the derivative of its output, in f64. At most 1e-7.
/// * *difference quotient*: the relative difference of (φ(θ + εd) − φ(θ − εd))/2ε and ⟨∇φ, d⟩ for ε = 1e-8, with φ a random
///   linear function of the logits, θ all parameters and the images, and d random, in f64. At most 1e-5. The parameters are
///   moved by 5 % before.
/// * *Taylor*: the orders of φ(θ + εd) − φ(θ) and of the same less ε⟨∇φ, d⟩ for ε between 1e-4 and 4e-7, see [`taylor`]:
///   1 and 2. A ReLU has kinks, which such a line crosses; the orders are lower then, and the difference quotient decides.
/// * *modes*: ‖g − g′‖/‖g′‖ of the gradients of φ in every mode against those of mode `stored`, in f64. At most 1e-6.
/// * *precision*: the same for the network's own mode and type against mode `stored` in f64. At most 2e-2: arguments of a ReLU
///   near zero change their sign by rounding.
/// * *exact reversal*: for every unit with an [exact](crate::scheme::Scheme::is_exact) inverse, the share of numbers of its
///   input that do not come back to the bit from its last state, on a grid. Zero. It is one where no grid holds the states.
/// * *drift*: the relative change of the state that comes back in a backward pass with float states, see [`Watch`]. At most
///   1e-3.
///
/// Norms use the statistics of the batch, except for the first check, and nothing is dropped.
///
/// # Errors
/// As [`Network::forward`], and [`Error::Device`](crate::Error::Device) if the device fails.
pub fn check_network<R: Residual>(network: &Network<R>, images: Tensor<4>) -> Result<Vec<Finding>> {
    let images = images.inner();
    let reversible = network.units.iter().all(|unit| unit.scheme().is_reversible());
    let mut found = adjoints(network, &images)?;
    let functional = Functional::of(network, &images)?;
    let stored = network.clone().with_mode(Differentiation::Stored)?;
    found.extend(functional.taylor(&stored, &images)?);
    let double = functional.at(&stored, &images, [0.0; 2], Some(DType::F64))?;
    let size = norm(&double.gradients);

    for mode in Differentiation::ALL {
        if mode == Differentiation::Stored || (mode == Differentiation::Reversible && !reversible) {
            continue;
        }
        let own = functional.at(
            &network.clone().with_mode(mode)?,
            &images,
            [0.0; 2],
            Some(DType::F64),
        )?;
        let error = norm(&difference(&own.gradients, &double.gradients)) / size;
        found.push(Finding::new("modes", mode.name(), error, [0.0, 1e-6]));
    }
    let own = functional.at(network, &images, [0.0; 2], None)?;
    let error = norm(&difference(&own.gradients, &double.gradients)) / size;
    let place = format!("{:?}", images.dtype()).to_lowercase();
    found.push(Finding::new("precision", place, error, [0.0, 2e-2]));
    if reversible {
        found.extend(reversals(network, &images)?);
        found.extend(drifts(network, &images, &functional)?);
    }
    Ok(found)
}

fn random(shape: [usize; 4], seed: u64, device: &Device) -> Tensor<4> {
    Generator::new(seed, Purpose::Input).normal(shape, 1.0, device)
}

fn adjoints<R: Residual>(network: &Network<R>, images: &Tensor<4>) -> Result<Vec<Finding>> {
    // `valid` makes running statistics of its own, which are changed to f64.
    let network = in_f64(network.valid());
    let linearized = network.linearized(images.clone().cast(DType::F64))?;
    let mut found = Vec::new();
    for (index, unit) in linearized.units().iter().enumerate() {
        let shape = unit.output().dims();
        let [v, w] = [1, 2].map(|seed| random(shape, seed, &images.device()).cast(DType::F64));
        let product = unit.apply(v.clone(), &mut |_| ())?;
        let transposed = unit.adjoint(w.clone())?;
        let error = adjoint_error(v, w, product, transposed);
        found.push(Finding::new("adjoint", format!("unit {index}"), error, [0.0, 1e-7]));
    }
    Ok(found)
}

/// A random linear function of the logits, and a random direction of all parameters and the images.
struct Functional {
    weights: Tensor<2>,
    images: Tensor<4>,
}

/// The function at one place.
struct Value {
    value: f64,
    /// All gradients, those of the images last.
    gradients: Vec<f64>,
    /// ⟨∇φ, d⟩.
    along: f64,
}

impl Functional {
    fn of<R: Residual>(network: &Network<R>, images: &Tensor<4>) -> Result<Self> {
        let device = images.device();
        let shape = [images.dims()[0], network.config().classes];
        let weights = Generator::new(3, Purpose::Input).normal(shape, 1.0, &device);
        Ok(Self { weights, images: random(images.dims(), 4, &device) })
    }

    /// The difference quotient and the Taylor test, beside the network's own parameters: at initial biases of zero some
    /// arguments of a ReLU are exactly zero, where there is no gradient.
    fn taylor<R: Residual>(
        &self,
        network: &Network<R>,
        images: &Tensor<4>,
    ) -> Result<[Finding; 3]> {
        let at = |epsilon: f64| self.at(network, images, [BESIDE, epsilon], Some(DType::F64));
        let along = at(0.0)?.along;
        // So short a line crosses no kink, or hardly one.
        const SHORT: f64 = 1e-8;
        let quotient = (at(SHORT)?.value - at(-SHORT)?.value) / (2.0 * SHORT);
        let error = (quotient - along).abs() / along.abs();
        let quotient = Finding::new("difference quotient", "", error, [0.0, 1e-5]);
        let orders = taylor(|epsilon| at(epsilon).map_or(f64::NAN, |own| own.value), along, 1e-4);
        let order = |place: &str, value: f64, expected: [f64; 2]| {
            let finding = Finding::new("Taylor", place, value, expected);
            Finding { passed: finding.passed || quotient.passed, ..finding }
        };
        let first = order("value: order 1", orders.zeroth, [0.9, 1.1]);
        let second = order("gradient: order 2", orders.first, [1.8, 4.0]);
        Ok([quotient, first, second])
    }

    /// The function and its gradients at θ + ηd′ + εd, in the type `dtype`, or in that of the network.
    fn at<R: Residual>(
        &self,
        network: &Network<R>,
        images: &Tensor<4>,
        [eta, epsilon]: [f64; 2],
        dtype: Option<DType>,
    ) -> Result<Value> {
        let dtype = dtype.unwrap_or(images.dtype());
        let generator = || Generator::new(5, Purpose::Weights);
        let beside = Generator::new(6, Purpose::Weights);
        let moves = [(eta, beside), (epsilon, generator())];
        let network = network.valid().map(&mut Moved { moves, dtype, running: false });
        let images = images.clone().cast(dtype) + self.images.clone().cast(dtype) * epsilon;
        let images = images.autodiff().require_grad();
        let logits = network.forward(images.clone(), Phase::BatchStatistics)?;
        let value = (logits * self.weights.clone().cast(dtype).autodiff()).sum();
        let number = read(value.clone())?.into_iter().sum();
        let mut gradients = value.backward();
        let own = images.grad_remove(&mut gradients);
        let own = own.unwrap_or_else(|| images.clone().inner().zeros_like());
        let mut collected = Collected {
            gradients,
            generator: generator(),
            all: Vec::new(),
            along: Vec::new(),
            running: false,
        };
        network.visit(&mut collected);
        let Collected { mut all, mut along, .. } = collected;
        along.push((own.clone() * self.images.clone().cast(dtype)).sum());
        all.push(own.flatten(0, 3));
        let along = read(Tensor::cat(along, 0))?.into_iter().sum();
        Ok(Value { value: number, gradients: read(Tensor::cat(all, 0))?, along })
    }
}

/// The direction of a parameter: normal numbers as large as the parameter, and at least 0.3.
fn direction<const D: usize>(parameter: &Tensor<D>, generator: &mut Generator) -> Tensor<D> {
    let plain = parameter.clone().inner();
    let noise: Tensor<D> = generator.normal(plain.dims(), 1.0, &plain.device());
    let size = plain.clone().abs().mean().clamp_min(0.3).reshape([1; D]);
    noise.cast(plain.dtype()) * size
}

/// Moves every parameter along its directions, and tracks it on a graph of its own.
struct Moved {
    /// How far along which directions.
    moves: [(f64, Generator); 2],
    dtype: DType,
    /// Whether the parameter that comes next is a running statistic.
    running: bool,
}

impl ModuleMapper for Moved {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.running = is_running(name);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let trained = !self.running;
        param.map(|old| {
            let old = old.inner().cast(self.dtype);
            if !trained {
                return old.autodiff();
            }
            let moved = self.moves.iter_mut().fold(old, |at, (length, generator)| {
                let direction = direction(&at, generator);
                at + direction * *length
            });
            moved.autodiff().require_grad()
        })
    }
}

/// The gradients of all parameters, and their products with the directions.
struct Collected {
    gradients: Gradients,
    generator: Generator,
    all: Vec<Tensor<1>>,
    along: Vec<Tensor<1>>,
    running: bool,
}

impl ModuleVisitor for Collected {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.running = is_running(name);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.running {
            return;
        }
        let value = param.val();
        let gradient =
            value.grad(&self.gradients).unwrap_or_else(|| value.clone().inner().zeros_like());
        self.along.push((gradient.clone() * direction(&value, &mut self.generator)).sum());
        self.all.push(gradient.reshape([-1]));
    }
}

fn reversals<R: Residual>(network: &Network<R>, images: &Tensor<4>) -> Result<Vec<Finding>> {
    let network = network.valid().with_state(StateKind::Exact, images.clone())?;
    let phase = Phase::BatchStatistics;
    let mut shares = Vec::new();
    network.forward_past(images.clone(), phase, &mut |unit, input| {
        let Some(grid) = unit.grid() else {
            shares.push(unit.scheme().is_exact().then_some(None));
            return Ok(());
        };
        let (last, evaluations) = unit.forward_state(input.clone(), phase)?;
        let before = crate::scheme::rounded(input.clone(), Some(grid));
        let differs = unit.inverse(last, &evaluations)?.not_equal(before);
        shares.push(Some(Some(differs.float().mean())));
        Ok(())
    })?;
    let mut found = Vec::new();
    for (index, share) in shares.into_iter().enumerate() {
        // A scheme that does not only add is not exact, and does not claim to be.
        let Some(share) = share else { continue };
        found.push(match share {
            Some(share) => {
                let share = read(share)?.into_iter().sum();
                Finding::new("exact reversal", format!("unit {index}"), share, [0.0, 0.0])
            }
            None => {
                let place = format!("unit {index}, whose states no grid holds");
                Finding::new("exact reversal", place, 1.0, [0.0, 0.0])
            }
        });
    }
    Ok(found)
}

fn drifts<R: Residual>(
    network: &Network<R>,
    images: &Tensor<4>,
    functional: &Functional,
) -> Result<Vec<Finding>> {
    let watch = Watch::new();
    let float = vec![None; network.units.len()];
    let whole = vec![1; network.units.len()];
    let network = network.clone().with_mode(Differentiation::Reversible)?.with_grids(&float)?;
    let network = network.with_parts(&whole)?.with_watch(Some(&watch));
    functional.at(&network, images, [0.0; 2], None)?;
    let drifts = watch.read(network.units.len())?.into_iter().enumerate();
    let finding =
        |(index, drift)| Finding::new("drift", format!("unit {index}"), drift, [0.0, 1e-3]);
    Ok(drifts.map(finding).collect())
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn norm(a: &[f64]) -> f64 {
    a.iter().map(|a| a * a).sum::<f64>().sqrt()
}
