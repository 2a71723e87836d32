//! Time of single convolutions of residual networks: value, input gradient, weight gradient.
//!
//! Run: `cargo run --release -p palinode-kernels --example convolution_speed [BATCH] [REPEATS]`

use palinode_kernels::convolution::Convolution;
use std::hint::black_box;
use std::time::Instant;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|a| a.parse::<usize>().ok());
    let images = arguments.next().unwrap_or(128);
    let repeats = arguments.next().unwrap_or(3);
    // (inputs, outputs, size, kernel, stride): stem, then resnet-32 and inception shapes.
    let shapes = [
        (3, 32, 32, 3, 1),
        (16, 16, 32, 3, 1),
        (16, 32, 32, 3, 2),
        (32, 32, 16, 3, 1),
        (32, 64, 16, 3, 2),
        (64, 64, 8, 3, 1),
        (16, 32, 32, 1, 2),
        (16, 16, 32, 1, 1),
        (32, 8, 16, 1, 1),
        (8, 8, 16, 3, 1),
        (8, 8, 16, 5, 1),
    ];
    for (inputs, outputs, size, kernel, stride) in shapes {
        let padding = [kernel / 2; 2];
        let (size, kernel, stride) = ([size; 2], [kernel; 2], [stride; 2]);
        let shape =
            Convolution { images, inputs, outputs, size, kernel, stride, padding, groups: 1 };
        let Ok(output) = shape.output_size() else { continue };
        let noise = |count: usize| -> Vec<f32> {
            (0..count).map(|i| (i * 7919 % 1009) as f32 / 504.5 - 1.0).collect()
        };
        let x = noise(images * inputs * size[0] * size[1]);
        let gy = noise(images * outputs * output[0] * output[1]);
        let weight = noise(outputs * inputs * kernel[0] * kernel[1]);
        let (mut y, mut gx, mut gw) =
            (vec![0.0; gy.len()], vec![0.0; x.len()], vec![0.0; weight.len()]);
        let mut best = [f64::INFINITY; 3];
        for _ in 0..repeats {
            let mut timed = |which: usize, work: &mut dyn FnMut()| {
                let began = Instant::now();
                work();
                best[which] = best[which].min(began.elapsed().as_secs_f64());
            };
            timed(0, &mut || shape.forward(&x, &weight, None, &mut y));
            timed(1, &mut || shape.input_gradient(&gy, &weight, &mut gx));
            timed(2, &mut || shape.weight_gradient(&x, &gy, &mut gw, None));
            black_box((&y, &gx, &gw));
        }
        let flops = 2.0 * (gy.len() * weight.len() / outputs) as f64;
        let [value, input, weights] = best.map(|seconds| flops / seconds / 1e9);
        println!(
            "{inputs:>3} → {outputs:<3} {0:>2}² {1}×{1}/{2}  GF/s: value {value:4.0}  input gradient \
             {input:4.0}  weight gradient {weights:4.0}  (ms {3:.2} {4:.2} {5:.2})",
            size[0],
            kernel[0],
            stride[0],
            1e3 * best[0],
            1e3 * best[1],
            1e3 * best[2],
        );
    }
}
