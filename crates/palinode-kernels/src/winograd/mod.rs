//! Winograd F(4×4, 3×3) and F(2×2, 3×3) for whole residuals, fused per strip of tiles.
//!
//! An m×m tile of Kz comes from the p×p patch d of z around it, p = m + 2: Aᵀ\[U ⊙ (BᵀdB)\]A with
//! U = GKGᵀ, summed over the input channels at each of the p² points (a small matrix product per point).
//! The exact adjoint runs the same factors the other way: Kᵀa adds B\[Uᵀ ⊙ (AaAᵀ)\]Bᵀ into the patch,
//! Uᵀ being U with its channels exchanged. F(z) = Kᵀσ(Kz + b) therefore works tile by tile: the hidden
//! layer is never written in the spatial domain and needs no halo. M and P stand for m and p throughout.

mod gemm;
mod layer;
pub(crate) mod plain;
mod products;
mod residual;
#[cfg(target_arch = "x86_64")]
mod rounded;
mod rows;
mod strip;
mod symmetric;
mod tile;
#[cfg(target_arch = "x86_64")]
mod tiled;
mod transform;
mod weights;

use crate::evaluation::{Advance, Cotangent, Evaluation, ParameterSlopes, Purpose};
use crate::geometry::Geometry;
use crate::number::Number;
use pulp::Simd;
use residual::Residual;
use strip::Workspace;
use weights::{SetWeights, Weights};

/// Winograd's algorithm with one thread's memory for it.
pub(crate) struct Winograd {
    geometry: Geometry,
    weights: Weights,
    workspace: Workspace,
}

impl Winograd {
    /// The geometry's tiles have 4 or 2 rows.
    pub fn new(geometry: Geometry, purpose: Purpose) -> Self {
        let (weights, workspace) = (Weights::zeros(&geometry), Workspace::new(&geometry, purpose));
        Self { geometry, weights, workspace }
    }

    /// Makes a convolution `[c, c, 3, 3]` and a bias `[c]` the ones that are evaluated.
    #[inline(always)]
    pub fn set<S: Simd>(&mut self, simd: S, kernel: &[f32], bias: &[f32]) {
        let Self { geometry, weights, .. } = self;
        simd.vectorize(SetWeights { geometry, kernel, bias, weights });
    }

    /// See [`Engine::value`](crate::engine::Engine::value).
    #[inline(always)]
    pub fn value<S: Simd, N: Number>(
        &mut self,
        simd: S,
        at: Evaluation<'_>,
        advance: Advance<'_, N>,
    ) {
        let Self { geometry, weights, workspace } = self;
        let residual = Residual { at, geometry, weights };
        match geometry.tile {
            4 => residual.value::<S, N, 4, 6>(simd, workspace, advance),
            _ => residual.value::<S, N, 2, 4>(simd, workspace, advance),
        }
    }

    /// See [`Engine::pull_back`](crate::engine::Engine::pull_back).
    #[inline(always)]
    pub fn pull_back<S: Simd, N: Number>(
        &mut self,
        simd: S,
        at: Evaluation<'_>,
        cotangent: Cotangent<'_>,
        advance: Advance<'_, N>,
        parameters: ParameterSlopes<'_>,
    ) {
        let Self { geometry, weights, workspace } = self;
        let residual = Residual { at, geometry, weights };
        match geometry.tile {
            4 => residual.pull_back::<S, N, 4, 6>(simd, workspace, cotangent, advance, parameters),
            _ => residual.pull_back::<S, N, 2, 4>(simd, workspace, cotangent, advance, parameters),
        }
    }
}
