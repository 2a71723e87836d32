//! What the stability of a network's units is described by.

use super::krylov::Eigenvalue;
use super::product::Product;
use super::singular::SingularValue;
use palinode::scheme::StabilityRegion;
use serde::{Serialize, Serializer};

/// The stability of a network.
#[derive(Clone, Debug, Serialize)]
pub struct NetworkStability {
    /// The units.
    pub units: Vec<UnitStability>,
    /// Growth from the first unit's input to the last unit's output.
    pub growth: Growth,
}

/// The stability of one unit.
#[derive(Clone, Debug, Serialize)]
pub struct UnitStability {
    /// h.
    pub step: f64,
    /// The number of blocks.
    pub blocks: usize,
    /// Where the scheme is stable.
    pub region: Option<StabilityRegion>,
    /// The largest |⟨Jv, w⟩ − ⟨v, Jᵀw⟩| / (‖Jv‖‖w‖) over the examined blocks, and the same of the unit's derivative.
    pub adjoint_error: f64,
    /// The examined blocks.
    pub examined: Vec<BlockStability>,
    /// The singular values of the derivative of the unit's output with respect to its input, the largest first.
    pub singular_values: Vec<SingularValue>,
    /// For every block the upper bound of |hλ|, see [`palinode::network::Unit::frequency_bounds`].
    pub bounds: Option<Vec<f64>>,
    /// The growth of changes over the unit's blocks.
    pub growth: Growth,
}

/// The Jacobian J of a block's right-hand side.
#[derive(Clone, Debug, Serialize)]
pub struct BlockStability {
    /// Which block.
    pub block: usize,
    /// The inner product in which J is skew, so that its eigenvalues are imaginary; `None` if it is in none of those that
    /// are known.
    pub skew_in: Option<Product>,
    /// The eigenvalue of the largest real part.
    pub rightmost: Eigenvalue,
    /// The error of its real part: what is left of J's skewness by rounding, or else the residual.
    pub error: f64,
    /// The eigenvalue of the largest modulus.
    pub largest: Eigenvalue,
    /// All that were found to a tenth of the largest modulus.
    #[serde(serialize_with = "as_triples")]
    pub eigenvalues: Vec<Eigenvalue>,
}

/// The growth ‖δY(t)‖/‖δY(0)‖ of small changes of a unit's input.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Growth {
    /// t = h·blocks, from 0 on.
    pub times: Vec<f64>,
    /// For every random direction the growth at these times.
    pub random: Vec<Vec<f64>>,
    /// The growth of the direction that grows most.
    pub worst: Vec<f64>,
}

impl BlockStability {
    /// The largest real part and its error, for people.
    pub fn real_part(&self) -> String {
        let Self { rightmost, error, .. } = self;
        match rightmost.real.abs() < 1e-2 {
            true => format!("{:.1e} ± {error:.0e}", rightmost.real),
            false => format!("{:.2} ± {error:.0e}", rightmost.real),
        }
    }
}

impl Growth {
    /// The Lyapunov exponent ln(growth)/t at the end, of one direction.
    fn exponent(&self, growth: &[f64]) -> f64 {
        match (self.times.last(), growth.last()) {
            (Some(time), Some(growth)) if *time > 0.0 => growth.ln() / time,
            _ => 0.0,
        }
    }

    /// The mean of the exponents of the random directions.
    pub fn mean_exponent(&self) -> f64 {
        let sum: f64 = self.random.iter().map(|growth| self.exponent(growth)).sum();
        sum / self.random.len().max(1) as f64
    }

    /// The exponent of the direction that grows most.
    pub fn worst_exponent(&self) -> f64 {
        self.exponent(&self.worst)
    }
}

impl UnitStability {
    /// Whether equation 2 of the report holds: max Re λ ≤ 0 for every examined block, within the stated error.
    pub fn is_stable(&self) -> bool {
        self.examined.iter().all(|block| block.rightmost.real <= block.error)
    }

    /// The largest bound of |hλ| over the blocks.
    pub fn largest_bound(&self) -> Option<f64> {
        self.bounds.as_ref()?.iter().copied().reduce(f64::max)
    }

    /// The limit of |hλ| on the imaginary axis.
    pub fn limit(&self) -> Option<f64> {
        match self.region? {
            StabilityRegion::ImaginaryAxis(limit) => Some(limit),
            StabilityRegion::UnitDisc => None,
        }
    }

    /// The largest h for which the bound keeps every block within the limit, at any image.
    pub fn largest_safe_step(&self) -> Option<f64> {
        Some(self.step * self.limit()? / self.largest_bound()?)
    }

    /// The examined block whose eigenvalues lie furthest to the right.
    pub fn rightmost(&self) -> Option<&BlockStability> {
        self.examined.iter().max_by(|a, b| a.rightmost.real.total_cmp(&b.rightmost.real))
    }

    /// The largest |λ| of the examined blocks.
    pub fn radius(&self) -> f64 {
        self.examined.iter().map(|block| block.largest.modulus()).fold(0.0, f64::max)
    }
}

/// Real part, imaginary part and residual of each.
fn as_triples<S: Serializer>(
    values: &[Eigenvalue],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|own| [own.real, own.imaginary, own.residual]))
}
