//! Convolutions by the kernels in f32 against Burn's in f64, with all gradients.
#![allow(clippy::unwrap_used)]

mod support;

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor};
use palinode::Context;
use palinode::convolution::{ConvolutionConfig, adjoint, convolve};
use palinode::pass::{Pass, Phase};
use palinode::random::{Generator, Purpose};

fn config(stride: usize, padding: usize, groups: usize) -> ConvolutionConfig {
    let config = ConvolutionConfig::new().with_stride([stride; 2]).with_padding([padding; 2]);
    config.with_groups(groups)
}

/// (inputs, outputs, size, kernel, configuration).
fn cases() -> Vec<(usize, usize, [usize; 2], usize, ConvolutionConfig)> {
    vec![
        (3, 4, [6, 9], 3, config(1, 1, 1)),
        (4, 6, [7, 8], 3, config(2, 1, 2)),
        (5, 3, [8, 8], 1, config(2, 0, 1)),
        (4, 4, [9, 7], 5, config(1, 2, 4)),
    ]
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.cast(DType::F64).into_data().try_into_vec().unwrap()
}

#[test]
fn convolutions_and_their_adjoints_agree_with_burn_in_f64() {
    let device = Device::flex().autodiff();
    let context = Context::new();
    for (inputs, outputs, size, kernel, config) in cases() {
        let generator = &mut Generator::new(3, Purpose::Input);
        let [height, width] = size;
        let x: Tensor<4> = generator.normal([2, inputs, height, width], 1.0, &device);
        let shape = [outputs, inputs / config.groups, kernel, kernel];
        let weight: Tensor<4> = generator.normal(shape, 0.3, &device);
        let bias: Tensor<1> = generator.normal([outputs], 1.0, &device);
        let y = convolve(&context, x.clone(), weight.clone(), None, config);
        let cotangent: Tensor<4> = generator.normal(y.dims(), 1.0, &device);

        // Values and gradients of ⟨cotangent, Kx + b⟩ and of ⟨x, Kᵀ cotangent⟩.
        let all = |dtype: DType| -> Vec<Vec<f64>> {
            fn leaf<const D: usize>(tensor: &Tensor<D>, dtype: DType) -> Tensor<D> {
                tensor.clone().inner().cast(dtype).autodiff().require_grad()
            }
            let (x, weight, bias) = (leaf(&x, dtype), leaf(&weight, dtype), leaf(&bias, dtype));
            let cotangent = leaf(&cotangent, dtype);
            let y = convolve(&context, x.clone(), weight.clone(), Some(bias.clone()), config);
            let transposed = adjoint(&context, cotangent.clone(), weight.clone(), size, config);
            let found = (cotangent.clone().inner().autodiff() * y.clone()).sum().backward();
            let of_adjoint = (x.clone().inner().autodiff() * transposed.clone()).sum().backward();
            vec![
                values(y.inner()),
                values(x.grad(&found).unwrap()),
                values(weight.grad(&found).unwrap()),
                values(bias.grad(&found).unwrap()),
                values(transposed.inner()),
                values(cotangent.grad(&of_adjoint).unwrap()),
                values(weight.grad(&of_adjoint).unwrap()),
            ]
        };
        let exact = all(DType::F64);
        for (index, (found, truth)) in all(DType::F32).iter().zip(&exact).enumerate() {
            let error = support::relative(found, truth);
            assert!(error < 2e-6, "{size:?} {config:?}, array {index}: {error:e}");
        }
    }
}

#[test]
fn a_module_without_bias_takes_an_untracked_input() {
    let device = Device::flex().autodiff();
    let generator = &mut Generator::new(4, Purpose::Input);
    let weight = Param::from_tensor(generator.normal([4, 3, 3, 3], 1.0, &device));
    let module = config(1, 1, 1).init(weight, None);
    let x: Tensor<4> = generator.normal([2, 3, 5, 5], 1.0, &device);
    let pass = Pass::new(Phase::BatchStatistics, &Context::new());
    let y = module.forward(x.clone(), &pass);
    assert_eq!(y.dims(), [2, 4, 5, 5]);
    let gradients = y.sum().backward();
    assert_eq!(module.weight.val().grad(&gradients).unwrap().dims(), [4, 3, 3, 3]);
    assert!(x.grad(&gradients).is_none());
}
