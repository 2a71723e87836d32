//! A network on the device that it is trained on.

use super::observer::Observer;
use crate::error::Result;
use crate::recipe::TrainingRecipe;
use burn::module::Module;
use burn::tensor::Device;
use palinode::check::repeats;
use palinode::device::is_cpu;
use palinode::network::{Network, NetworkConfig};
use palinode::random::{Generator, Purpose};
use palinode::residual::Residual;

/// The device that the settings name, or the one that the network is on; with autodiff.
pub(super) fn device_of<R: Residual>(
    network: &Network<R>,
    training: &TrainingRecipe,
) -> Result<Device> {
    match training.device {
        Some(name) => Ok(name.open()?.autodiff()),
        None => Ok(network.head.weight.val().device()),
    }
}

/// The network on `device`, with its residuals in the type that the settings name.
///
/// # Errors
/// [`palinode::Error::Config`] for a type that the device does not compute in.
pub(super) fn moved<R: Residual>(
    network: Network<R>,
    training: &TrainingRecipe,
    device: &Device,
) -> Result<Network<R>> {
    let network = match network.head.weight.val().device() == *device {
        true => network,
        // Clones of a Burn module share its running statistics; `valid` makes new ones, so that those of the caller
        // stay where they are.
        false => network.valid().train().fork(device),
    };
    Ok(network.with_precision(training.precision)?)
}

/// On a device that is not the CPU, evaluates every unit twice and says whether the bits are the same: reversal stands
/// on that.
pub(super) fn say_whether_it_repeats<R: Residual>(
    network: &Network<R>,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<()> {
    if is_cpu(device) {
        return Ok(());
    }
    let NetworkConfig { channels, size: [rows, columns], .. } = *network.config();
    let shape = [2, channels, rows, columns];
    let images = Generator::new(0, Purpose::Input).normal(shape, 1.0, device);
    let different: Vec<String> = repeats(network, images)?
        .into_iter()
        .enumerate()
        .filter(|(_, same)| !same)
        .map(|(unit, _)| unit.to_string())
        .collect();
    observer.remark(&match different.is_empty() {
        true => "every unit gives the same bits twice on this device".to_owned(),
        false => format!(
            "two evaluations of the units {} do not give the same bits on this device: states that are \
             reconstructed differ from those of the forward pass by more than rounding",
            different.join(", ")
        ),
    });
    Ok(())
}
