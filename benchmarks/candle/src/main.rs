//! Times a whole candle training step of a report-layout Hamiltonian network on the CPU.
//!
//! The network and the step are those of `pytorch_step.py`: plain autograd in f32, which is what candle
//! offers. Prints one JSON object.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::loss::cross_entropy;
use clap::Parser;
use std::time::Instant;

const STEP: f64 = 0.1;
const CLASSES: usize = 10;

#[derive(Parser)]
#[command(args_override_self = true)]
struct Arguments {
    /// Blocks per unit.
    #[arg(long, default_value_t = 18)]
    blocks: usize,
    #[arg(long, num_args = 3, default_values_t = [32, 64, 128])]
    widths: Vec<usize>,
    #[arg(long, default_value_t = 128)]
    batch_size: usize,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[arg(long, default_value_t = 1)]
    warm_up: usize,
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// Instead of a timing, the relative error of one weight's gradient against a difference quotient.
    #[arg(long)]
    check: bool,
}

/// A 3×3 convolution's weights.
struct Convolution {
    kernel: Var,
    bias: Var,
}

impl Convolution {
    fn new(inputs: usize, outputs: usize) -> Result<Self> {
        let deviation = (2.0 / (9 * inputs) as f64).sqrt();
        let kernel =
            Var::randn_f64(0.0, deviation, (outputs, inputs, 3, 3), DType::F32, &Device::Cpu)?;
        Ok(Self { kernel, bias: Var::zeros(outputs, DType::F32, &Device::Cpu)? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.reshape((1, (), 1, 1))?;
        x.conv2d(&self.kernel, 1, 1, 1, 1)?.broadcast_add(&bias)
    }

    /// Kᵀ·relu(Kx + b).
    fn residual(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x)?.relu()?.conv_transpose2d(&self.kernel, 1, 0, 1, 1)
    }
}

struct Network {
    stem: Convolution,
    /// Both residuals of every block of every unit.
    units: Vec<Vec<[Convolution; 2]>>,
    widths: Vec<usize>,
    weight: Var,
    bias: Var,
}

impl Network {
    fn new(blocks: usize, widths: &[usize]) -> Result<Self> {
        let unit = |width: &usize| {
            let residual = || Convolution::new(width / 2, width / 2);
            (0..blocks).map(|_| Ok([residual()?, residual()?])).collect::<Result<_>>()
        };
        let features = 4 * widths[2];
        let deviation = (1.0 / features as f64).sqrt();
        let shape = (features, CLASSES);
        Ok(Self {
            stem: Convolution::new(3, widths[0])?,
            units: widths.iter().map(unit).collect::<Result<_>>()?,
            widths: widths.to_vec(),
            weight: Var::randn_f64(0.0, deviation, shape, DType::F32, &Device::Cpu)?,
            bias: Var::zeros(CLASSES, DType::F32, &Device::Cpu)?,
        })
    }

    fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let x = self.stem.forward(images)?;
        let half = self.widths[0] / 2;
        let (mut y, mut z) = (x.narrow(1, 0, half)?, x.narrow(1, half, half)?);
        for (index, unit) in self.units.iter().enumerate() {
            if index > 0 {
                let missing = (self.widths[index] - self.widths[index - 1]) / 2;
                let wider = |s: Tensor| s.avg_pool2d(2)?.pad_with_zeros(1, 0, missing);
                (y, z) = (wider(y)?, wider(z)?);
            }
            for [f, g] in unit {
                y = (&y + (f.residual(&z)? * STEP)?)?;
                z = (&z - (g.residual(&y)? * STEP)?)?;
            }
        }
        let x = Tensor::cat(&[y, z], 1)?;
        let pooled = x.avg_pool2d(x.dim(3)? / 2)?.flatten_from(1)?;
        pooled.matmul(&self.weight)?.broadcast_add(&self.bias)
    }

    fn parameters(&self) -> Vec<Var> {
        let residuals = self.units.iter().flatten().flatten();
        let convolutions = residuals.chain([&self.stem]);
        let mut all: Vec<Var> =
            convolutions.flat_map(|of| [of.kernel.clone(), of.bias.clone()]).collect();
        all.extend([self.weight.clone(), self.bias.clone()]);
        all
    }
}

/// Stochastic gradients with momentum 0.9 and weight decay 2e-4.
struct Sgd {
    parameters: Vec<Var>,
    momenta: Vec<Tensor>,
}

impl Sgd {
    fn new(parameters: Vec<Var>) -> Result<Self> {
        let momenta = parameters.iter().map(|of| of.zeros_like()).collect::<Result<_>>()?;
        Ok(Self { parameters, momenta })
    }

    fn step(&mut self, loss: &Tensor) -> Result<()> {
        let gradients = loss.backward()?;
        for (parameter, momentum) in self.parameters.iter().zip(&mut self.momenta) {
            let Some(gradient) = gradients.get(parameter) else { continue };
            let decayed = (gradient + (parameter.as_tensor() * 2e-4)?)?;
            // (Without this the momenta would hold the graphs of all steps.)
            *momentum = ((&*momentum * 0.9)? + decayed)?.detach();
            parameter.set(&(parameter.as_tensor() - (&*momentum * 0.01)?)?.detach())?;
        }
        Ok(())
    }
}

/// The most resident bytes so far.
fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| 1024 * kilobytes)
}

/// The gradient with respect to the stem's largest weight against a central difference.
fn check(network: &Network, images: &Tensor, labels: &Tensor) -> Result<f64> {
    let loss = || cross_entropy(&network.forward(images)?, labels);
    let kernel = &network.stem.kernel;
    let gradients = loss()?.backward()?;
    let gradient = gradients.get(kernel).expect("the stem takes part").flatten_all()?;
    let values: Vec<f32> = gradient.to_vec1()?;
    let largest = (0..values.len()).max_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()));
    let largest = largest.expect("a kernel has weights");
    let start: Vec<f32> = kernel.flatten_all()?.to_vec1()?;
    let shifted = |by: f32| -> Result<f64> {
        let mut moved = start.clone();
        moved[largest] += by;
        kernel.set(&Tensor::from_vec(moved, kernel.shape(), &Device::Cpu)?)?;
        Ok(f64::from(loss()?.to_scalar::<f32>()?))
    };
    let quotient = (shifted(1e-2)? - shifted(-1e-2)?) / 2e-2;
    Ok((quotient / f64::from(values[largest]) - 1.0).abs())
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let threads = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads);
    threads.build_global().map_err(candle_core::Error::wrap)?;
    let network = Network::new(arguments.blocks, &arguments.widths)?;
    let batch = arguments.batch_size;
    let images = Tensor::randn(0.0_f32, 1.0, (batch, 3, 32, 32), &Device::Cpu)?;
    let labels: Vec<u32> = (0..batch).map(|image| (7 * image % CLASSES) as u32).collect();
    let labels = Tensor::from_vec(labels, batch, &Device::Cpu)?;
    if arguments.check {
        println!("{}", serde_json::json!({ "error": check(&network, &images, &labels)? }));
        return Ok(());
    }
    let mut optimizer = Sgd::new(network.parameters())?;
    let mut step = || optimizer.step(&cross_entropy(&network.forward(&images)?, &labels)?);
    for _ in 0..arguments.warm_up {
        step()?;
    }
    let mut seconds = Vec::new();
    for _ in 0..arguments.repeats {
        let began = Instant::now();
        step()?;
        seconds.push(began.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[(seconds.len() - 1) / 2];
    let figures = serde_json::json!({
        "seconds": { "min": seconds[0], "median": median, "max": seconds[seconds.len() - 1] },
        "images_per_second": batch as f64 / median,
        "peak_resident_bytes": peak_resident_bytes(),
    });
    println!("{figures}");
    Ok(())
}
