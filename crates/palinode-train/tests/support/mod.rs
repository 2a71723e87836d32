//! What several tests share.
#![allow(dead_code, clippy::unwrap_used)] // every test binary uses a part of this

use burn::tensor::Tensor;
use palinode::Context;
use palinode::ranks::{Group, threads::links};
use palinode_train::Result;
use palinode_train::data::ImageSource;
use palinode_train::train::{Machine, Observer, Progress};
use std::sync::Arc;
use std::thread;

/// A tensor's values as f64.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.inner().into_data().convert::<f64>().try_to_vec().unwrap()
}

/// ‖a − b‖ / ‖b‖; infinite where b is zero, where a number is NaN, or where lengths differ.
pub fn relative(a: &[f64], b: &[f64]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    let size: f64 = b.iter().map(|b| b * b).sum();
    let found = (difference / size).sqrt();
    if size == 0.0 || found.is_nan() { f64::INFINITY } else { found }
}

/// Thirty-two images of noise.
pub struct Noise(Vec<String>);

impl Noise {
    pub fn in_classes(classes: usize) -> Self {
        Self((0..classes).map(|class| class.to_string()).collect())
    }
}

impl ImageSource for Noise {
    fn len(&self) -> usize {
        32
    }
    fn channels(&self) -> usize {
        1
    }
    fn size(&self) -> [usize; 2] {
        [8, 8]
    }
    fn classes(&self) -> &[String] {
        &self.0
    }
    fn label(&self, index: usize) -> usize {
        index % self.0.len()
    }
    fn read(&self, index: usize, into: &mut [u8]) -> Result<()> {
        let mut noise = (index as u32 + 1).wrapping_mul(2_654_435_761);
        for byte in into {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (noise >> 24) as u8;
        }
        Ok(())
    }
}

/// Asks to stop after some steps.
pub struct StopAfter(pub usize);

impl Observer for StopAfter {
    fn step(&mut self, _: &Progress) {
        self.0 = self.0.saturating_sub(1);
    }
    fn stop_requested(&self) -> bool {
        self.0 == 0
    }
}

/// What `work` gives on each of so many ranks.
pub fn on_ranks<T: Send>(ranks: usize, work: impl Fn(Machine) -> T + Sync) -> Vec<T> {
    let groups: Vec<Group> = links(ranks).into_iter().map(|l| Group::new(l).unwrap()).collect();
    thread::scope(|threads| {
        let work = &work;
        let spawn = |group: Group| {
            threads.spawn(move || {
                let machine = Machine::from(Context::builder().threads(1 + group.rank() % 2));
                work(machine.with_group(Some(Arc::new(group))))
            })
        };
        let spawned: Vec<_> = groups.into_iter().map(spawn).collect();
        spawned.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
