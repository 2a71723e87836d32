//! ⟨Kx, y⟩ = ⟨x, Kᵀy⟩ for the linear part of every residual, as the library computes it.
#![allow(clippy::unwrap_used)]

use burn::tensor::{DType, Device, Tensor};
use palinode::Context;
use palinode::random::{Generator, Purpose};
use palinode::residual::{
    AntisymmetricConfig, InceptionMap, LayerConfig, Pass, Phase, Residual, SymmetricConfig,
};

const SIZES: [(usize, usize, usize); 5] =
    [(1, 4, 4), (3, 5, 7), (17, 8, 8), (16, 1, 9), (8, 32, 32)];

fn dot(a: Tensor<4>, b: Tensor<4>) -> f64 {
    (a.cast(DType::F64) * b.cast(DType::F64)).sum().into_scalar::<f64>()
}

/// Compares two inner products in f64. The tests use a large positive bias b, so that ReLU acts as the
/// identity and σ(Kx + b) − σ(b) = Kx.
fn check(name: &str, left: f64, right: f64, scale: f64) {
    assert!((left - right).abs() <= 1e-11 * scale, "{name}: {left} against {right}");
}

#[test]
fn kt_is_the_true_adjoint_in_every_residual() {
    let device = Device::flex();
    let pass = Pass::new(Phase::Inference, &Context::new());
    for (channels, height, width) in SIZES {
        let mut generator = Generator::new(5, Purpose::Weights);
        let shape = [2, channels, height, width];
        let (x, y): (Tensor<4>, Tensor<4>) =
            (generator.normal(shape, 1.0, &device), generator.normal(shape, 1.0, &device));
        let (x, y) = (x.cast(DType::F64), y.cast(DType::F64));
        let zero = x.zeros_like();
        let bias = Tensor::<1>::full([channels], 100.0, &device).cast(DType::F64);
        let norm = |t: &Tensor<4>| dot(t.clone(), t.clone()).sqrt();

        // σ(Kx + b) and its conjugate σ(Kᵀx + b).
        let mut layer = LayerConfig::new(channels).init(&mut generator, &device);
        layer.bias = layer.bias.map(|old| old.map(|_| bias.clone()));
        layer.kernel = layer.kernel.map(|kernel| kernel.cast(DType::F64));
        let k = layer.forward(x.clone(), &pass) - layer.forward(zero.clone(), &pass);
        let kt = layer.conjugate(y.clone(), &pass) - layer.conjugate(zero.clone(), &pass);
        let scale = norm(&k) * norm(&y);
        check("layer", dot(k, y.clone()), dot(x.clone(), kt), scale);

        // Kᵀσ(Kx + b) − Kᵀσ(b) = KᵀKx. It is symmetric, and ⟨KᵀKx, x⟩ = ‖Kx‖² for the true adjoint.
        let mut symmetric = SymmetricConfig::new(channels).init(&mut generator, &device);
        symmetric.kernel = symmetric.kernel.map(|_| layer.kernel.val());
        symmetric.bias = symmetric.bias.map(|old| old.map(|_| bias.clone()));
        let gram =
            |x: Tensor<4>| symmetric.forward(x, &pass) - symmetric.forward(zero.clone(), &pass);
        let (gx, gy) = (gram(x.clone()), gram(y.clone()));
        let scale = norm(&gx) * norm(&y);
        check("symmetric", dot(gx.clone(), y.clone()), dot(x.clone(), gy), scale);
        let kx = layer.forward(x.clone(), &pass) - layer.forward(zero.clone(), &pass);
        let square = dot(kx.clone(), kx);
        check("Gram", dot(gx, x.clone()), square, square);

        // A = K − Kᵀ: ⟨Ax, y⟩ = −⟨x, Ay⟩.
        let mut anti = AntisymmetricConfig::new(channels).init(&mut generator, &device);
        anti.kernel = anti.kernel.map(|_| layer.kernel.val());
        anti.bias = anti.bias.map(|old| old.map(|_| bias.clone()));
        let a = |x: Tensor<4>| anti.forward(x, &pass) - anti.forward(zero.clone(), &pass);
        let (ax, ay) = (a(x.clone()), a(y.clone()));
        let scale = norm(&ax) * norm(&y);
        check("antisymmetric", dot(ax.clone(), y.clone()), -dot(x.clone(), ay), scale);
        // A is K − Kᵀ with the same K.
        let kx = layer.forward(x.clone(), &pass) - layer.forward(zero.clone(), &pass);
        let ktx = layer.conjugate(x.clone(), &pass) - layer.conjugate(zero.clone(), &pass);
        let difference = norm(&(ax.clone() - (kx - ktx)));
        assert!(difference <= 1e-11 * norm(&ax), "antisymmetric is not K − Kᵀ: {difference}");
    }
}

/// The biases are zero here, so `forward` gives Ax.
#[test]
fn the_adjoint_of_the_inception_map_is_the_true_adjoint() {
    let device = Device::flex();
    let pass = Pass::new(Phase::Inference, &Context::new());
    for (groups, height, width) in [(1, 4, 4), (2, 5, 7), (3, 8, 1), (4, 9, 8)] {
        let mut generator = Generator::new(5, Purpose::Weights);
        let shape = [2, 4 * groups, height, width];
        let mut draw = |deviation| -> Tensor<4> { generator.normal(shape, deviation, &device) };
        let (x, y) = (draw(1.0).cast(DType::F64), draw(1.0).cast(DType::F64));
        let mut map = InceptionMap::new(4 * groups, &mut generator, &device);
        for convolution in [
            &mut map.one,
            &mut map.three_reduce,
            &mut map.three,
            &mut map.five_reduce,
            &mut map.five,
        ] {
            convolution.weight = convolution.weight.clone().map(|w| w.cast(DType::F64));
            convolution.bias = convolution.bias.clone().map(|b| b.map(|b| b.cast(DType::F64)));
        }
        let (left, right) = (map.forward(x.clone(), &pass), map.adjoint(y.clone(), &pass));
        let scale = dot(left.clone(), left.clone()).sqrt() * dot(y.clone(), y.clone()).sqrt();
        check("inception", dot(left, y), dot(x, right), scale);
    }
}
