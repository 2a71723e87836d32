//! `palinode bench convolutions`.

use super::timing::{Repeats, Seconds};
use crate::output::say;
use clap::Args;
use palinode::Context;
use palinode::reversible::Precision;
use palinode_train::bench::ConvolutionStack;
use serde_json::json;

/// Options of `palinode bench convolutions`.
#[derive(Debug, Args)]
pub struct Convolutions {
    /// What is timed, and how often.
    #[command(flatten)]
    repeats: Repeats,
}

impl Convolutions {
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let Repeats { batch_size, warm_up, repeats, seed, json } = self.repeats;
        let stack = ConvolutionStack::new(batch_size, seed, context);
        let times = (0..warm_up + repeats).map(|_| stack.step()).skip(warm_up);
        let seconds = Seconds::of(times.collect());
        let threads = context.threads();
        let isa = context.isa().for_gradients(Precision::F32);
        let gflops = stack.operations() / seconds.median / 1e9;
        let images_per_second = batch_size as f64 / seconds.median;
        if json {
            let figures = json!({
                "batch_size": batch_size,
                "threads": threads,
                "isa": isa,
                "seconds": seconds,
                "images_per_second": images_per_second,
                "gflops": gflops,
            });
            say!("{figures}")?;
            return Ok(());
        }
        say!("the 31 convolutions of resnet-32, batch {batch_size}, {threads} threads, {isa}")?;
        say!("step      {seconds}, {images_per_second:.1} images/s")?;
        say!("rate      {gflops:.0} GF/s as if computed directly")?;
        Ok(())
    }
}
