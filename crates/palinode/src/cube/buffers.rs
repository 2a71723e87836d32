//! Tensors as the buffers that kernels take.

use burn::tensor::Shape;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::ir::ElemType;

/// The same tensor, row-major and without gaps.
pub fn contiguous(x: CubeTensor) -> CubeTensor {
    into_contiguous(x)
}

/// A tensor of unspecified content with the shape and the type of x.
pub fn like(x: &CubeTensor) -> CubeTensor {
    of_shape(x, x.meta.shape().clone())
}

/// A tensor of unspecified content with the type of x.
pub fn of_shape(x: &CubeTensor, shape: Shape) -> CubeTensor {
    empty_device_contiguous_dtype(x.client.clone(), x.device.clone(), shape, x.dtype)
}

/// The type of x's elements.
pub fn element(x: &CubeTensor) -> ElemType {
    burn::backend::cubecl::dtype_to_elem_type(x.dtype)
}

/// The same tensor in a buffer that nobody else reads, row-major and without gaps.
pub fn owned(x: CubeTensor) -> CubeTensor {
    let x = contiguous(x);
    if x.can_mut() { x } else { x.copy() }
}
