//! The built-in residuals as one type, selected by name in a recipe.

use super::{
    Aggregated, AggregatedConfig, Antisymmetric, AntisymmetricConfig, AntisymmetricInception,
    Basic, BasicConfig, Effects, Inception, InceptionConfig, KernelForm, Layer, LayerConfig,
    Parabolic, Pass, Residual, Role, Symmetric, SymmetricConfig, Vjp,
};
use crate::Activation;
use crate::random::Generator;
use crate::scheme::SchemeName;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// The name of a built-in residual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuiltInConfig {
    /// Kᵀσ(Kx + b), see [`Symmetric`].
    Symmetric,
    /// −Kᵀσ(Kx + b), see [`Parabolic`].
    Parabolic,
    /// σ(Kx + b), see [`Layer`].
    Layer,
    /// σ((K − Kᵀ)x + b), see [`Antisymmetric`].
    Antisymmetric,
    /// Aᵀσ(Ax + b), see [`Inception`].
    Inception,
    /// σ((A − Aᵀ)x + b), see [`AntisymmetricInception`].
    AntisymmetricInception,
    /// Two 3×3 convolutions with batch norm, see [`Basic`].
    Basic,
    /// 1×1, grouped 3×3 and 1×1 convolutions with batch norm, see [`Aggregated`].
    Aggregated,
}

/// The settings of a built-in residual at its position in a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BuiltInSettings {
    /// Channels of the input. Only [`Basic`] and [`Aggregated`] may change the number of channels.
    pub inputs: usize,
    /// Channels of the output.
    pub channels: usize,
    /// Stride ([`Basic`] and [`Aggregated`] only).
    pub stride: usize,
    /// σ.
    pub activation: Activation,
    /// Whether there is a bias before K ([`Symmetric`] and [`Parabolic`] only).
    pub input_bias: bool,
    /// Whether there are batch norms in place of the biases. [`Basic`] and [`Aggregated`] always have
    /// batch norms.
    pub norm: bool,
    /// Whether the scheme also evaluates the conjugate F* ([`Layer`] only).
    pub with_conjugate: bool,
    /// ε of the batch norms.
    pub epsilon: f64,
    /// Rate of the dropout inside the residual.
    pub dropout: f64,
    /// Whether the residual begins with a norm and σ ([`Basic`] and [`Aggregated`] only).
    pub preactivated: bool,
    /// Channels of the grouped convolution ([`Aggregated`] only).
    pub bottleneck: usize,
    /// Number of groups of that convolution.
    pub groups: usize,
}

/// Any of the built-in residuals.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // all residuals of a network are the same variant
pub enum BuiltIn {
    /// See [`Symmetric`].
    Symmetric(Symmetric),
    /// See [`Parabolic`].
    Parabolic(Parabolic),
    /// See [`Layer`].
    Layer(Layer),
    /// See [`Antisymmetric`].
    Antisymmetric(Antisymmetric),
    /// See [`Inception`].
    Inception(Inception),
    /// See [`AntisymmetricInception`].
    AntisymmetricInception(AntisymmetricInception),
    /// See [`Basic`].
    Basic(Basic),
    /// See [`Aggregated`].
    Aggregated(Aggregated),
}

impl BuiltInSettings {
    /// The settings of a residual that keeps `channels` channels and the image size, without norm and
    /// dropout.
    pub fn new(channels: usize, activation: Activation) -> Self {
        Self {
            inputs: channels,
            channels,
            stride: 1,
            activation,
            input_bias: false,
            norm: false,
            with_conjugate: false,
            epsilon: 1e-5,
            dropout: 0.0,
            preactivated: true,
            bottleneck: channels,
            groups: 1,
        }
    }
}

impl BuiltInConfig {
    /// Whether it is the residual of a baseline, which has strided transitions and is not stacked in
    /// weight files.
    pub fn is_baseline(self) -> bool {
        matches!(self, Self::Basic | Self::Aggregated)
    }

    /// Whether it splits the channels into four groups.
    pub fn has_groups_of_four(self) -> bool {
        matches!(self, Self::Inception | Self::AntisymmetricInception)
    }

    /// The residual that the paper or the report uses with `scheme`.
    pub fn usual_for(scheme: SchemeName) -> Self {
        match scheme {
            SchemeName::Hamiltonian
            | SchemeName::Leapfrog
            | SchemeName::Coupling
            | SchemeName::ForestRuth
            | SchemeName::Damped => Self::Symmetric,
            SchemeName::RungeKutta => Self::Parabolic,
            SchemeName::HamiltonianSingle | SchemeName::Momentum => Self::Layer,
            SchemeName::Midpoint => Self::Antisymmetric,
            SchemeName::Euler => Self::Basic,
        }
    }

    /// The inception residual that replaces the [usual](Self::usual_for) one.
    pub fn inception_for(scheme: SchemeName) -> Self {
        match scheme {
            SchemeName::Midpoint => Self::AntisymmetricInception,
            _ => Self::Inception,
        }
    }

    /// A residual of this kind with random initial weights.
    pub fn init(
        self,
        settings: BuiltInSettings,
        generator: &mut Generator,
        device: &Device,
    ) -> BuiltIn {
        match Configuration::of(self, settings) {
            Configuration::Symmetric(config) => BuiltIn::Symmetric(config.init(generator, device)),
            Configuration::Parabolic(config) => {
                BuiltIn::Parabolic(config.init_parabolic(generator, device))
            }
            Configuration::Layer(config) => BuiltIn::Layer(config.init(generator, device)),
            Configuration::Antisymmetric(config) => {
                BuiltIn::Antisymmetric(config.init(generator, device))
            }
            Configuration::Inception(config) => BuiltIn::Inception(config.init(generator, device)),
            Configuration::AntisymmetricInception(config) => {
                BuiltIn::AntisymmetricInception(config.init_antisymmetric(generator, device))
            }
            Configuration::Basic(config) => BuiltIn::Basic(config.init(generator, device)),
            Configuration::Aggregated(config) => {
                BuiltIn::Aggregated(config.init(generator, device))
            }
        }
    }

    /// Trainable parameters of a residual of this kind, without building it.
    pub fn parameters(self, settings: BuiltInSettings) -> usize {
        match Configuration::of(self, settings) {
            Configuration::Symmetric(config) | Configuration::Parabolic(config) => {
                config.parameters()
            }
            Configuration::Layer(config) => config.parameters(),
            Configuration::Antisymmetric(config) => config.parameters(),
            Configuration::Inception(config) | Configuration::AntisymmetricInception(config) => {
                config.parameters()
            }
            Configuration::Basic(config) => config.parameters(),
            Configuration::Aggregated(config) => config.parameters(),
        }
    }
}

/// The configuration of a built-in residual.
enum Configuration {
    Symmetric(SymmetricConfig),
    Parabolic(SymmetricConfig),
    Layer(LayerConfig),
    Antisymmetric(AntisymmetricConfig),
    Inception(InceptionConfig),
    AntisymmetricInception(InceptionConfig),
    Basic(BasicConfig),
    Aggregated(AggregatedConfig),
}

impl Configuration {
    fn of(kind: BuiltInConfig, settings: BuiltInSettings) -> Self {
        let BuiltInSettings { channels, activation, dropout, epsilon, .. } = settings;
        let norm = settings.norm.then_some(epsilon);
        let inception = InceptionConfig { channels, activation, norm, dropout };
        match kind {
            BuiltInConfig::Symmetric | BuiltInConfig::Parabolic => {
                let input_bias = settings.input_bias;
                let config = SymmetricConfig { channels, activation, input_bias, norm, dropout };
                match kind {
                    BuiltInConfig::Parabolic => Self::Parabolic(config),
                    _ => Self::Symmetric(config),
                }
            }
            BuiltInConfig::Layer => {
                let with_conjugate = settings.with_conjugate;
                Self::Layer(LayerConfig { channels, activation, norm, with_conjugate, dropout })
            }
            BuiltInConfig::Antisymmetric => {
                Self::Antisymmetric(AntisymmetricConfig { channels, activation, norm, dropout })
            }
            BuiltInConfig::Inception => Self::Inception(inception),
            BuiltInConfig::AntisymmetricInception => Self::AntisymmetricInception(inception),
            BuiltInConfig::Basic => Self::Basic(BasicConfig {
                inputs: settings.inputs,
                outputs: channels,
                stride: settings.stride,
                activation,
                preactivated: settings.preactivated,
                epsilon,
                dropout,
            }),
            BuiltInConfig::Aggregated => Self::Aggregated(AggregatedConfig {
                inputs: settings.inputs,
                outputs: channels,
                bottleneck: settings.bottleneck,
                groups: settings.groups,
                stride: settings.stride,
                activation,
                preactivated: settings.preactivated,
                epsilon,
            }),
        }
    }
}

/// Evaluates the same expression for every variant.
macro_rules! each {
    ($self:expr, $residual:ident => $value:expr) => {
        match $self {
            BuiltIn::Symmetric($residual) => $value,
            BuiltIn::Parabolic($residual) => $value,
            BuiltIn::Layer($residual) => $value,
            BuiltIn::Antisymmetric($residual) => $value,
            BuiltIn::Inception($residual) => $value,
            BuiltIn::AntisymmetricInception($residual) => $value,
            BuiltIn::Basic($residual) => $value,
            BuiltIn::Aggregated($residual) => $value,
        }
    };
}

impl Residual for BuiltIn {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        each!(self, residual => residual.forward(x, pass))
    }

    fn conjugate(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        each!(self, residual => residual.conjugate(x, pass))
    }

    fn vjp(&self, x: &Tensor<4>, v: &Tensor<4>, pass: &Pass) -> Option<Vjp> {
        each!(self, residual => residual.vjp(x, v, pass))
    }

    fn jvp(&self, role: Role, x: &Tensor<4>, v: &Tensor<4>, pass: &Pass) -> Option<Tensor<4>> {
        each!(self, residual => residual.jvp(role, x, v, pass))
    }

    fn lipschitz_bound(&self, size: [usize; 2], pass: &Pass) -> Option<Tensor<1>> {
        each!(self, residual => residual.lipschitz_bound(size, pass))
    }

    fn kernel_form(&self) -> Option<KernelForm> {
        each!(self, residual => residual.kernel_form())
    }

    fn effects(&self) -> Effects {
        each!(self, residual => residual.effects())
    }
}
