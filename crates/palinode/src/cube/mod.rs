//! Operations that graphics cards compute with the kernels of `palinode-kernels`, by Burn's backend extension.
//!
//! The tensors of all of Burn's GPU runtimes have the same backend, so that each operation is written once.

mod buffers;
mod unit;

#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchDevice, backend_extension};
use burn::tensor::{Device, Tensor};
use burn_cubecl::CubeBackend;
use palinode_kernels::convolution::ConvolutionKernel;
use palinode_kernels::cube::{self, CubeUnit};
use palinode_kernels::dropout::Mask;
pub(crate) use unit::limits;

/// Whether tensors on `device` have these operations.
pub(crate) fn is_cube(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Cube(_))
}

/// The operations on primitives. Those on tensors are the functions of this module.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait CubeKernels: Backend {
    /// x times the mask.
    #[fusion(dtype = x, shape = x)]
    fn drop_elements(x: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self>;

    /// The gradient of ⟨Kx, d⟩ with respect to the weights, which have the shape `shape`.
    #[fusion(dtype = x, shape = burn::tensor::Shape::from(*shape))]
    fn weight_gradient(
        x: FloatTensor<Self>,
        d: FloatTensor<Self>,
        shape: [usize; 4],
        kernel: ConvolutionKernel,
    ) -> FloatTensor<Self>;

    /// See [`CubeUnit::forward`].
    #[fusion(dtype = state, shape = state)]
    fn unit_forward(
        state: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        biases: FloatTensor<Self>,
        input_biases: FloatTensor<Self>,
        unit: CubeUnit,
    ) -> FloatTensor<Self>;

    /// See [`CubeUnit::backward`].
    #[fusion(meta = |state, gradient, _weights, _biases, _input_biases, unit| {
        let found = TensorSpec::new(unit::gradients_shape(unit).into(), state.dtype);
        (state.clone(), gradient.clone(), found)
    })]
    fn unit_backward(
        state: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        biases: FloatTensor<Self>,
        input_biases: FloatTensor<Self>,
        unit: CubeUnit,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl CubeKernels for CubeBackend {
    fn drop_elements(x: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self> {
        let x = buffers::contiguous(x);
        let y = buffers::like(&x);
        let (client, dtype) = (x.client.clone(), buffers::element(&x));
        let (from, to) = (x.into_buffer_arg(), y.clone().into_buffer_arg());
        let launched = cube::drop_elements(&client, mask, dtype, from, to);
        launched.expect("a dropout has checked its rate and place");
        y
    }

    fn weight_gradient(
        x: FloatTensor<Self>,
        d: FloatTensor<Self>,
        shape: [usize; 4],
        kernel: ConvolutionKernel,
    ) -> FloatTensor<Self> {
        let [x, d] = [x, d].map(buffers::contiguous);
        let found = buffers::of_shape(&x, shape.into());
        let handles = [&x.handle, &d.handle, &found.handle];
        let launched = cube::weight_gradient(&x.client, &kernel, handles);
        launched.expect("the shapes of a convolution fit each other");
        found
    }

    fn unit_forward(
        state: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        biases: FloatTensor<Self>,
        input_biases: FloatTensor<Self>,
        unit: CubeUnit,
    ) -> FloatTensor<Self> {
        unit::forward(state, [weights, biases, input_biases], &unit)
    }

    fn unit_backward(
        state: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        biases: FloatTensor<Self>,
        input_biases: FloatTensor<Self>,
        unit: CubeUnit,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        unit::backward([state, gradient], [weights, biases, input_biases], &unit)
    }
}

/// x times `mask`, outside any graph; x must be on a [device with these operations](is_cube).
pub(crate) fn drop_elements(x: Tensor<4>, mask: Mask) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as CubeKernels>::drop_elements(x.into_dispatch(), mask))
}

/// The gradient of ⟨Kx, d⟩ with respect to the weights of K, which have the shape `shape`, outside any graph.
pub(crate) fn weight_gradient(
    x: Tensor<4>,
    d: Tensor<4>,
    shape: [usize; 4],
    kernel: ConvolutionKernel,
) -> Tensor<4> {
    let (x, d) = (x.into_dispatch(), d.into_dispatch());
    Tensor::from_dispatch(<Dispatch as CubeKernels>::weight_gradient(x, d, shape, kernel))
}

/// The parameters of a unit as its kernels take them.
#[derive(Clone)]
pub(crate) struct UnitParameters {
    /// The arrays of the convolutions before σ, then of their adjoints: `[2R, inputs, 3, 3, outputs]`.
    pub weights: Tensor<5>,
    /// `[R, c]`.
    pub biases: Tensor<2>,
    /// The biases before K, `[R, c]`; not read if the unit has none.
    pub input_biases: Tensor<2>,
}

/// The state `[n, 2c, h, w]` after the last block of `unit`, outside any graph.
pub(crate) fn unit_forward(
    state: Tensor<4>,
    parameters: UnitParameters,
    unit: CubeUnit,
) -> Tensor<4> {
    let UnitParameters { weights, biases, input_biases } = parameters;
    Tensor::from_dispatch(<Dispatch as CubeKernels>::unit_forward(
        state.into_dispatch(),
        weights.into_dispatch(),
        biases.into_dispatch(),
        input_biases.into_dispatch(),
        unit,
    ))
}

/// The first state and the gradient with respect to it, both `[n, 2c, h, w]`, and the gradients of all evaluations,
/// `[evaluations, parameters]`, outside any graph.
pub(crate) fn unit_backward(
    [state, gradient]: [Tensor<4>; 2],
    parameters: UnitParameters,
    unit: CubeUnit,
) -> (Tensor<4>, Tensor<4>, Tensor<2>) {
    let UnitParameters { weights, biases, input_biases } = parameters;
    let (state, gradient, found) = <Dispatch as CubeKernels>::unit_backward(
        state.into_dispatch(),
        gradient.into_dispatch(),
        weights.into_dispatch(),
        biases.into_dispatch(),
        input_biases.into_dispatch(),
        unit,
    );
    (Tensor::from_dispatch(state), Tensor::from_dispatch(gradient), Tensor::from_dispatch(found))
}
