//! A residual of one's own: trained by the trainer, saved, loaded again, evaluated.
//!
//! Run: `cargo run --release --example train_own_residual`

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, activation::gelu, module::conv2d, ops::ConvOptions};
use palinode::network::weights::replace;
use palinode::network::{NetworkConfig, WeightFile};
use palinode::random::Generator;
use palinode::residual::{Effects, Pass, Residual};
use palinode::reversible::Differentiation;
use palinode_train::data::{SourceName, Split};
use palinode_train::recipe::{OptimizerName, Settings};
use palinode_train::train::{Observer, Row, SplitOptions, Trainer, TrainingData, evaluate};

/// F(x) = gelu(K x) with a 3×3 kernel K.
#[derive(Module, Debug)]
struct Gelu {
    kernel: Param<Tensor<4>>,
}

impl Residual for Gelu {
    fn forward(&self, x: Tensor<4>, _: &Pass) -> Tensor<4> {
        gelu(conv2d(x, self.kernel.val(), None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1)))
    }
    fn effects(&self) -> Effects {
        Effects::None
    }
}

struct Print;
impl Observer for Print {
    fn row(&mut self, row: &Row, _: usize) {
        println!("epoch {} {:<10} loss {:.3}", row.epoch, row.split, row.loss);
    }
}

fn main() -> palinode_train::Result<()> {
    let images = SourceName::FashionMnistMini.load(None, Split::Train)?;
    let test = SourceName::FashionMnistMini.load(None, Split::Test)?;
    let data = TrainingData::split(images, SplitOptions::default().with_subset(0.1))?;
    let info = data.info().clone();
    let mut config = NetworkConfig::named("leapfrog")?.for_data(1, info.size, info.classes.len());
    config = config.with_units([1, 1, 1], [8, 8, 8]);
    let make = |device: &Device| {
        config.init_with(
            1,
            Differentiation::Reversible,
            device,
            |site, generator: &mut Generator, device| Gelu {
                kernel: Param::from_tensor(generator.normal(
                    [site.channels, site.channels, 3, 3],
                    0.1,
                    device,
                )),
            },
        )
    };
    let mut settings = Settings::default();
    (settings.training.epochs, settings.training.batch_size) = (1, 64);
    settings.optimizer =
        settings.optimizer.with_name(OptimizerName::AdamW).with_learning_rate(1e-2);
    let out = std::env::temp_dir().join(format!("own-residual-{}", std::process::id()));
    Trainer::new(make(&Device::flex().autodiff())?, data)
        .with_settings(settings)
        .train(&out, &mut Print)?;

    let file = WeightFile::load(&out.join("weights/best.safetensors"))?;
    let network = replace(make(&Device::flex())?, &file.arrays)?;
    println!("test accuracy {:.1} %", 100.0 * evaluate(&network, &test, &info, 100)?.accuracy);
    Ok(())
}
