//! A user-defined residual in a reversible network: depthwise-separable convolutions.
//!
//! Any Burn module becomes a residual by implementing [`Residual`]; the library differentiates it.
//! Run: `cargo run --release --example own_residual`

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor, activation::gelu};
use palinode::network::{Network, NetworkConfig, Phase, count};
use palinode::random::{Generator, Purpose};
use palinode::residual::{Effects, Pass, Residual};
use palinode::reversible::Differentiation;

/// F(x) = P·gelu(D x): a 3×3 convolution per channel, then a 1×1 convolution across channels.
#[derive(Module, Debug)]
struct DepthwiseSeparable {
    depthwise: Conv2d,
    pointwise: Conv2d,
}

impl DepthwiseSeparable {
    fn new(channels: usize, device: &Device) -> Self {
        let depthwise = Conv2dConfig::new([channels, channels], [3, 3])
            .with_groups(channels)
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1));
        let pointwise = Conv2dConfig::new([channels, channels], [1, 1]);
        Self { depthwise: depthwise.init(device), pointwise: pointwise.init(device) }
    }
}

impl Residual for DepthwiseSeparable {
    fn forward(&self, x: Tensor<4>, _: &Pass) -> Tensor<4> {
        self.pointwise.forward(gelu(self.depthwise.forward(x)))
    }

    fn effects(&self) -> Effects {
        Effects::None
    }
}

fn main() -> palinode::Result<()> {
    let device = Device::flex().autodiff();
    let mut config = NetworkConfig::named("leapfrog")?.for_data(1, [16, 16], 2);
    config = config.with_units([8, 8, 8], [8, 16, 16]);
    config.step = 0.5;
    let mut network: Network<DepthwiseSeparable> =
        config.init_with(1, Differentiation::Reversible, &device, |site, _, device| {
            DepthwiseSeparable::new(site.channels, device)
        })?;
    println!("{} parameters in 24 reversible blocks", count(&network).total);

    // Two classes of noisy images: brighter on the left, or brighter on the right.
    let mut generator = Generator::new(1, Purpose::Input);
    let noise: Tensor<4> = generator.normal([64, 1, 16, 16], 1.0, &device);
    let side = Tensor::<1>::from_floats([0.08; 8], &device);
    let ramp = Tensor::cat(vec![side.clone(), side.neg()], 0).reshape([1, 1, 1, 16]);
    let images = Tensor::cat(
        vec![noise.clone().narrow(0, 0, 32) + ramp.clone(), noise.narrow(0, 32, 32) - ramp],
        0,
    );
    let labels = Tensor::from_data([[0; 32], [1; 32]].as_flattened(), &device);

    let cross_entropy = CrossEntropyLossConfig::new().init(&device);
    let mut optimizer = AdamWConfig::new().init();
    for step in 0..30 {
        let logits = network.forward(images.clone(), Phase::Training { seed: 0, step })?;
        let loss = cross_entropy.forward(logits, labels.clone());
        if step % 10 == 0 || step == 29 {
            println!("step {step:>2}  loss {:.4}", loss.clone().into_scalar::<f64>());
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(1e-2, network, gradients);
    }
    Ok(())
}
