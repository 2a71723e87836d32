//! Access to tensors as slices of f32, for the kernels.

use burn::backend::{BackendTypes, Flex};
use burn::tensor::{DType, Device, Tensor, TensorData};
use std::ops::Deref;

/// Whether the kernels can compute with a tensor: it must be in f32 on the CPU.
pub(crate) fn on_kernels<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && tensor.device() == Device::flex()
}

/// Read access to the values of a tensor that [the kernels can use](on_kernels). The values are copied
/// only if they are not contiguous.
///
/// # Panics
/// If the element type is not f32.
pub(crate) fn view<const D: usize>(tensor: Tensor<D>) -> View {
    let tensor = tensor.inner();
    match tensor.clone().try_into_primitive::<Flex>() {
        Ok(primitive) if primitive.as_slice::<f32>().is_some() => View::Shared(primitive),
        _ => View::Own(values(tensor)),
    }
}

/// See [`view`].
pub(crate) enum View {
    /// A primitive that has a slice of f32.
    Shared(<Flex as BackendTypes>::FloatTensorPrimitive),
    /// A copy.
    Own(Vec<f32>),
}

impl Deref for View {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Shared(primitive) => primitive.as_slice().expect("`view` checked the slice"),
            Self::Own(values) => values,
        }
    }
}

/// The values of a tensor that [the kernels can use](on_kernels), to be changed. The values are copied, once,
/// only if they are shared or not contiguous.
///
/// # Panics
/// If the tensor is not in f32 on the CPU.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let primitive = tensor.inner().try_into_primitive::<Flex>();
    let primitive = primitive.expect("the kernels' tensors are on the CPU");
    // Burn copies shared values twice, to bytes and from them.
    match primitive.as_slice::<f32>() {
        Some(shared) if !primitive.is_unique() => shared.to_vec(),
        _ => primitive.into_data().try_into_vec().expect("the kernels' tensors are f32"),
    }
}

/// A tensor outside any graph.
pub(crate) fn tensor<const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
