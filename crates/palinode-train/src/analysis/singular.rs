//! Singular values of a linear map that is known by its products with vectors only: Lanczos' method.

use super::vector::{combined, norm, orthogonalise, scale};
use crate::error::{Error, Result};
use faer::Mat;
use serde::Serialize;

/// A linear map of vectors of numbers.
pub(super) type Map<'a> = dyn Fn(&[f64]) -> Result<Vec<f64>> + 'a;

/// A singular value as Lanczos' method approximates it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SingularValue {
    /// σ.
    pub value: f64,
    /// ‖Aᵀu − σv‖ for its vectors u and v of length 1. σ is a singular value of a matrix within this distance of A.
    pub residual: f64,
}

/// The singular values of a linear map, the largest first, and the right singular vector of the largest.
pub(super) struct Singular {
    pub values: Vec<SingularValue>,
    pub leading: Vec<f64>,
}

/// `steps` singular values: the largest ones are found first, the smallest one is an upper bound of the map's smallest.
///
/// Golub–Kahan bidiagonalisation, where every vector is orthogonalised twice against all earlier ones. Source: G. Golub,
/// W. Kahan, SIAM J. Numer. Anal. 2, 1965.
pub(super) fn singular_values(
    start: Vec<f64>,
    steps: usize,
    map: &Map<'_>,
    adjoint: &Map<'_>,
) -> Result<Singular> {
    let steps = steps.min(start.len());
    let (mut left, mut right): (Vec<Vec<f64>>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
    // The diagonal and the superdiagonal of the bidiagonal matrix; the last entry of the latter is the residual's.
    let (mut diagonal, mut above) = (Vec::new(), Vec::new());
    let mut next = start;
    let length = norm(&next);
    scale(&mut next, 1.0 / length);
    for _ in 0..steps {
        let mut u = map(&next)?;
        right.push(next);
        orthogonalise(&mut u, &left);
        let length = norm(&u);
        check(length)?;
        diagonal.push(length);
        scale(&mut u, 1.0 / length.max(f64::MIN_POSITIVE));
        let mut v = adjoint(&u)?;
        left.push(u);
        let before = norm(&v);
        orthogonalise(&mut v, &right);
        let length = norm(&v);
        check(length)?;
        above.push(length);
        if length <= 1e-14 * before {
            break;
        }
        scale(&mut v, 1.0 / length);
        next = v;
    }
    let found = diagonal.len();
    let small = Mat::from_fn(found, found, |row, column| match column.checked_sub(row) {
        Some(0) => diagonal[row],
        Some(1) => above[row],
        _ => 0.0,
    });
    let svd = small.svd().map_err(|error| Error::Analysis {
        what: "the singular values of a unit",
        reason: format!("of {found}×{found} numbers: {error:?}"),
    })?;
    let last = found.saturating_sub(1);
    let values = (0..found)
        .map(|index| SingularValue {
            value: svd.S()[index],
            residual: above[last] * svd.U()[(last, index)].abs(),
        })
        .collect();
    let factors: Vec<f64> = (0..found).map(|row| svd.V()[(row, 0)]).collect();
    Ok(Singular { values, leading: combined(&right, &factors) })
}

fn check(length: f64) -> Result<()> {
    match length.is_finite() {
        true => Ok(()),
        false => Err(Error::NonFinite {
            what: "a derivative",
            place: "the derivative of a unit".to_owned(),
        }),
    }
}
