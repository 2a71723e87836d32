//! Eigenvalues of a linear map that is known by its products with vectors only: Arnoldi's method with restarts.

use super::vector::{add, combined, dot, norm, scale};
use crate::error::{Error, Result};
use faer::Mat;
use faer::linalg::solvers::Eigen;
use serde::Serialize;

/// A function v ↦ (Av, Mv): a linear map, and a symmetric one that gives the inner product ⟨u, Mv⟩.
pub(super) type Products<'a> = dyn FnMut(&[f64]) -> Result<[Vec<f64>; 2]> + 'a;

/// An eigenvalue as Arnoldi's method approximates it: a Ritz value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Eigenvalue {
    /// Its real part.
    pub real: f64,
    /// Its imaginary part.
    pub imaginary: f64,
    /// ‖Av − λv‖ for its vector v of length 1. λ is an eigenvalue of a map within this distance of A; if A is normal, A
    /// itself has an eigenvalue within this distance of λ.
    pub residual: f64,
}

impl Eigenvalue {
    /// |λ|.
    pub fn modulus(self) -> f64 {
        self.real.hypot(self.imaginary)
    }
}

/// Which eigenvalues are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Those of the largest real part.
    Rightmost,
    /// Those of the largest modulus.
    Largest,
}

impl Wanted {
    fn key(self, value: Eigenvalue) -> f64 {
        match self {
            Self::Rightmost => value.real,
            Self::Largest => value.modulus(),
        }
    }
}

/// How much work is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Effort {
    /// The largest dimension of the Krylov space.
    pub dimension: usize,
    /// How often it is built anew from its best vectors.
    pub restarts: usize,
    /// The residual, relative to the largest modulus, below which an eigenvalue counts as found.
    pub tolerance: f64,
}

/// What Arnoldi's method found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// The wanted eigenvalues first, then the others that the last Krylov space approximates.
    pub values: Vec<Eigenvalue>,
    /// An upper bound of the numerical range's real parts in the last Krylov space: ‖H + Hᵀ‖/2 in the Frobenius norm. Where
    /// A is skew in the product, this is what rounding leaves of its real parts.
    pub skewness: f64,
}

/// The wanted eigenvalues of the map of `products`, from the start vector `start`.
///
/// The space is grown to its full dimension and restarted from its wanted Ritz vectors (thick restart: the same spaces as
/// the Krylov–Schur method), until the first eigenvalue is found or the effort is spent. Every vector is orthogonalised
/// twice. Source: G. W. Stewart, SIAM J. Matrix Anal. Appl. 23, 2002; R. B. Morgan, Math. Comp. 65, 1996.
///
/// `None` if the product is negative for some vector: it is no inner product then.
pub(super) fn eigenvalues(
    start: Vec<f64>,
    wanted: Wanted,
    effort: Effort,
    products: &mut Products<'_>,
) -> Result<Option<Found>> {
    let dimension = effort.dimension.min(start.len());
    let mut space = Space::default();
    if !space.add(start, products)? {
        return Ok(None);
    }
    for restart in 0.. {
        while space.columns.len() < dimension && !space.is_invariant() {
            if !space.grow(products)? {
                return Ok(None);
            }
        }
        let ritz = space.ritz(wanted)?;
        let largest = ritz.values.iter().map(|value| value.modulus()).fold(0.0, f64::max);
        let bound = effort.tolerance * largest.max(f64::MIN_POSITIVE);
        let found = ritz.values.first().is_none_or(|first| first.residual <= bound);
        if found || space.is_invariant() || restart == effort.restarts {
            return Ok(Some(Found { values: ritz.values, skewness: space.skewness() }));
        }
        space.restart(&ritz, dimension / 2);
    }
    Ok(None)
}

/// A Krylov space: A V = V H + residual, where the columns of V are orthonormal in the product.
#[derive(Default)]
struct Space {
    /// The vectors of V, and one more: where the residual points.
    basis: Vec<Vec<f64>>,
    /// M times these vectors.
    weighted: Vec<Vec<f64>>,
    /// A times the last of them; `None` if the space is invariant.
    image: Option<Vec<f64>>,
    /// H by columns, each with one more row: the residual's.
    columns: Vec<Vec<f64>>,
}

/// Ritz values, and their vectors in the basis of the space.
struct Ritz {
    values: Vec<Eigenvalue>,
    /// Real and imaginary parts.
    vectors: Vec<[Vec<f64>; 2]>,
}

impl Space {
    /// Whether A maps the space into itself: nothing is left to find from this start.
    fn is_invariant(&self) -> bool {
        self.image.is_none()
    }

    /// Adds a vector that is orthogonal to the others. `false` if the product is negative for it.
    fn add(&mut self, mut next: Vec<f64>, products: &mut Products<'_>) -> Result<bool> {
        let before = self.columns.last().map_or(0.0, |column| norm(column));
        let [mut image, mut weighted] = products(&next)?;
        let square = dot(&next, &weighted);
        if !square.is_finite() {
            let place = "the Jacobian of a unit".to_owned();
            return Err(Error::NonFinite { what: "a derivative", place });
        }
        if square < -1e-10 * norm(&next) * norm(&weighted) {
            return Ok(false);
        }
        let length = square.max(0.0).sqrt();
        // What is left is mostly rounding, which a product that is nearly zero in some directions magnifies.
        if length <= 1e-8 * before || length == 0.0 {
            self.image = None;
            return Ok(true);
        }
        for vector in [&mut next, &mut image, &mut weighted] {
            scale(vector, 1.0 / length);
        }
        if let Some(column) = self.columns.last_mut() {
            column.push(length);
        }
        self.basis.push(next);
        self.weighted.push(weighted);
        self.image = Some(image);
        Ok(true)
    }

    /// One more vector. `false` if the product is negative for it.
    fn grow(&mut self, products: &mut Products<'_>) -> Result<bool> {
        let Some(mut next) = self.image.take() else { return Ok(true) };
        let mut column = vec![0.0; self.basis.len()];
        for _ in 0..2 {
            for ((own, weighted), entry) in self.basis.iter().zip(&self.weighted).zip(&mut column) {
                let factor = dot(weighted, &next);
                add(&mut next, -factor, own);
                *entry += factor;
            }
        }
        self.columns.push(column);
        self.add(next, products)
    }

    /// The entry of H in row `row`; zero below the rows that a column has.
    fn entry(&self, row: usize, column: usize) -> f64 {
        self.columns[column].get(row).copied().unwrap_or(0.0)
    }

    fn skewness(&self) -> f64 {
        let m = self.columns.len();
        let pairs = (0..m).flat_map(|row| (0..m).map(move |column| (row, column)));
        let half = |(row, column)| (self.entry(row, column) + self.entry(column, row)) / 2.0;
        pairs.map(half).map(|sum| sum * sum).sum::<f64>().sqrt()
    }

    fn ritz(&self, wanted: Wanted) -> Result<Ritz> {
        let m = self.columns.len();
        let h = Mat::from_fn(m, m, |row, column| self.entry(row, column));
        let eigen = Eigen::new_from_real(h.as_ref()).map_err(|error| Error::Analysis {
            what: "the eigenvalues of a Jacobian",
            reason: format!("of {m}×{m} numbers: {error:?}"),
        })?;
        let mut pairs: Vec<(Eigenvalue, [Vec<f64>; 2])> = (0..m)
            .map(|index| {
                let value = eigen.S()[index];
                let vector = || (0..m).map(|row| eigen.U()[(row, index)]);
                let mut parts: [Vec<f64>; 2] =
                    [vector().map(|z| z.re).collect(), vector().map(|z| z.im).collect()];
                let length = norm(&parts[0]).hypot(norm(&parts[1]));
                parts.iter_mut().for_each(|part| scale(part, 1.0 / length));
                let last = [0, 1].map(|part: usize| {
                    (0..m).map(|column| self.entry(m, column) * parts[part][column]).sum::<f64>()
                });
                let residual = last[0].hypot(last[1]);
                (Eigenvalue { real: value.re, imaginary: value.im, residual }, parts)
            })
            .collect();
        pairs.sort_by(|(a, _), (b, _)| wanted.key(*b).total_cmp(&wanted.key(*a)));
        let (values, vectors) = pairs.into_iter().unzip();
        Ok(Ritz { values, vectors })
    }

    /// Keeps the span of the first `kept` Ritz vectors and the residual's direction.
    fn restart(&mut self, ritz: &Ritz, kept: usize) {
        let m = self.columns.len();
        let mut chosen: Vec<Vec<f64>> = Vec::new();
        // Both parts of a complex vector, so that its conjugate is kept too.
        for part in ritz.vectors.iter().flatten() {
            if chosen.len() >= kept {
                break;
            }
            let mut part = part.clone();
            for _ in 0..2 {
                for own in &chosen {
                    let factor = dot(own, &part);
                    add(&mut part, -factor, own);
                }
            }
            let length = norm(&part);
            // The conjugate of a vector that is kept already adds nothing.
            if length > 1e-8 {
                scale(&mut part, 1.0 / length);
                chosen.push(part);
            }
        }
        // H in the new basis, and the row of the residual.
        let columns = chosen.iter().map(|w| {
            let row = |row| (0..m).map(|column| self.entry(row, column) * w[column]).sum();
            let hw: Vec<f64> = (0..=m).map(row).collect();
            chosen.iter().map(|w| dot(w, &hw[..m])).chain([hw[m]]).collect()
        });
        self.columns = columns.collect();
        for vectors in [&mut self.basis, &mut self.weighted] {
            let residual = vectors.pop();
            let mut kept: Vec<Vec<f64>> = chosen.iter().map(|w| combined(vectors, w)).collect();
            kept.extend(residual);
            *vectors = kept;
        }
    }
}
