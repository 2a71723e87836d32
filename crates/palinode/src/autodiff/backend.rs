//! From a device, known when the program runs, to its backend, a type of Burn.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::{Autodiff, Backend, DispatchKindConversion};

/// Tensors of backend `B`, outside a graph and in one that is recorded with strategy `C`.
///
/// [`DispatchTensor`](burn::backend::DispatchTensor) has this for every backend that is compiled in.
pub(crate) trait Holds<B: Backend, C: CheckpointStrategy>:
    DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B, C>>
{
}

impl<T, B: Backend, C: CheckpointStrategy> Holds<B, C> for T where
    T: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B, C>>
{
}

/// `Ok` of an expression in which `$B` names the backend of `$device`, or an
/// [`Error::Backend`](crate::Error::Backend) if the library was built without it.
///
/// All of Burn's GPU runtimes (CUDA, ROCm, Metal, Vulkan, WebGPU) share one backend, `Cube`.
macro_rules! on_backend {
    ($device:expr, $B:ident => $body:expr) => {
        match $device.inner().as_dispatch() {
            burn::backend::DispatchDevice::Flex(_) => {
                type $B = burn::backend::Flex;
                Ok($body)
            }
            #[cfg(feature = "cube")]
            burn::backend::DispatchDevice::Cube(_) => {
                type $B = burn::backend::Cube;
                Ok($body)
            }
            other => Err(crate::error::Error::Backend(format!("{other:?}"))),
        }
    };
}

pub(crate) use on_backend;
