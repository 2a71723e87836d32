//! Tensors as the kernels see them: slices of f32.

use burn::backend::{BackendTypes, Flex};
use burn::tensor::{DType, Device, Tensor, TensorData};
use std::ops::Deref;

/// Whether the kernels, which work on f32 in the CPU's memory, can compute with a tensor.
pub(crate) fn on_kernels<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && tensor.device() == Device::flex()
}

/// The numbers of a tensor that is [on the kernels' side](on_kernels), to read. They are copied only
/// where they do not lie side by side.
///
/// # Panics
/// If the tensor is of another type than f32.
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
            Self::Shared(primitive) => primitive.as_slice().expect("`view` has seen the slice"),
            Self::Own(values) => values,
        }
    }
}

/// The numbers of a tensor that is [on the kernels' side](on_kernels), to change. They are copied only
/// where they are shared.
///
/// # Panics
/// If the tensor is of another type than f32.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.inner().into_data().try_to_vec().expect("the kernels' tensors are f32")
}

/// A tensor outside any graph.
pub(crate) fn tensor<const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
