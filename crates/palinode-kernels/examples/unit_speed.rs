//! Time of one reversible training pass (forward and backward) through units of hamiltonian-218.
//!
//! Run: `cargo run --release -p palinode-kernels --example unit_speed [BATCH] [REPEATS] [CHANNELS]`

use palinode_kernels::unit::{State, Step, SymmetricUnit};
use std::hint::black_box;
use std::time::Instant;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|a| a.parse::<usize>().ok());
    let batch = arguments.next().unwrap_or(128);
    let repeats = arguments.next().unwrap_or(3);
    let only = arguments.next();
    let blocks = 6;
    for (channels, size) in [(16, 32), (32, 16), (56, 8), (64, 8)] {
        if only.is_some_and(|only| only != channels) {
            continue;
        }
        let len = batch * channels * size * size;
        let noise = |count: usize, scale: f32| -> Vec<f32> {
            (0..count).map(|i| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) * scale).collect()
        };
        let kernel_len = channels * channels * 9;
        let parameters = noise(2 * blocks * (kernel_len + channels), 0.05);
        let steps: Vec<Step> = (0..blocks)
            .map(|j| Step::TwoStream { first: (0.1, 2 * j), second: (-0.1, 2 * j + 1) })
            .collect();
        let (height, width) = (size, size);
        let (steps, parameters) = (steps.as_slice(), parameters.as_slice());
        let unit = SymmetricUnit { images: batch, channels, height, width, steps, parameters };
        let mut best = [f64::INFINITY; 2];
        for _ in 0..repeats {
            let (mut y, mut z) = (noise(len, 1.0), noise(len, 0.7));
            let (mut gy, mut gz) = (noise(len, 0.3), noise(len, 0.2));
            let began = Instant::now();
            unit.forward(State::Apart(&mut y, &mut z));
            let between = Instant::now();
            let mut gradients = vec![0.0; parameters.len()];
            unit.backward(
                State::Apart(&mut y, &mut z),
                State::Apart(&mut gy, &mut gz),
                &mut gradients,
            );
            let end = Instant::now();
            black_box((&gradients, &y, &gy));
            best[0] = best[0].min((between - began).as_secs_f64());
            best[1] = best[1].min((end - between).as_secs_f64());
        }
        let macs = (4 * blocks * kernel_len * size * size * batch) as f64;
        println!(
            "c {channels:>2} {size:>2}×{size:<2}  forward {:7.1} ms {:5.0} GF/s  backward {:7.1} ms {:5.0} GF/s",
            1e3 * best[0],
            2.0 * macs / best[0] / 1e9,
            1e3 * best[1],
            6.0 * macs / best[1] / 1e9,
        );
    }
}
