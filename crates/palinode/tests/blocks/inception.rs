//! The inception residual.

use crate::case::{normal, residual, unit};
use crate::support::{relative, values};
use burn::tensor::{DType, Tensor};
use palinode::Context;
use palinode::network::Phase;
use palinode::residual::{BuiltIn, BuiltInConfig, Pass, Residual};
use palinode::reversible::Differentiation;
use palinode::scheme::SchemeName;

/// F(x) = Aᵀσ(Ax + b) with A as a dense matrix, built from the kernels alone.
#[test]
fn inception_agrees_with_the_formula_for_a_dense_matrix() {
    let (group, height, width) = (2, 4, 5);
    let (channels, pixels) = (4 * group, height * width);
    let found = residual(BuiltInConfig::Inception, false, 0.0);
    let BuiltIn::Inception(inception) = &found else { panic!("not inception") };
    // A zero-padded convolution as a matrix [out · pixels, in · pixels], and its bias per row.
    let matrix = |(weight, bias): &(Tensor<4>, Option<Tensor<1>>)| {
        let [out, inputs, extent, _] = weight.dims();
        let w = values(weight.clone());
        let mut m = vec![vec![0.0; inputs * pixels]; out * pixels];
        for o in 0..out {
            for i in 0..inputs {
                for (tap, value) in
                    w[(o * inputs + i) * extent * extent..][..extent * extent].iter().enumerate()
                {
                    for row in 0..height {
                        for column in 0..width {
                            let r = (row + tap / extent).checked_sub(extent / 2);
                            let c = (column + tap % extent).checked_sub(extent / 2);
                            if let (Some(r), Some(c)) = (r, c)
                                && r < height
                                && c < width
                            {
                                m[o * pixels + row * width + column][i * pixels + r * width + c] +=
                                    value;
                            }
                        }
                    }
                }
            }
        }
        let bias = values(bias.clone().unwrap());
        (m, (0..out * pixels).map(|k| bias[k / pixels]).collect::<Vec<f64>>())
    };
    let apply = |m: &[Vec<f64>], x: &[f64]| -> Vec<f64> {
        m.iter().map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
    };
    let apply_transposed = |m: &[Vec<f64>], y: &[f64]| -> Vec<f64> {
        (0..m[0].len()).map(|k| m.iter().zip(y).map(|(row, y)| row[k] * y).sum()).collect()
    };
    let add =
        |a: Vec<f64>, b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
    let parameters = inception.map.parameters();
    let [one, three_reduce, three, five_reduce, five] = parameters.each_ref().map(matrix);

    let x = normal(9, [1, channels, height, width]);
    let flat = values(x.clone());
    let quarter = |index: usize| &flat[index * group * pixels..(index + 1) * group * pixels];
    let after = |first: &(Vec<Vec<f64>>, Vec<f64>), x: &[f64]| add(apply(&first.0, x), &first.1);
    let hidden = [
        quarter(0).to_vec(),
        after(&one, quarter(1)),
        after(&three, &after(&three_reduce, quarter(2))),
        after(&five, &after(&five_reduce, quarter(3))),
    ]
    .map(|group| group.into_iter().map(f64::tanh).collect::<Vec<_>>());
    let expected = [
        hidden[0].clone(),
        apply_transposed(&one.0, &hidden[1]),
        apply_transposed(&three_reduce.0, &apply_transposed(&three.0, &hidden[2])),
        apply_transposed(&five_reduce.0, &apply_transposed(&five.0, &hidden[3])),
    ]
    .concat();
    let y = values(found.forward(x.autodiff(), &Pass::new(Phase::Inference, &Context::new())));
    let error = relative(&y, &expected);
    assert!(error < 1e-13, "{error:e}");
}

/// An inception unit consists of four independent networks, since A is block diagonal and every scheme
/// adds each quarter of the channels to the same quarter. Only stem and head mix them. The report does
/// not mention this.
#[test]
fn the_quarters_of_an_inception_unit_never_meet() {
    let unit = unit(
        SchemeName::Hamiltonian,
        BuiltInConfig::Inception,
        Differentiation::Stored,
        DType::F64,
    );
    let x = normal(4, [2, 16, 4, 5]);
    let output = |x: &Tensor<4>| unit.forward(x.clone(), Phase::Inference).unwrap();
    let before = output(&x);
    // Two streams of eight channels, in quarters of two.
    for quarter in 0..4 {
        let moved = (0..2).fold(x.clone(), |x, stream| {
            let first = 8 * stream + 2 * quarter;
            let shifted = x.clone().narrow(1, first, 2) + 0.5;
            x.slice_assign([0..2, first..first + 2, 0..4, 0..5], shifted)
        });
        let change = values((output(&moved) - before.clone()).abs());
        let quarter_of = |index: usize| index / 20 % 8 / 2;
        for (index, change) in change.into_iter().enumerate() {
            let unchanged = quarter_of(index) == quarter || change == 0.0;
            assert!(unchanged, "quarter {quarter} changes quarter {}", quarter_of(index));
        }
    }
}
