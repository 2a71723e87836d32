//! Operations that graphics cards compute with the kernels of `palinode-kernels`, by Burn's backend extension.
//!
//! The tensors of all of Burn's GPU runtimes have the same backend, so that each operation is written once.

mod buffers;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchDevice, backend_extension};
use burn::tensor::{Device, Tensor};
use burn_cubecl::CubeBackend;
use palinode_kernels::cube;
use palinode_kernels::dropout::Mask;

/// Whether tensors on `device` have these operations.
pub(crate) fn is_cube(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Cube(_))
}

/// The operations on primitives. Those of a tensor are the functions of this module.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait CubeKernels: Backend {
    /// x times the mask.
    #[fusion(dtype = x, shape = x)]
    fn drop_elements(x: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self>;
}

impl CubeKernels for CubeBackend {
    fn drop_elements(x: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self> {
        let x = buffers::contiguous(x);
        let y = buffers::like(&x);
        let (client, dtype) = (x.client.clone(), buffers::element(&x));
        let launched = cube::drop_elements(
            &client,
            mask,
            dtype,
            x.into_buffer_arg(),
            y.clone().into_buffer_arg(),
        );
        launched.expect("a dropout has checked its rate and place");
        y
    }
}

/// x times `mask`, outside any graph; x must be on a [device with these operations](is_cube).
pub(crate) fn drop_elements(x: Tensor<4>, mask: Mask) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as CubeKernels>::drop_elements(x.into_dispatch(), mask))
}
