//! Whole units by the kernels for graphics cards.

use super::buffers;
use burn::tensor::Device;
use burn_cubecl::tensor::CubeTensor;
use palinode_kernels::cube::{CubeUnit, Limits};

/// What a cube of `device` can hold; `None` on a device without these kernels.
pub(crate) fn limits(device: &Device) -> Option<Limits> {
    match device.clone().inner().as_dispatch() {
        burn::backend::DispatchDevice::Cube(device) => Some(Limits::of(&device.client())),
        _ => None,
    }
}

/// The state after the last block, see [`CubeUnit::forward`].
pub(super) fn forward(
    state: CubeTensor,
    parameters: [CubeTensor; 3],
    unit: &CubeUnit,
) -> CubeTensor {
    let state = buffers::owned(state);
    let parameters = parameters.map(buffers::contiguous);
    let images = state.meta.shape()[0];
    let handles = parameters.each_ref().map(|tensor| &tensor.handle);
    unit.forward(&state.client, images, &state.handle, handles).expect(FITS);
    state
}

/// The first state, the gradient with respect to it and the gradients of all evaluations, see
/// [`CubeUnit::backward`].
pub(super) fn backward(
    state: [CubeTensor; 2],
    parameters: [CubeTensor; 3],
    unit: &CubeUnit,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let [state, gradient] = state.map(buffers::owned);
    let parameters = parameters.map(buffers::contiguous);
    let images = state.meta.shape()[0];
    let found = buffers::of_shape(&gradient, gradients_shape(unit).into());
    let changed = [&state.handle, &gradient.handle, &found.handle];
    let handles = parameters.each_ref().map(|tensor| &tensor.handle);
    unit.backward(&state.client, images, changed, handles).expect(FITS);
    (state, gradient, found)
}

/// The shape of the gradients of all evaluations.
pub(super) fn gradients_shape(unit: &CubeUnit) -> [usize; 2] {
    [unit.evaluations().len(), unit.parameters()]
}

/// Why the kernels cannot return an error here.
const FITS: &str = "the arrays of a unit have the shapes that it was planned for";
