//! Several threads that differentiate the same network: each has a fork of it.
#![allow(clippy::unwrap_used)]

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use palinode::network::weights::{Arrays, collect_gradients};
use palinode::network::{Network, NetworkConfig, Phase};
use palinode::random::{Generator, Purpose};
use palinode::reversible::Differentiation;
use std::sync::{Arc, Barrier};

const THREADS: usize = 4;

/// The gradients for the batch with this number.
fn gradients(network: &Network, batch: usize, device: &Device) -> Arrays {
    let images: Tensor<4> =
        Generator::new(batch as u64, Purpose::Input).normal([2, 1, 8, 8], 1.0, device);
    let phase = Phase::Training { seed: 3, step: batch as u64 };
    let loss = network.forward(images, phase).unwrap().powi_scalar(2).sum();
    collect_gradients(network, &loss.backward())
}

/// Shared without `fork`, a fresh network hangs inside Burn's graph; see `docs/upstream.md`.
#[test]
fn a_fork_for_every_thread_gives_the_gradients_of_one_thread() {
    let device = Device::flex().autodiff();
    let config = NetworkConfig::named("hamiltonian").unwrap().for_data(1, [8, 8], 3);
    let config = config.with_units([2, 2], [4, 4]);
    for mode in
        [Differentiation::Stored, Differentiation::Checkpointed, Differentiation::Reversible]
    {
        for round in 0..20 {
            let network = config.init(round, mode, &device).unwrap();
            let barrier = Arc::new(Barrier::new(THREADS));
            let work = |batch: usize| {
                let (network, device) = (network.clone().fork(&device), device.clone());
                let barrier = Arc::clone(&barrier);
                std::thread::spawn(move || {
                    barrier.wait();
                    gradients(&network, batch, &device)
                })
            };
            let threads: Vec<_> = (0..THREADS).map(work).collect();
            let found: Vec<Arrays> =
                threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            for (batch, found) in found.iter().enumerate() {
                assert_eq!(*found, gradients(&network, batch, &device), "{mode:?}");
            }
        }
    }
}
