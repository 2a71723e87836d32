//! Inner products in which a Jacobian is skew.
//!
//! The Jacobians of the paper's networks have imaginary eigenvalues because they are skew in some inner product. In the
//! Euclidean one they are far from normal: zero is an eigenvalue with Jordan blocks, so that approximations near it are off
//! by the square root of their residuals. In the right product every Ritz value is an eigenvalue to within its residual.
//!
//! | product ⟨u, Mv⟩ | M | J is skew in it for |
//! |---|---|---|
//! | Euclidean | 1 | J = −Jᵀ |
//! | energy | S⁻¹J with S = [[0, 1], [−1, 0]] | Hamiltonian fields: J = S·diag(B, A) with symmetric A and B, so M = diag(B, A) |
//! | image | JᵀJ | J = DA and J = [[0, D₁K], [−D₂Kᵀ, 0]] with an antisymmetric A and D² = D: single layers with ReLU |

use super::vector::{dot, norm};
use crate::error::Result;
use serde::Serialize;

/// A symmetric bilinear form ⟨u, Mv⟩.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    /// ⟨u, v⟩.
    Euclidean,
    /// ⟨u, S⁻¹Jv⟩, twice the energy of a small change of a Hamiltonian system.
    Energy,
    /// ⟨Ju, Jv⟩.
    Image,
}

/// The difference, relative to the size of the terms, below which J counts as skew. Rounding gives 1e-15, central
/// differences 1e-10.
const SKEW: f64 = 1e-8;

/// Products of a Jacobian with vectors.
pub(super) struct Jacobian<'a> {
    /// Jv.
    pub map: &'a dyn Fn(&[f64]) -> Result<Vec<f64>>,
    /// Jᵀw.
    pub adjoint: &'a dyn Fn(&[f64]) -> Result<Vec<f64>>,
    /// The length of one image's part of a vector, where that consists of two halves, (Y, Z) or (X, V).
    pub halved: Option<usize>,
}

impl Jacobian<'_> {
    /// Jv and Mv.
    pub fn products(&self, product: Product, v: &[f64]) -> Result<[Vec<f64>; 2]> {
        let image = (self.map)(v)?;
        let weighted = match product {
            Product::Euclidean => v.to_vec(),
            Product::Energy => {
                let images = image.chunks(self.halved.unwrap_or(v.len()).max(1));
                let turned = images.flat_map(|image| {
                    let (y, z) = image.split_at(image.len() / 2);
                    z.iter().map(|z| -z).chain(y.iter().copied())
                });
                turned.collect()
            }
            Product::Image => (self.adjoint)(&image)?,
        };
        Ok([image, weighted])
    }

    /// The product that J is skew in, as far as two random vectors can show; `None` if in none of them.
    pub fn skew_in(&self, [u, v]: &[Vec<f64>; 2]) -> Result<Option<Product>> {
        for product in [Product::Euclidean, Product::Energy, Product::Image] {
            if product == Product::Energy && self.halved.is_none() {
                continue;
            }
            let [ju, mu] = self.products(product, u)?;
            let [jv, mv] = self.products(product, v)?;
            let asymmetry = (dot(u, &mv) - dot(v, &mu)).abs() / (norm(u) * norm(&mv));
            let departure = (dot(&mu, &jv) + dot(&ju, &mv)).abs() / (norm(&ju) * norm(&mv));
            let positive = dot(u, &mu) > 0.0 && dot(v, &mv) > 0.0;
            if positive && asymmetry < SKEW && departure < SKEW {
                return Ok(Some(product));
            }
        }
        Ok(None)
    }
}
