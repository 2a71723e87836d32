//! The measured stability of small networks against dense linear algebra.
#![allow(clippy::unwrap_used)]

use burn::tensor::{DType, Device, Tensor, TensorData};
use faer::Mat;
use palinode::device::read;
use palinode::network::weights::in_f64;
use palinode::network::{Network, NetworkConfig, StemActivation};
use palinode::random::{Generator, Purpose};
use palinode::residual::{BuiltIn, BuiltInConfig};
use palinode::reversible::{Differentiation, Linearized};
use palinode::scheme::SchemeName;
use palinode_train::analysis::{Product, StabilityOptions, stability};

/// A network that is small enough for dense matrices.
fn network(model: &str) -> Network {
    // The schemes that no model is named after.
    let (name, scheme) = match model {
        "parabolic" => ("leapfrog-26", Some(SchemeName::RungeKutta)),
        "damped" => ("leapfrog-26", Some(SchemeName::Damped)),
        "forest-ruth" => ("hamiltonian-74", Some(SchemeName::ForestRuth)),
        _ => (model, None),
    };
    let mut config =
        NetworkConfig::named(name).unwrap().for_data(1, [6, 6], 3).with_units([3, 2], [4, 8]);
    if let Some(scheme) = scheme {
        (config.scheme, config.residual) = (scheme, BuiltInConfig::usual_for(scheme));
    }
    config.stem.activation = StemActivation::None;
    config.step = 0.3;
    config.init(5, Differentiation::Stored, &Device::flex()).unwrap()
}

fn images() -> Tensor<4> {
    Generator::new(6, Purpose::Input).normal([2, 1, 6, 6], 1.0, &Device::flex())
}

/// The matrix of a linear map of tensors.
fn dense(shape: [usize; 4], map: impl Fn(Tensor<4>) -> Tensor<4>) -> Mat<f64> {
    let length: usize = shape.iter().product();
    let columns: Vec<Vec<f64>> = (0..length)
        .map(|column| {
            let mut unit = vec![0.0; length];
            unit[column] = 1.0;
            let data = TensorData::new(unit, shape);
            read(map(Tensor::from_data(data, (&Device::flex(), DType::F64)))).unwrap()
        })
        .collect();
    Mat::from_fn(columns[0].len(), length, |row, column| columns[column][row])
}

fn field(unit: &Linearized<BuiltIn>, block: usize) -> Mat<f64> {
    dense(unit.field_shape(block).unwrap(), |v| unit.field(block, v).unwrap())
}

#[test]
fn eigenvalues_and_singular_values_are_those_of_dense_matrices() {
    let models = [
        "hamiltonian-74",
        "leapfrog-26",
        "midpoint-26",
        "forest-ruth",
        "parabolic",
        "damped",
        "resnet-32",
        "revnet-38",
    ];
    for model in models {
        let options = StabilityOptions { blocks: 10, dimension: 80, ..Default::default() };
        let found = stability(network(model), images(), &options).unwrap();
        let network = in_f64(network(model));
        let linearized = network.linearized(images().cast(DType::F64)).unwrap();
        for (unit, found) in linearized.units().iter().zip(&found.units) {
            assert!(found.adjoint_error < 1e-14, "{model}: {}", found.adjoint_error);
            assert_eq!(found.examined.len(), unit.blocks());
            for block in &found.examined {
                let dense = field(unit, block.block).eigenvalues().unwrap();
                let right = dense.iter().map(|value| value.re).fold(f64::MIN, f64::max);
                let radius = dense.iter().map(|value| value.norm()).fold(0.0, f64::max);
                let largest = block.largest.modulus();
                assert!((largest / radius - 1.0).abs() < 1e-3, "{model}: {largest} {radius}");
                // Dense eigenvalues at zero are off by the root of rounding, where zero has Jordan blocks.
                let error = (block.rightmost.real - right).abs();
                assert!(error < 2e-3 * radius, "{model}: {} {right}", block.rightmost.real);
                match model {
                    "resnet-32" | "revnet-38" | "parabolic" | "damped" => {
                        assert_eq!(block.skew_in, None, "{model}");
                    }
                    "midpoint-26" => assert_eq!(block.skew_in, Some(Product::Image)),
                    _ => assert_eq!(block.skew_in, Some(Product::Energy)),
                }
                if block.skew_in.is_some() {
                    assert!(block.rightmost.real.abs() < 1e-9 * radius, "{model}");
                    assert!(block.error < 1e-7 * radius, "{model}: {}", block.error);
                }
            }
            assert_eq!(found.is_stable(), !["resnet-32", "revnet-38"].contains(&model), "{model}");
            if let Some(bound) = found.largest_bound() {
                assert!(found.step * found.radius() <= bound * 1.0001, "{model}");
            }
            let whole = dense(unit.output().dims(), |v| unit.apply(v, &mut |_| ()).unwrap());
            let singular = whole.singular_values().unwrap();
            let (own, exact) = (found.singular_values[0].value, singular[0]);
            assert!((own / exact - 1.0).abs() < 1e-3, "{model}: {own} {exact}");
            let least = found.singular_values.last().unwrap().value;
            assert!(least >= singular[singular.len() - 1] * 0.999, "{model}");
            // No direction grows more than the worst one, which grows by the singular value.
            let worst = *found.growth.worst.last().unwrap();
            assert!((worst / exact - 1.0).abs() < 1e-2, "{model}: {worst} {exact}");
            for random in &found.growth.random {
                assert!(*random.last().unwrap() <= exact * 1.0001, "{model}");
            }
        }
    }
}

#[test]
fn the_growth_of_a_network_is_that_of_its_derivative() {
    for model in ["hamiltonian-74", "resnet-32"] {
        let options = StabilityOptions { dimension: 80, ..Default::default() };
        let found = stability(network(model), images(), &options).unwrap().growth;
        let network = in_f64(network(model));
        let linearized = network.linearized(images().cast(DType::F64)).unwrap();
        let shape = linearized.units()[0].output().dims();
        let whole = dense(shape, |v| linearized.apply(v, &mut |_, _| ()).unwrap());
        let exact = whole.singular_values().unwrap()[0];
        let worst = *found.worst.last().unwrap();
        assert!((worst / exact - 1.0).abs() < 1e-2, "{model}: {worst} {exact}");
        let blocks: usize = linearized.units().iter().map(Linearized::blocks).sum();
        assert_eq!(found.times.len(), blocks + linearized.units().len());
        let step = network.units[0].scheme().time_step();
        let total = found.times.last().unwrap();
        assert!((total - step * blocks as f64).abs() < 1e-12);
        assert!((found.worst_exponent() - exact.ln() / total).abs() < 0.02, "{model}");
    }
}
