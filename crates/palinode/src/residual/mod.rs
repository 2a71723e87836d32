//! What is integrated: the residual functions F.
//!
//! A residual is a Burn module from a tensor to a tensor of the same shape. The built-in ones are
//! [`Symmetric`], [`Layer`] and [`Antisymmetric`], the inception ones [`Inception`] and
//! [`AntisymmetricInception`], and those of the baselines, [`Basic`] and [`Aggregated`]; a module of
//! your own becomes one by implementing [`Residual`], and can then be put in any
//! [scheme](crate::scheme) with reversible backward.
//!
//! Batch norm and dropout inside a residual: [`BatchNorm`](crate::norm::BatchNorm) and
//! [`Dropout`](crate::dropout::Dropout), to which it hands its [`Pass`] on.

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

use crate::pass::Survival;
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

/// A residual that `palinode-kernels` can compute.
///
/// Its only parameters are a 3×3 K `[c, c, 3, 3]`, b `[c]` and, where `input_bias` says so, a `[c]`,
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

/// See [`Residual::pull_back`].
#[derive(Clone, Debug)]
pub struct PulledBack {
    /// F(x).
    pub value: Tensor<4>,
    /// Jᵀv.
    pub slope: Tensor<4>,
    /// The gradient with respect to every parameter, flat, in the order of a visit.
    pub parameters: Vec<Tensor<1>>,
}

/// A residual function F: `[n, c, h, w]` → `[n, c, h, w]`.
///
/// Any Burn module can be one. The reversible and checkpointed modes differentiate
/// [`forward`](Residual::forward) on a small autodiff graph of their own, one residual at a time,
/// so no derivative has to be written by hand.
pub trait Residual: Module + ModuleDisplay + 'static {
    /// F(x), of x's shape; `pass` is for the norms and dropouts inside.
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4>;

    /// F*(x): the companion of F in the [single-layer Hamiltonian](crate::scheme::Hamiltonian),
    /// with the same parameters. There it is σ(Kᵀx + b) beside σ(Kx + b); by default F itself.
    fn conjugate(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.forward(x, pass)
    }

    /// F(x), Jᵀv and the parameters' gradients of ⟨v, F(x)⟩, all outside any graph, where the residual
    /// knows a shorter way to them than autodiff through [`forward`](Residual::forward); `None`, as by
    /// default, where it does not.
    fn pull_back(&self, _x: &Tensor<4>, _v: &Tensor<4>, _pass: &Pass) -> Option<PulledBack> {
        None
    }

    /// The formula that the kernels know this residual by, if they do: units of such residuals are
    /// computed as a whole, inside the cache.
    fn kernel_form(&self) -> Option<KernelForm> {
        None
    }

    /// What else an evaluation does. Anything but [`Effects::None`] is refused by the modes that
    /// evaluate a residual again.
    fn effects(&self) -> Effects;
}

/// Which of a residual's two functions is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// [`Residual::forward`].
    Forward,
    /// [`Residual::conjugate`].
    Conjugate,
}

/// Evaluates `residual` in `role`, as far as it takes part in this step.
pub(crate) fn evaluate<R: Residual>(
    residual: &R,
    role: Role,
    x: Tensor<4>,
    (pass, survival): (&Pass, Survival),
) -> Tensor<4> {
    if survival == Survival::Dropped {
        return x.zeros_like();
    }
    let value = match role {
        Role::Forward => residual.forward(x, pass),
        Role::Conjugate => residual.conjugate(x, pass),
    };
    match survival {
        Survival::Expected(probability) => value * probability,
        Survival::Whole | Survival::Dropped => value,
    }
}
