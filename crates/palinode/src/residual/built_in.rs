//! The built-in residuals under one type, chosen by name in a recipe.

use super::{
    Antisymmetric, AntisymmetricConfig, Effects, KernelForm, Layer, LayerConfig, Residual,
    Symmetric, SymmetricConfig,
};
use crate::random::Generator;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// The name of a built-in residual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuiltInConfig {
    /// Kᵀσ(Kx + b), see [`Symmetric`].
    Symmetric,
    /// σ(Kx + b), see [`Layer`].
    Layer,
    /// σ((K − Kᵀ)x + b), see [`Antisymmetric`].
    Antisymmetric,
}

/// Any of the built-in residuals.
#[derive(Module, Debug)]
pub enum BuiltIn {
    /// See [`Symmetric`].
    Symmetric(Symmetric),
    /// See [`Layer`].
    Layer(Layer),
    /// See [`Antisymmetric`].
    Antisymmetric(Antisymmetric),
}

impl BuiltInConfig {
    /// A residual of this kind; `input_bias` applies to [`Symmetric`] alone.
    pub fn init(
        self,
        channels: usize,
        activation: crate::Activation,
        input_bias: bool,
        generator: &mut Generator,
        device: &Device,
    ) -> BuiltIn {
        match self {
            Self::Symmetric => BuiltIn::Symmetric(
                SymmetricConfig::new(channels)
                    .with_activation(activation)
                    .with_input_bias(input_bias)
                    .init(generator, device),
            ),
            Self::Layer => BuiltIn::Layer(
                LayerConfig::new(channels).with_activation(activation).init(generator, device),
            ),
            Self::Antisymmetric => BuiltIn::Antisymmetric(
                AntisymmetricConfig::new(channels)
                    .with_activation(activation)
                    .init(generator, device),
            ),
        }
    }
}

impl Residual for BuiltIn {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Symmetric(residual) => residual.forward(x),
            Self::Layer(residual) => residual.forward(x),
            Self::Antisymmetric(residual) => residual.forward(x),
        }
    }

    fn conjugate(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Symmetric(residual) => residual.conjugate(x),
            Self::Layer(residual) => residual.conjugate(x),
            Self::Antisymmetric(residual) => residual.conjugate(x),
        }
    }

    fn kernel_form(&self) -> Option<KernelForm> {
        match self {
            Self::Symmetric(residual) => residual.kernel_form(),
            Self::Layer(residual) => residual.kernel_form(),
            Self::Antisymmetric(residual) => residual.kernel_form(),
        }
    }

    fn effects(&self) -> Effects {
        match self {
            Self::Symmetric(residual) => residual.effects(),
            Self::Layer(residual) => residual.effects(),
            Self::Antisymmetric(residual) => residual.effects(),
        }
    }
}
