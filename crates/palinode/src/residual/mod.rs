//! What is integrated: the residual functions F.
//!
//! A residual is a Burn module from a tensor to a tensor of the same shape. The built-in residuals are
//! [`Symmetric`], [`Layer`] and [`Antisymmetric`]; with the inception map [`Inception`] and
//! [`AntisymmetricInception`]; and those of the baselines, [`Basic`] and [`Aggregated`]. A module of your
//! own becomes a residual by implementing [`Residual`]. It can then be integrated by any
//! [scheme](crate::scheme) and differentiated in any [mode](crate::reversible::Differentiation).
//!
//! A residual may hold [`BatchNorm`](crate::norm::BatchNorm) and
//! [`Dropout`](crate::dropout::Dropout); it hands its [`Pass`] on to them.

mod aggregated;
mod antisymmetric;
mod antisymmetric_inception;
mod basic;
mod built_in;
mod convolution;
mod inception;
mod inception_map;
mod layer;
mod symmetric;

pub use crate::pass::{Pass, Phase};
pub use aggregated::{Aggregated, AggregatedConfig};
pub use antisymmetric::{Antisymmetric, AntisymmetricConfig};
pub use antisymmetric_inception::AntisymmetricInception;
pub use basic::{Basic, BasicConfig};
pub use built_in::{BuiltIn, BuiltInConfig, BuiltInSettings};
pub use inception::{Inception, InceptionConfig};
pub use inception_map::InceptionMap;
pub use layer::{Layer, LayerConfig};
pub use symmetric::{Symmetric, SymmetricConfig};

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;
use palinode_kernels::Activation;
pub use palinode_kernels::Form;

/// Whether evaluating a residual twice on the same input gives the same result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effects {
    /// A function of its input, its parameters and its [`Pass`] alone: may be evaluated again. So are
    /// residuals with this library's [`BatchNorm`](crate::norm::BatchNorm) and
    /// [`Dropout`](crate::dropout::Dropout) in them.
    None,
    /// Draws random numbers of its own (Burn's dropout, noise).
    Randomness,
    /// Updates state of its own while it runs (the running statistics of Burn's batch norm).
    RunningState,
}

/// The formula of a residual that `palinode-kernels` can compute.
///
/// The residual's only parameters are K `[c, c, 3, 3]`, b `[c]` and, if `input_bias` is true, a `[c]`,
/// visited in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelForm {
    /// The formula.
    pub form: Form,
    /// σ.
    pub activation: Activation,
    /// Whether there is an a.
    pub input_bias: bool,
}

/// The value of a residual and its vector–Jacobian products with a cotangent v, see [`Residual::vjp`].
#[derive(Clone, Debug)]
pub struct Vjp {
    /// F(x).
    pub value: Tensor<4>,
    /// Jᵀv: the gradient of ⟨v, F(x)⟩ with respect to x.
    pub input: Tensor<4>,
    /// The gradient of ⟨v, F(x)⟩ with respect to every parameter, flat, in the order of a visit.
    pub parameters: Vec<Tensor<1>>,
}

/// A residual function F: `[n, c, h, w]` → `[n, c, h, w]`.
///
/// Any Burn module can be one. The reversible and checkpointed modes differentiate
/// [`forward`](Residual::forward) on a small autodiff graph of their own, one residual at a time,
/// so no derivative has to be written by hand.
pub trait Residual: Module + ModuleDisplay + 'static {
    /// F(x), of x's shape. `pass` is for the norms, dropouts and convolutions inside.
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4>;

    /// F*(x): the companion of F in the [single-layer Hamiltonian](crate::scheme::Hamiltonian),
    /// with the same parameters. There it is σ(Kᵀx + b) beside σ(Kx + b); by default F itself.
    fn conjugate(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.forward(x, pass)
    }

    /// F(x) and the vector–Jacobian products with the cotangent v, all outside any graph, where the
    /// residual knows a shorter way to them than autodiff through [`forward`](Residual::forward). By
    /// default `None`: autodiff is used.
    fn vjp(&self, _x: &Tensor<4>, _v: &Tensor<4>, _pass: &Pass) -> Option<Vjp> {
        None
    }

    /// The formula of this residual, if it is one that the kernels know. They compute units of such
    /// residuals as a whole, inside the cache. [`check_residual`](crate::check::check_residual) compares
    /// the formula with [`forward`](Residual::forward).
    fn kernel_form(&self) -> Option<KernelForm> {
        None
    }

    /// What an evaluation does beside computing a value. The modes that evaluate a residual twice refuse
    /// anything but [`Effects::None`].
    fn effects(&self) -> Effects;
}
