//! `palinode bench step`.

use super::timing::{Repeats, Seconds};
use crate::allocator::{meter_of, resident_bytes};
use crate::options::{ImageSize, InType, Mode, Model, OnDevice, StateOption};
use crate::output::say;
use clap::Args;
use palinode::device::DeviceName;
use palinode::network::{StateKind, Variant};
use palinode::precision::NumberType;
use palinode::ranks::Group;
use palinode::reversible::{Algorithm, Differentiation, Precision};
use palinode::{Context, Isa, Microbatches, NormStatistics};
use palinode_train::bench::{PeakBytes, StepBench, StepPlan, measured_peak};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// Options of `palinode bench step`.
#[derive(Debug, Args)]
pub struct Step {
    #[command(flatten)]
    model: Model,
    /// Blocks per unit, instead of the model's.
    #[arg(long, value_name = "N")]
    blocks: Option<usize>,
    #[command(flatten)]
    size: ImageSize,
    /// How units are differentiated (default: reversible, where the model has an inverse).
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// How the kernels compute 3×3 convolutions: winograd-4x4, winograd-2x2 or direct (default: the
    /// quickest).
    #[arg(long)]
    algorithm: Option<Algorithm>,
    /// What the factors of the products for gradients are rounded to: f32 or bf16.
    #[arg(long, value_name = "PRECISION", default_value_t)]
    gradients: Precision,
    /// Micro-batches that sums over the images of a batch are divided into, as for several machines: 1, 2, 4, …
    #[arg(long, value_name = "N", value_parser = microbatches)]
    microbatches: Option<Microbatches>,
    /// Which images batch norms take mean and variance over: batch or microbatch (default: batch).
    #[arg(long, value_name = "IMAGES", requires = "microbatches")]
    norm_statistics: Option<NormStatistics>,
    #[command(flatten)]
    device: OnDevice,
    #[command(flatten)]
    number_type: InType,
    #[command(flatten)]
    state: StateOption,
    /// Let the messages between ranks arrive so many microseconds later, as in a slower network.
    #[arg(long, value_name = "N")]
    link_delay: Option<u64>,
    /// Do not compare the states that come back with those of the forward pass, as training does.
    #[arg(long)]
    no_watch: bool,
    /// What is timed, and how often.
    #[command(flatten)]
    repeats: Repeats,
}

/// A number of micro-batches.
fn microbatches(text: &str) -> anyhow::Result<Microbatches> {
    Ok(Microbatches::new(text.parse()?)?)
}

/// How the first of several ranks worked together with the others: means of all timed steps.
#[derive(Serialize)]
struct Together {
    count: usize,
    /// Bytes that it sent, gradients and sums that the computation waits for.
    gradient_bytes: f64,
    sum_bytes: f64,
    messages: f64,
    /// How long gradients were under way, and how long it waited for them.
    sending_seconds: f64,
    waited_for_gradients: f64,
    /// How long it waited for sums, and with that for slower ranks.
    waited_for_sums: f64,
    /// The part of the time of gradients under way that it did not wait for them.
    overlapped: Option<f64>,
}

impl Together {
    fn of(group: &Group, steps: usize) -> Self {
        let traffic = group.traffic();
        let each = |whole: f64| whole / steps.max(1) as f64;
        let seconds = |time: Duration| each(time.as_secs_f64());
        Self {
            count: group.count(),
            gradient_bytes: each(traffic.gradient_bytes as f64),
            sum_bytes: each(traffic.sum_bytes as f64),
            messages: each(traffic.messages as f64),
            sending_seconds: seconds(traffic.sending),
            waited_for_gradients: seconds(traffic.waiting_for_gradients),
            waited_for_sums: seconds(traffic.waiting_for_sums),
            overlapped: traffic.overlapped(),
        }
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Figures {
    model: String,
    variant: Variant,
    blocks: usize,
    batch_size: usize,
    threads: usize,
    mode: Differentiation,
    isa: Isa,
    gradients: Precision,
    device: DeviceName,
    /// What the residuals are evaluated in.
    precision: NumberType,
    state: StateKind,
    seconds: Seconds,
    /// How several ranks that share the batch work together, as seen from the first.
    ranks: Option<Together>,
    images_per_second: f64,
    /// Operations of this process's convolutions as if computed directly, divided by the median time.
    gflops: f64,
    /// The speed that all threads reach together on numbers in registers; on the CPU only.
    peak_gflops: Option<f64>,
    /// The first divided by the second.
    share_of_peak: Option<f64>,
    peak_bytes: PeakBytes,
    /// The part of `activations` that the norms inside reversible blocks keep: their batch statistics.
    side_state_bytes: usize,
    /// The most resident bytes of the process, and how much more that is than before the network was
    /// made: what the operating system sees of `peak_bytes.total`.
    peak_resident_bytes: Option<u64>,
    resident_rise_bytes: Option<u64>,
    /// Seconds of the step of median time; on the CPU only, as other devices work behind the program's back.
    parts: serde_json::Map<String, serde_json::Value>,
}

impl Step {
    /// How much later the messages between ranks are to arrive.
    pub fn link_delay(&self) -> Duration {
        Duration::from_micros(self.link_delay.unwrap_or(0))
    }

    pub fn run(self, context: &Context, group: Option<Arc<Group>>) -> anyhow::Result<()> {
        if self.link_delay.is_some() && group.is_none() {
            anyhow::bail!("--link-delay: there is one rank alone, which sends no messages");
        }
        let is_first = group.as_ref().is_none_or(|group| group.rank() == 0);
        let figures = self.measure(context, group)?;
        match (is_first, self.repeats.json) {
            (false, _) => Ok(()),
            (true, true) => say!("{}", serde_json::to_string(&figures)?),
            (true, false) => figures.print(),
        }
    }

    fn measure(&self, context: &Context, group: Option<Arc<Group>>) -> anyhow::Result<Figures> {
        let context = context.with_microbatches(self.microbatches);
        let context = &context.with_norm_statistics(self.norm_statistics.unwrap_or_default());
        let mut config = self.model.config()?;
        if let Some(blocks) = self.blocks {
            config.blocks.fill(blocks);
        }
        config.size = self.size.extents;
        let mode = self.mode.map_or_else(|| config.usual_mode(), Into::into);
        let Repeats { batch_size, mut warm_up, repeats, seed, .. } = self.repeats;
        // The first two steps on a device also measure its memory.
        if !self.device.is_cpu() {
            warm_up = warm_up.max(2);
        }
        // Code, threads and tables that belong to the process: they are there before the clock and the
        // meters count.
        let mut small = config.clone();
        small.blocks.fill(1);
        let device = self.device.open()?;
        let meter = meter_of(&device);
        let precision = self.number_type.precision;
        let state = self.state.kind.unwrap_or_else(|| StateKind::usual_for(&mode.into()));
        let (state_kind, watched) = (Some(state), !self.no_watch);
        let plan = StepPlan {
            modes: mode.into(),
            batch_size: 1,
            seed,
            device,
            precision,
            state: state_kind,
            watched,
            group: None,
        };
        StepBench::new(&small, &plan, meter.as_ref(), context)?.step()?;
        let resident_before = resident_bytes();
        let plan = StepPlan { batch_size, group: group.clone(), ..plan };
        let mut bench = StepBench::new(&config, &plan, meter.as_ref(), context)?;
        for _ in 0..warm_up {
            bench = bench.step()?.0;
        }
        // What was sent so far does not count.
        if let Some(group) = &group {
            group.traffic();
        }
        let mut steps = Vec::with_capacity(repeats);
        for _ in 0..repeats {
            let (next, step) = bench.step()?;
            bench = next;
            steps.push(step);
        }
        let together = group.map(|group| Together::of(&group, repeats));
        let resident = resident_bytes();
        drop(bench);
        steps.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let last = &steps[steps.len() - 1];
        let middle = &steps[(steps.len() - 1) / 2];
        let seconds = Seconds::of(steps.iter().map(|step| step.seconds).collect());
        let median = seconds.median;
        // Forward, twice as much backward, and the units once more to reconstruct their states.
        let passes = if mode == Differentiation::Stored { 3.0 } else { 4.0 };
        let images = batch_size as f64 / together.as_ref().map_or(1, |ranks| ranks.count) as f64;
        let operations = config.forward_operations() as f64 * images * passes;
        let on_cpu = self.device.is_cpu();
        let peak = on_cpu.then(|| measured_peak(context));
        let parts = middle.parts.iter().filter(|_| on_cpu);
        Ok(Figures {
            model: self.model.name.clone(),
            variant: self.model.variant,
            blocks: config.blocks[0],
            batch_size,
            threads: context.threads(),
            mode,
            isa: context.isa().for_gradients(self.gradients),
            gradients: self.gradients,
            device: self.device.name.unwrap_or_default(),
            precision,
            state,
            seconds,
            ranks: together,
            images_per_second: batch_size as f64 / median,
            gflops: operations / median / 1e9,
            peak_gflops: peak.map(|peak| peak / 1e9),
            share_of_peak: peak.map(|peak| operations / median / peak),
            peak_bytes: last.peak_bytes,
            side_state_bytes: last.side_state,
            peak_resident_bytes: resident.map(|(_, peak)| peak),
            resident_rise_bytes: resident
                .zip(resident_before)
                .map(|((_, peak), (before, _))| peak.saturating_sub(before)),
            parts: parts.map(|(name, seconds)| ((*name).to_owned(), (*seconds).into())).collect(),
        })
    }
}

impl Figures {
    fn print(&self) -> anyhow::Result<()> {
        say!(
            "{}, {} blocks per unit, batch {}, {}, {} states, {}",
            self.model,
            self.blocks,
            self.batch_size,
            self.mode.name(),
            self.state.name(),
            match self.peak_gflops {
                Some(_) => format!(
                    "{} threads, {}, gradients in {}",
                    self.threads, self.isa, self.gradients
                ),
                None => format!("{}, residuals in {}", self.device, self.precision.name()),
            },
        )?;
        let median = self.seconds.median;
        say!("step      {}, {:.1} images/s", self.seconds, self.images_per_second)?;
        if let Some(ranks) = &self.ranks {
            say!(
                "ranks     {}; the first one sends {:.2} MB of gradients and {:.3} MB of sums a step, and waits \
                 {:.1} ms and {:.1} ms for them; {:.0} % of the sending of gradients is overlapped",
                ranks.count,
                ranks.gradient_bytes / 1e6,
                ranks.sum_bytes / 1e6,
                1e3 * ranks.waited_for_gradients,
                1e3 * ranks.waited_for_sums,
                100.0 * ranks.overlapped.unwrap_or(0.0),
            )?;
        }
        let share = self.share_of_peak.zip(self.peak_gflops).map(|(share, peak)| {
            format!(": {:.0} % of the {peak:.0} GF/s of this machine", 100.0 * share)
        });
        say!(
            "rate      {:.0} GF/s as if computed directly{}",
            self.gflops,
            share.unwrap_or_default()
        )?;
        for (name, seconds) in &self.parts {
            let seconds = seconds.as_f64().unwrap_or(f64::NAN);
            say!("  {name:<13} {seconds:.4} s  {:4.1} %", 100.0 * seconds / median)?;
        }
        let megabytes = |bytes: usize| bytes as f64 / 1e6;
        let bytes = &self.peak_bytes;
        say!(
            "peak      {:.1} MB: activations {:.1}, workspace {:.1}, parameters, gradients and momentum {:.1} each",
            megabytes(bytes.total),
            megabytes(bytes.activations),
            megabytes(bytes.workspace),
            megabytes(bytes.parameters),
        )?;
        if self.side_state_bytes > 0 {
            say!(
                "kept      {:.3} MB of the activations are batch statistics inside blocks",
                megabytes(self.side_state_bytes),
            )?;
        }
        Ok(())
    }
}
