//! What is integrated: the residual functions F.
//!
//! A residual is a Burn module that maps a tensor to a tensor of the same shape. The built-in residuals
//! are [`Symmetric`], [`Parabolic`], [`Layer`] and [`Antisymmetric`]. [`Inception`] and [`AntisymmetricInception`] use
//! the inception map. [`Basic`] and [`Aggregated`] are the residuals of the baselines. Your own module
//! becomes a residual by implementing [`Residual`]. Any [scheme](crate::scheme) can then integrate it,
//! and any [mode](crate::reversible::Differentiation) can differentiate it.
//!
//! A residual may contain [`BatchNorm`](crate::norm::BatchNorm) and
//! [`Dropout`](crate::dropout::Dropout). It must pass its [`Pass`] to them.

mod aggregated;
mod antisymmetric;
mod antisymmetric_inception;
mod basic;
mod built_in;
mod convolution;
mod inception;
mod inception_map;
mod layer;
mod operator_norm;
mod parabolic;
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
pub use parabolic::Parabolic;
pub use symmetric::{Symmetric, SymmetricConfig};

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;
use palinode_kernels::Activation;
pub use palinode_kernels::Form;
pub use palinode_kernels::recurrence::Role;

/// The name of a residual's type, without its path and its parameters: files and messages use it, so that a
/// residual may move to another module.
pub fn residual_name<R: Residual>() -> &'static str {
    let path = std::any::type_name::<R>();
    let (plain, _) = path.split_once('<').unwrap_or((path, ""));
    plain.rsplit("::").next().unwrap_or(plain)
}

/// Whether evaluating a residual twice on the same input gives the same result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effects {
    /// It does: the value depends on the input, the parameters and the [`Pass`] alone. This includes
    /// residuals with this library's [`BatchNorm`](crate::norm::BatchNorm) and
    /// [`Dropout`](crate::dropout::Dropout).
    None,
    /// The residual draws its own random numbers (for instance Burn's dropout, or noise).
    Randomness,
    /// An evaluation updates the residual's state (for instance the running statistics of Burn's batch
    /// norm).
    RunningState,
}

/// The formula of a residual that `palinode-kernels` can compute.
///
/// The residual's only parameters must be K `[c, c, 3, 3]`, b `[c]` and, if `input_bias` is true, a
/// `[c]`, visited in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelForm {
    /// The formula.
    pub form: Form,
    /// σ.
    pub activation: Activation,
    /// Whether there is a bias a before K.
    pub input_bias: bool,
}

/// The value of a residual and its vector–Jacobian products with a cotangent v, see [`Residual::vjp`].
#[derive(Clone, Debug)]
pub struct Vjp {
    /// F(x).
    pub value: Tensor<4>,
    /// Jᵀv: the gradient of ⟨v, F(x)⟩ with respect to x.
    pub input: Tensor<4>,
    /// The gradient of ⟨v, F(x)⟩ with respect to every parameter, flattened, in visiting order.
    pub parameters: Vec<Tensor<1>>,
}

/// A residual function F: `[n, c, h, w]` → `[n, c, h, w]`.
///
/// Any Burn module can implement it. The reversible and checkpointed modes differentiate
/// [`forward`](Residual::forward) on a separate small autodiff graph, one residual at a time, so no
/// derivative has to be written by hand.
pub trait Residual: Module + ModuleDisplay + 'static {
    /// F(x), with the shape and the element type of x. `pass` is for the norms, dropouts and
    /// convolutions in the residual.
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4>;

    /// F*(x), the conjugate of F in the [single-layer Hamiltonian](crate::scheme::Hamiltonian)
    /// network, with the same parameters. For F(x) = σ(Kx + b) it is σ(Kᵀx + b). The default is F.
    fn conjugate(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.forward(x, pass)
    }

    /// F(x) and its vector–Jacobian products with the cotangent v, computed outside any graph. Implement
    /// this if there is a faster way than autodiff through [`forward`](Residual::forward). If it
    /// returns `None`, the default, autodiff is used.
    fn vjp(&self, _x: &Tensor<4>, _v: &Tensor<4>, _pass: &Pass) -> Option<Vjp> {
        None
    }

    /// F′(x)v, or F*′(x)v for `role` [`Conjugate`](Role::Conjugate), outside any graph: the derivative along v, with norms by
    /// their running statistics and without dropout, as in [`Phase::Inference`]. Implement this if you know the formula.
    /// If it returns `None`, the default, central differences are used. [`check_residual`](crate::check::check_residual)
    /// compares it with the [`vjp`](Self::vjp).
    fn jvp(&self, _role: Role, _x: &Tensor<4>, _v: &Tensor<4>, _pass: &Pass) -> Option<Tensor<4>> {
        None
    }

    /// An upper bound of the Lipschitz constant of F and F*, as one number on the residual's device: ‖F′(x)‖ is below it
    /// for every x of `size` = `[h, w]` and every σ with 0 ≤ σ′ ≤ 1, with norms by their running statistics. `None`, the
    /// default, if none is known. `palinode analyze stability` and the training compare it with the scheme's limit.
    fn lipschitz_bound(&self, _size: [usize; 2], _pass: &Pass) -> Option<Tensor<1>> {
        None
    }

    /// The formula of this residual, if it is one of the kernels' formulas. The kernels compute units of
    /// such residuals as a whole, with the state in the cache.
    /// [`check_residual`](crate::check::check_residual) compares the formula with
    /// [`forward`](Residual::forward).
    fn kernel_form(&self) -> Option<KernelForm> {
        None
    }

    /// The side effects of an evaluation. The modes that evaluate a residual twice accept only
    /// [`Effects::None`].
    fn effects(&self) -> Effects;
}
