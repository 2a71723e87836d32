//! Units with random weights, and the same units in the reference.
#![allow(dead_code, clippy::unwrap_used)] // no test binary uses all of this

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{DType, Device, FloatDType, Gradients, Int, Tensor, TensorData};
use palinode::network::{Phase, Unit};
use palinode::random::{Generator, Purpose};
use palinode::residual::{BuiltIn, BuiltInConfig, BuiltInSettings, Parabolic};
use palinode::reversible::Differentiation;
use palinode::scheme::{SchemeName, Start, Streams};
use palinode_kernels::reference::{Recurrence, ReferenceUnit, Shape};
use palinode_kernels::{Activation, Form};

/// The phase of tests that do not depend on it.
pub const PHASE: Phase = Phase::BatchStatistics;

/// The configuration of a test unit.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub scheme: SchemeName,
    pub residual: BuiltInConfig,
    pub activation: Activation,
    pub blocks: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub batch: usize,
    pub step: f64,
    pub seed: u64,
    pub dtype: FloatDType,
    /// Leapfrog's X₋₁.
    pub start: Start,
    /// Whether the symmetric residual has a bias before K.
    pub input_bias: bool,
}

/// The schemes that the kernels and the naive reference know.
pub const IN_KERNELS: [SchemeName; 5] = [
    SchemeName::Hamiltonian,
    SchemeName::HamiltonianSingle,
    SchemeName::Midpoint,
    SchemeName::Leapfrog,
    SchemeName::Coupling,
];

impl Case {
    pub fn new(scheme: SchemeName) -> Self {
        Self {
            scheme,
            residual: BuiltInConfig::usual_for(scheme),
            activation: Activation::Relu,
            blocks: 2,
            channels: 3,
            height: 5,
            width: 7,
            batch: 1,
            step: 0.1,
            seed: 1,
            dtype: FloatDType::F64,
            start: Start::AtRest,
            input_bias: false,
        }
    }

    /// Channels of the unit's input.
    pub fn state_channels(&self) -> usize {
        match self.scheme.with_step(self.step, self.start).streams() {
            Streams::One => self.channels,
            Streams::Two => 2 * self.channels,
        }
    }

    pub fn recurrence(&self) -> Recurrence {
        match self.scheme {
            SchemeName::Hamiltonian => Recurrence::Verlet,
            SchemeName::HamiltonianSingle => Recurrence::Hamiltonian,
            SchemeName::Midpoint => Recurrence::Midpoint,
            SchemeName::Leapfrog => Recurrence::Leapfrog,
            SchemeName::Coupling => Recurrence::Coupling,
            other => panic!("the reference has no {other:?}"),
        }
    }

    /// The unit, on an autodiff device, with random kernels and biases.
    ///
    /// Coupling has no small step, so its kernels are scaled down.
    pub fn unit(&self, mode: Differentiation) -> Unit<BuiltIn> {
        let device = Device::flex();
        let mut generator = Generator::new(self.seed, Purpose::Weights);
        let scheme = self.scheme.with_step(self.step, self.start);
        let count = self.blocks * scheme.residuals_per_block();
        let mut residuals: Vec<BuiltIn> = (0..count)
            .map(|_| {
                let settings = BuiltInSettings {
                    input_bias: self.input_bias,
                    ..BuiltInSettings::new(self.channels, self.activation)
                };
                self.residual.init(settings, &mut generator, &device)
            })
            .collect();
        let scale = if self.scheme == SchemeName::Coupling { 0.15 } else { 1.0 };
        let mut prepare = Prepare { scale, generator, dtype: self.dtype };
        residuals = residuals.into_iter().map(|residual| residual.map(&mut prepare)).collect();
        Unit::new(residuals, scheme, mode).unwrap()
    }

    /// A random input `[batch, C, height, width]`.
    pub fn input(&self) -> Tensor<4> {
        let shape = [self.batch, self.state_channels(), self.height, self.width];
        let mut generator = Generator::new(self.seed, Purpose::Input);
        generator.normal(shape, 1.0, &Device::flex()).cast(self.dtype)
    }

    /// The f64 reference of `unit`, with the same weights.
    pub fn twin(&self, unit: &Unit<BuiltIn>) -> ReferenceUnit<f64> {
        let (mut kernels, mut biases, mut input_biases) = (Vec::new(), Vec::new(), Vec::new());
        for residual in &unit.residuals {
            let (kernel, bias) = parameters(residual);
            kernels.extend(values(kernel));
            biases.extend(values(bias));
            let zeros = || vec![0.0; self.channels];
            input_biases.extend(input_bias(residual).map_or_else(zeros, values));
        }
        ReferenceUnit {
            recurrence: self.recurrence(),
            form: match self.residual {
                BuiltInConfig::Symmetric => Form::Symmetric,
                BuiltInConfig::Layer => Form::Layer,
                BuiltInConfig::Antisymmetric => Form::Antisymmetric,
                other => panic!("the reference has no {other:?}"),
            },
            activation: self.activation,
            step: self.step,
            shape: self.shape(),
            blocks: self.blocks,
            kernels,
            biases,
            input_biases,
        }
    }

    pub fn shape(&self) -> Shape {
        Shape { batch: self.batch, channels: self.channels, height: self.height, width: self.width }
    }

    /// The reference's opening state for an input.
    pub fn open(&self, input: &[f64]) -> (Vec<f64>, Vec<f64>) {
        if self.state_channels() == self.channels {
            let before = match self.start {
                Start::AtRest => input.to_vec(),
                Start::Report => vec![0.0; input.len()],
            };
            return (before, input.to_vec());
        }
        let half = self.channels * self.height * self.width;
        let (mut y, mut z) = (Vec::new(), Vec::new());
        for image in input.chunks(2 * half) {
            y.extend(&image[..half]);
            z.extend(&image[half..]);
        }
        (y, z)
    }

    /// The reference's output for a last state: the inverse of [`open`](Self::open).
    pub fn close(&self, state: &(Vec<f64>, Vec<f64>)) -> Vec<f64> {
        if self.state_channels() == self.channels {
            return state.1.clone();
        }
        let half = self.channels * self.height * self.width;
        let images = state.0.chunks(half).zip(state.1.chunks(half));
        images.flat_map(|(y, z)| y.iter().chain(z).copied()).collect()
    }

    /// Output and gradients of ⟨cotangent, unit(input)⟩ by the reference.
    pub fn reference_gradients(&self, unit: &Unit<BuiltIn>, cotangent: &[f64]) -> UnitGradients {
        let twin = self.twin(unit);
        let input = values(self.input());
        let start = self.open(&input);
        let two_streams = self.state_channels() != self.channels;
        let cotangent = if two_streams {
            self.open(cotangent)
        } else {
            (vec![0.0; cotangent.len()], cotangent.to_vec())
        };
        let gradient = twin.backward(start.clone(), cotangent);
        UnitGradients {
            output: self.close(&twin.forward(start)),
            input: if two_streams {
                self.close(&gradient.start)
            } else if self.start == Start::Report {
                gradient.start.1
            } else {
                gradient.start.0.iter().zip(&gradient.start.1).map(|(a, b)| a + b).collect()
            },
            kernels: gradient.kernels,
            biases: gradient.biases,
            input_biases: self.input_bias.then_some(gradient.input_biases),
        }
    }

    /// A random cotangent of the output, representable in f32.
    pub fn cotangent(&self) -> Tensor<4> {
        let shape = [self.batch, self.state_channels(), self.height, self.width];
        let mut generator = Generator::new(self.seed + 1000, Purpose::Input);
        generator.normal(shape, 1.0, &Device::flex()).cast(self.dtype)
    }
}

/// Output and gradients of a unit, flattened.
#[derive(Clone, Debug)]
pub struct UnitGradients {
    pub output: Vec<f64>,
    pub input: Vec<f64>,
    pub kernels: Vec<f64>,
    pub biases: Vec<f64>,
    /// `None` if the residuals have no input biases.
    pub input_biases: Option<Vec<f64>>,
}

impl UnitGradients {
    /// The gradients of ⟨cotangent, unit(input)⟩ by autodiff.
    pub fn of(unit: &Unit<BuiltIn>, input: Tensor<4>, cotangent: Tensor<4>) -> Self {
        let input = input.autodiff().require_grad();
        let output = unit.forward(input.clone(), PHASE).unwrap();
        let gradients = (output.clone() * cotangent.autodiff()).sum().backward();
        let (mut kernels, mut biases, mut input_biases) = (Vec::new(), Vec::new(), None);
        for residual in &unit.residuals {
            if let Some(a) = input_bias(residual) {
                let found = values(a.grad(&gradients).unwrap());
                input_biases.get_or_insert_with(Vec::new).extend(found);
            }
            let (kernel, bias) = parameters(residual);
            kernels.extend(values(kernel.grad(&gradients).unwrap()));
            biases.extend(values(bias.grad(&gradients).unwrap()));
        }
        Self {
            output: values(output.inner()),
            input: values(input.grad(&gradients).unwrap()),
            kernels,
            biases,
            input_biases,
        }
    }

    /// The largest relative error of the output and of the gradients.
    pub fn error(&self, truth: &Self) -> f64 {
        [
            relative(&self.output, &truth.output),
            relative(&self.input, &truth.input),
            relative(&self.kernels, &truth.kernels),
            relative(&self.biases, &truth.biases),
            match (&self.input_biases, &truth.input_biases) {
                (Some(found), Some(truth)) => relative(found, truth),
                (None, None) => 0.0,
                _ => f64::INFINITY,
            },
        ]
        .into_iter()
        .fold(0.0, f64::max)
    }
}

/// ‖a − b‖ / ‖b‖; infinite if b is zero, if a number is NaN, or if the lengths differ.
pub fn relative(a: &[f64], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    let size: f64 = b.iter().map(|b| b * b).sum();
    let found = (difference / size).sqrt();
    if size == 0.0 || found.is_nan() { f64::INFINITY } else { found }
}

/// K and b of a built-in residual.
pub fn parameters(residual: &BuiltIn) -> (Tensor<4>, Tensor<1>) {
    match residual {
        BuiltIn::Symmetric(r) | BuiltIn::Parabolic(Parabolic { negated: r }) => {
            (r.kernel.val(), r.bias.as_ref().unwrap().val())
        }
        BuiltIn::Layer(r) => (r.kernel.val(), r.bias.as_ref().unwrap().val()),
        BuiltIn::Antisymmetric(r) => (r.kernel.val(), r.bias.as_ref().unwrap().val()),
        other => panic!("no single kernel: {other:?}"),
    }
}

/// The input bias a of a built-in residual; `None` if it has none.
pub fn input_bias(residual: &BuiltIn) -> Option<Tensor<1>> {
    match residual {
        BuiltIn::Symmetric(r) | BuiltIn::Parabolic(Parabolic { negated: r }) => {
            r.input_bias.as_ref().map(|a| a.val())
        }
        _ => None,
    }
}

/// A tensor's values as f64.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.inner().into_data().convert::<f64>().try_to_vec().unwrap()
}

/// A tensor from values, in `dtype`.
pub fn tensor<const D: usize>(values: &[f64], shape: [usize; D], dtype: FloatDType) -> Tensor<D> {
    let data = TensorData::new(values.to_vec(), shape);
    Tensor::from_data(data, (&Device::flex(), DType::from(dtype)))
}

/// Scales kernels, draws biases, converts all parameters to `dtype` and makes them leaves that require
/// gradients.
struct Prepare {
    scale: f64,
    generator: Generator,
    dtype: FloatDType,
}

impl ModuleMapper for Prepare {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, _) = param.consume();
        let value = if D == 1 {
            self.generator.normal(value.shape(), 0.1, &value.device())
        } else {
            value * self.scale
        };
        Param::initialized(id, value.cast(self.dtype).autodiff().require_grad())
    }
}

/// All gradients of a module's parameters, flattened, with zeros for missing ones.
pub fn module_gradients<M: Module>(module: &M, gradients: &Gradients) -> Vec<f64> {
    struct Visitor<'a>(&'a Gradients, Vec<f64>);
    impl ModuleVisitor for Visitor<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            let gradient = value.grad(self.0).unwrap_or_else(|| value.inner().zeros_like());
            self.1.extend(values(gradient));
        }
    }
    let mut visitor = Visitor(gradients, Vec::new());
    module.visit(&mut visitor);
    visitor.1
}

/// Mean cross-entropy of logits `[n, classes]` against labels `[n]`.
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, labels)
}

/// Burn's SGD with momentum 0.9 and no dampening.
pub fn sgd() -> ModuleOptimizer {
    let momentum = MomentumConfig::new().with_dampening(0.0);
    SgdConfig::new().with_momentum(Some(momentum)).init()
}

/// One step of Burn's optimiser at learning rate `rate`.
pub fn step<M: Module>(
    optimizer: &mut ModuleOptimizer,
    module: M,
    gradients: Gradients,
    rate: f64,
) -> M {
    let gradients = GradientsParams::from_grads(gradients, &module);
    optimizer.step(rate, module, gradients)
}
