//! The library in fifteen lines: a reversible network, one batch, all gradients.
//!
//! Run: `cargo run --release --example quick_look`

use palinode::network::{NetworkConfig, Phase};
use palinode::reversible::Differentiation;
use palinode::tensor::Device;
use palinode_train::data::{Batches, Mean, SourceName, Split, describe};
use palinode_train::train::cross_entropy;

fn main() -> palinode_train::Result<()> {
    let images = SourceName::FashionMnistMini.load(None, Split::Train)?;
    let info = describe(&images, Mean::Channel)?;
    let device = Device::flex().autodiff();
    let config = NetworkConfig::named("hamiltonian-74")?.for_data(1, info.size, 10);
    let network = config.init(42, Differentiation::Reversible, &device)?;
    if let Some(batch) = Batches::in_order(&images, &info, 16).next_on(&device)? {
        let logits = network.forward(batch.images, Phase::Training { seed: 0, step: 0 })?;
        let loss = cross_entropy(logits, batch.labels);
        let gradients = loss.backward(); // no stored activations: states are reconstructed
        let stem = network.stem.weight.val().grad(&gradients);
        println!(
            "loss {:.3}, stem gradient {:?}",
            loss.into_scalar::<f64>(),
            stem.map(|g| g.dims())
        );
    }
    Ok(())
}
