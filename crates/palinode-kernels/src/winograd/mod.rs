//! Winograd F(4×4, 3×3) and F(2×2, 3×3) for whole residuals, fused per strip of tiles.
//!
//! An m×m tile of Kz comes from the p×p patch d of z around it, p = m + 2: Aᵀ\[U ⊙ (BᵀdB)\]A with
//! U = GKGᵀ, summed over the input channels at each of the p² points of the transform domain (a small
//! matrix product per point). The exact adjoint applies the transposed factors in reverse: Kᵀa adds
//! B\[Uᵀ ⊙ (AaAᵀ)\]Bᵀ to the patch, where Uᵀ is U with its channels exchanged. So F(z) = Kᵀσ(Kz + b) works
//! tile by tile: the hidden layer is never written in the spatial domain and needs no halo. M and P stand
//! for m and p throughout.
//!
//! From the top down: `engine` evaluates residuals, of which `symmetric` and `layer` are the two kinds;
//! `plain` computes a convolution alone. Each goes strip by strip through `strip` (into the transform
//! domain), `products` (`gemm` in f32, `bf16` with rounded factors) and `rows` (out of it); `tile` has the
//! two-dimensional transforms, `transform` the one-dimensional ones, and `weights` those of kernels.

mod bf16;
mod engine;
mod gemm;
mod layer;
mod plain;
mod products;
mod residual;
mod rows;
mod strip;
mod symmetric;
mod tile;
mod transform;
mod weights;

pub(crate) use engine::Winograd;
pub(crate) use plain::{Plain, PlainGradient, PlainValue};
pub(crate) use weights::{SetWeights, Weights};
