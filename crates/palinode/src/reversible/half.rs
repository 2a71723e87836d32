//! Residuals in a half type, and cotangents within its range.

use crate::residual::Residual;
use burn::module::{ModuleMapper, Param};
use burn::tensor::{DType, Tensor};

/// The residual with its parameters in type `half`, as functions of the originals. Norms stay as they are: they
/// compute in f32.
pub(super) fn in_half<R: Residual>(residual: &R, half: DType) -> R {
    struct Cast {
        half: DType,
        in_norm: bool,
    }
    impl ModuleMapper for Cast {
        fn enter_module(&mut self, _: &str, container: &str) {
            self.in_norm = container == "Struct:BatchNorm";
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            match self.in_norm {
                true => param,
                false => Param::initialized(param.id, param.val().cast(self.half)),
            }
        }
    }
    residual.clone().map(&mut Cast { half, in_norm: false })
}

/// The factor that brings the largest number of a cotangent to 1, `[1, 1, 1, 1]`, since products of small numbers
/// are below the range of f16. It is computed on the device.
pub(super) fn f16_scale(cotangent: &Tensor<4>) -> Tensor<4> {
    let largest: Tensor<4> = cotangent.clone().abs().max().reshape([1, 1, 1, 1]);
    // A cotangent of zeros stays one.
    largest.clamp_min(1e-30).recip()
}
