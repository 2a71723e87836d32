//! The device under test, and moving modules and tensors to it.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor};
use palinode::device::DeviceName;

/// The device, or `None` with a remark if there is none here.
pub fn device() -> Option<Device> {
    let wanted = std::env::var("PALINODE_DEVICE").ok();
    let name: DeviceName = wanted.as_deref().unwrap_or("wgpu").parse().unwrap();
    match name.open() {
        Ok(device) => Some(device),
        Err(error) if wanted.is_none() => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The same module with its parameters as leaves on `device`.
pub fn moved<M: Module>(module: &M, device: &Device) -> M {
    struct Move<'a>(&'a Device);
    impl ModuleMapper for Move<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, value, _) = param.consume();
            let value = value.inner().to_device(self.0);
            Param::initialized(id, value.autodiff().require_grad())
        }
    }
    module.clone().map(&mut Move(device))
}
