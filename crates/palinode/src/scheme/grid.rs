//! States on a grid, so that they come back to the bit.

use super::update::State;
use burn::tensor::Tensor;
pub use palinode_kernels::Grid;

/// x rounded to the grid; its gradient is that of x.
pub(crate) fn rounded(x: Tensor<4>, grid: Option<Grid>) -> Tensor<4> {
    let Some(grid) = grid else { return x };
    let spacing = f64::from(grid.spacing());
    // Both factors are powers of two, and the products exact.
    let nearest = |x: Tensor<4>| (x * spacing.recip()).round() * spacing;
    if !x.is_tracked() {
        return nearest(x);
    }
    // The change is exact: a number and what it is rounded to are close to each other, or the latter is zero. So is the
    // sum.
    let plain = x.clone().inner();
    let change = nearest(plain.clone()) - plain;
    x + change.autodiff()
}

impl State {
    /// The state rounded to the grid.
    pub(crate) fn rounded(self, grid: Option<Grid>) -> Self {
        Self { first: rounded(self.first, grid), second: rounded(self.second, grid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn rounding_is_exact_with_and_without_a_graph_and_has_the_gradient_one() {
        let grid = Grid::new(10).unwrap();
        let spacing = f64::from(grid.spacing());
        let numbers: Vec<f32> =
            (-2000..2000_i16).map(|i| 1e-4 * f32::from(i) + 3e-7).chain([900.3, -4000.7]).collect();
        let count = numbers.len();
        let x = |device: &Device| -> Tensor<4> {
            Tensor::from_data(TensorData::new(numbers.clone(), [1, 1, 1, count]), device)
        };
        let values = |x: Tensor<4>| -> Vec<f32> { x.inner().into_data().try_into_vec().unwrap() };
        let plain = values(rounded(x(&Device::flex()), Some(grid)));
        let tracked = x(&Device::flex().autodiff()).require_grad();
        let result = rounded(tracked.clone(), Some(grid));
        assert_eq!(values(result.clone()), plain);
        let gradient = tracked.grad(&result.sum().backward()).unwrap();
        assert!(values(gradient).iter().all(|&own| own == 1.0));
        for (&x, &found) in numbers.iter().zip(&plain) {
            assert_eq!(f64::from(found) / spacing, (f64::from(found) / spacing).round());
            assert!((f64::from(x) - f64::from(found)).abs() <= spacing / 2.0, "{x}: {found}");
            assert_eq!(found, grid.nearest(x));
        }
        assert_eq!(values(rounded(x(&Device::flex()), None)), numbers);
    }
}
