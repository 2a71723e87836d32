//! A residual of one's own: trained by the trainer, saved, loaded again, evaluated.
//!
//! Run: `cargo run --release --example train_own_residual`

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, activation::gelu, module::conv2d, ops::ConvOptions};
use palinode::network::{NetworkConfig, Site, WeightFile};
use palinode::random::Generator;
use palinode::residual::{Effects, Pass, Residual};
use palinode::reversible::Differentiation;
use palinode_train::data::{SourceName, Split};
use palinode_train::recipe::{OptimizerName, OptimizerRecipe, Settings, TrainingRecipe};
use palinode_train::train::{SplitOptions, Trainer, TrainingData, Unobserved, evaluate};

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

fn residual(site: Site, generator: &mut Generator, device: &Device) -> Gelu {
    let shape = [site.channels, site.channels, 3, 3];
    Gelu { kernel: Param::from_tensor(generator.normal(shape, 0.1, device)) }
}

fn main() -> palinode_train::Result<()> {
    let images = SourceName::FashionMnistMini.load(None, Split::Train)?;
    let test = SourceName::FashionMnistMini.load(None, Split::Test)?;
    let data = TrainingData::split(images, SplitOptions::default())?;
    let optimizer = OptimizerRecipe::default().with_name(OptimizerName::AdamW);
    let settings = Settings::default()
        .with_optimizer(optimizer.with_learning_rate(1e-2))
        .with_training(TrainingRecipe::default().with_epochs(1).with_batch_size(64));
    let out = std::env::temp_dir().join(format!("own-residual-{}", std::process::id()));
    let config = NetworkConfig::named("leapfrog")?.for_data(1, [32, 32], 10);
    let config = config.with_units([1, 1, 1], [8, 8, 8]);
    let device = Device::flex().autodiff();
    let network = config.init_with(1, Differentiation::Reversible, &device, residual)?;
    let trainer = Trainer::new(network, data);
    trainer.with_settings(settings).train(&out, &mut Unobserved)?;

    let file = WeightFile::load(&out.join("weights/best.safetensors"))?;
    let loaded = file.network_with(Differentiation::Stored, &Device::flex(), residual)?;
    let found = evaluate(&loaded, &test, &file.data, 100)?;
    println!("test accuracy {:.1} %, run in {}", 100.0 * found.accuracy, out.display());
    Ok(())
}
