//! The convolutions of ResNet-32 alone, forward and backward.

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use palinode::Context;
use palinode::convolution::{Convolution, ConvolutionConfig};
use palinode::pass::{Pass, Phase};
use palinode::random::{Generator, Purpose};
use std::time::Instant;

/// The 31 convolutions of ResNet-32 on 32×32 images, one after the other: a stem to 16 channels, ten at
/// 16, ten at 32 and ten at 64 channels, the first of each new width with stride 2; all 3×3, no bias.
///
/// (The network's first ten at 16 channels keep their width; with the stem that makes 31.)
#[derive(Debug)]
pub struct ConvolutionStack {
    layers: Vec<Convolution>,
    images: Tensor<4>,
    context: Context,
}

impl ConvolutionStack {
    /// With He's weights, on `batch_size` random images, both drawn with `seed`.
    pub fn new(batch_size: usize, seed: u64, context: &Context) -> Self {
        let device = Device::flex().autodiff();
        let mut generator = Generator::new(seed, Purpose::Weights);
        let mut layer = |inputs: usize, outputs: usize, stride: usize| {
            let deviation = (2.0 / (9 * inputs) as f64).sqrt();
            let weight = generator.normal([outputs, inputs, 3, 3], deviation, &device);
            let config = ConvolutionConfig::new().with_padding([1, 1]).with_stride([stride; 2]);
            config.init(Param::from_tensor(weight), None)
        };
        let mut layers = vec![layer(3, 16, 1)];
        for (inputs, outputs) in [(16, 16), (16, 32), (32, 64)] {
            layers.push(layer(inputs, outputs, if inputs == outputs { 1 } else { 2 }));
            layers.extend((1..10).map(|_| layer(outputs, outputs, 1)));
        }
        let images =
            Generator::new(seed, Purpose::Input).normal([batch_size, 3, 32, 32], 1.0, &device);
        Self { layers, images, context: context.clone() }
    }

    /// Multiplications and additions, counted apart, of one [`step`](Self::step) as if every convolution
    /// were computed directly; the first convolution needs no input gradient.
    pub fn operations(&self) -> f64 {
        let [images, ..] = self.images.dims();
        let mut size = 32;
        let per_layer = self.layers.iter().enumerate().map(|(index, layer)| {
            let [outputs, inputs, ..] = layer.weight.dims();
            if index > 0 && inputs != outputs {
                size /= 2;
            }
            let passes = if index == 0 { 2 } else { 3 };
            2 * 9 * inputs * outputs * size * size * passes
        });
        (images * per_layer.sum::<usize>()) as f64
    }

    /// Seconds of value, input gradients and weight gradients.
    pub fn step(&self) -> f64 {
        let began = Instant::now();
        let pass = Pass::new(Phase::BatchStatistics, &self.context);
        let output =
            self.layers.iter().fold(self.images.clone(), |x, layer| layer.forward(x, &pass));
        let gradients = output.sum().backward();
        let seconds = began.elapsed().as_secs_f64();
        let has_gradient = |layer: &Convolution| layer.weight.val().grad(&gradients).is_some();
        debug_assert!(self.layers.iter().all(has_gradient), "every weight has its gradient");
        seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_is_resnets() {
        let stack = ConvolutionStack::new(2, 0, &Context::new());
        let count: usize =
            stack.layers.iter().map(|layer| layer.weight.dims().iter().product::<usize>()).sum();
        // ResNet-32 has 464,154 parameters: its batch norms have 2·(11·16 + 10·32 + 10·64), its head 650.
        assert_eq!(stack.layers.len(), 31);
        assert_eq!(count + 2 * (11 * 16 + 10 * 32 + 10 * 64) + 650, 464_154);
        assert!(stack.step() > 0.0);
    }
}
