//! Records of Burn's autodiff graph that no tensor refers to any more.

use burn::tensor::{Device, Tensor};

/// Frees what the autodiff graph still holds of tensors that have been dropped.
///
/// Burn frees these records at the end of a backward pass. An optimiser replaces every weight after it, so the
/// records of all replaced weights, 0.9 kB each, would stay through the next step, where its peak is. This runs a
/// backward pass through a single number.
pub fn free_orphans() {
    let number = Tensor::<1>::zeros([1], &Device::flex().autodiff()).require_grad();
    drop(number.backward());
}
