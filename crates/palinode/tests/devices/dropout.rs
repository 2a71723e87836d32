//! Dropout masks have the bits of the CPU's.

use crate::device::device;
use burn::tensor::{DType, Device, Tensor};
use palinode::Context;
use palinode::dropout::Dropout;
use palinode::network::Phase;
use palinode::residual::Pass;

fn dropped(x: Tensor<4>, seed: u64, step: u64, number: u64) -> Vec<u32> {
    let pass = Pass::new(Phase::Training { seed, step }, &Context::new());
    let y = Dropout::new(0.4).numbered(number).forward(x, &pass);
    let values: Vec<f32> = y.into_data().convert::<f32>().try_to_vec().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn masks_are_those_of_the_cpu_for_any_shape_seed_and_place() {
    let Some(device) = device() else { return };
    for shape in [[1, 1, 1, 1], [1, 1, 3, 5], [1, 2, 4, 2], [3, 5, 7, 11], [8, 16, 32, 33]] {
        for (seed, step, number) in [(1, 5, 0), (u64::MAX, 1 << 40, 62), (77, 0, 63)] {
            let x = |device: &Device| Tensor::<4>::full(shape, 1.5, device);
            let (found, truth) = (
                dropped(x(&device), seed, step, number),
                dropped(x(&Device::flex()), seed, step, number),
            );
            let share = truth.iter().filter(|bits| **bits == 0).count();
            assert!(truth.len() < 100 || share > truth.len() / 4, "nothing is dropped");
            assert_eq!(found, truth, "{shape:?}, seed {seed}, step {step}, dropout {number}");
        }
    }
}

#[test]
fn a_transposed_tensor_and_a_half_one_have_the_same_mask() {
    let Some(device) = device() else { return };
    let ones = |device: &Device| Tensor::<4>::ones([2, 6, 4, 5], device);
    let truth = dropped(ones(&Device::flex()).swap_dims(1, 3), 3, 4, 0);
    assert_eq!(dropped(ones(&device).swap_dims(1, 3), 3, 4, 0), truth);
    if device.supports_dtype(DType::F16) {
        let found = dropped(ones(&device).swap_dims(1, 3).cast(DType::F16), 3, 4, 0);
        let same = found.iter().zip(&truth).all(|(found, truth)| (*found == 0) == (*truth == 0));
        assert!(same);
    }
}
