//! A network on the device that it is trained on.

use super::observer::Observer;
use crate::error::Result;
use crate::recipe::TrainingRecipe;
use burn::module::Module;
use burn::tensor::Device;
use palinode::check::repeats;
use palinode::device::is_cpu;
use palinode::network::{Network, NetworkConfig, Phase};
use palinode::random::{Generator, Purpose};
use palinode::residual::Residual;
use palinode::tensor::Tensor;

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

/// On a device that is not the CPU, says which units have a kernel, and whether every unit gives the same bits twice:
/// reversal stands on that.
pub(super) fn describe<R: Residual>(
    network: &Network<R>,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<()> {
    if is_cpu(device) {
        return Ok(());
    }
    let NetworkConfig { channels, size: [rows, columns], .. } = *network.config();
    let shape = [2, channels, rows, columns];
    let images: Tensor<4> = Generator::new(0, Purpose::Input).normal(shape, 1.0, device);
    let mut fused = Vec::new();
    network.forward_past(images.clone(), Phase::BatchStatistics, &mut |unit, input| {
        fused.push(unit.is_fused(input, Phase::BatchStatistics)?);
        Ok(())
    })?;
    observer.remark(&match (names(&fused, true), names(&fused, false)) {
        (_, None) => "every unit is computed as a whole, by one kernel".to_owned(),
        (None, _) => "every unit is computed block by block".to_owned(),
        (Some(whole), Some(others)) => {
            format!("computed as a whole, by one kernel: {whole}; block by block: {others}")
        }
    });
    observer.remark(&match names(&repeats(network, images)?, false) {
        None => "every unit gives the same bits twice on this device".to_owned(),
        Some(units) => format!(
            "two evaluations of {units} do not give the same bits on this device: states that are reconstructed \
             differ from those of the forward pass by more than rounding"
        ),
    });
    Ok(())
}

/// The units for which `of_units` holds `value`, as messages name them.
fn names(of_units: &[bool], value: bool) -> Option<String> {
    let units = of_units.iter().enumerate().filter(|(_, own)| **own == value);
    let units: Vec<String> = units.map(|(unit, _)| format!("unit {unit}")).collect();
    (!units.is_empty()).then(|| units.join(", "))
}
