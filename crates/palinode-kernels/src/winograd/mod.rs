//! Winograd F(4×4, 3×3) for whole residuals, fused per strip of tiles.
//!
//! A 4×4 tile of Kz comes from the 6×6 patch d of z around it: Aᵀ\[U ⊙ (BᵀdB)\]A with U = GKGᵀ, summed
//! over the input channels at each of the 36 points (a small matrix product per point). The exact
//! adjoint runs the same factors the other way: Kᵀa adds B\[Uᵀ ⊙ (AaAᵀ)\]Bᵀ into the patch, Uᵀ being U
//! with its channels exchanged. F(z) = Kᵀσ(Kz + b) therefore works tile by tile: the hidden layer is
//! never written in the spatial domain and needs no halo. Source of B, G and A: Lavin & Gray,
//! CVPR 2016, for the points 0, ±1, ±2, ∞.

mod gemm;
mod geometry;
mod layer;
mod residual;
mod rows;
mod sigma;
mod strip;
mod symmetric;
mod tile;
mod transform;
mod weights;

pub(crate) use geometry::Geometry;
pub(crate) use residual::{Argument, ParameterSlopes, Residual};
pub(crate) use rows::Update;
pub(crate) use strip::Workspace;
pub(crate) use weights::{SetWeights, Weights};

/// Points of the transform domain.
pub(crate) const POINTS: usize = 36;
