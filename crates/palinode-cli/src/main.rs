//! The `palinode` program.
#![forbid(unsafe_code)]

mod arrays;
mod bench;
mod data;
mod eval;
mod experiment;
mod gradients;
mod init_recipe;
mod model;
mod outcome;
mod params;
mod predict;
mod progress;
mod report;
mod train;

use clap::builder::RangedU64ValueParser;
use clap::{Parser, Subcommand};
use palinode::heap::{Heap, give_large_blocks_back};
use palinode::{Context, ContextBuilder, Isa};
use std::process::ExitCode;

/// Counts live bytes, so that reported peaks are measured.
#[global_allocator]
pub(crate) static MEMORY: Heap = Heap::new();

/// Reversible residual networks: train them without storing activations.
#[derive(Debug, Parser)]
#[command(name = "palinode", version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Threads to compute with (default: all cores); results do not depend on it.
    #[arg(long, global = true, value_name = "N", value_parser = at_most(1024))]
    threads: Option<usize>,
    /// Instruction set of the kernels: amx, avx512, avx2, neon or portable (default: the best there is).
    #[arg(long, global = true, value_name = "ISA", value_parser = str::parse::<Isa>)]
    isa: Option<Isa>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a network; without arguments, a small one on the embedded images.
    Train(Box<train::Train>),
    /// Run a list of recipes, subsets and seeds, and write one table and the figures.
    Experiment(experiment::Experiment),
    /// Write the pages of finished runs anew, or one that compares runs.
    Report(report::Report),
    /// Loss and accuracy of a weight file on a data set.
    Eval(eval::Eval),
    /// Classify pictures, a data set or an array.
    Predict(predict::Predict),
    /// Gradients of the mean cross-entropy of one batch, for comparison with other programs.
    Gradients(gradients::GradientsCommand),
    /// Exact parameter counts of a model.
    Params(params::Params),
    /// What a data set holds; download one.
    #[command(subcommand)]
    Data(data::Data),
    /// Measure time and memory.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Write a recipe that shows every setting with its default.
    InitRecipe(init_recipe::InitRecipe),
}

/// A positive number, `limit` at the most.
pub(crate) fn at_most(limit: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=limit)
}

fn main() -> ExitCode {
    give_large_blocks_back();
    match Arguments::try_parse() {
        Ok(arguments) => outcome::report(run(arguments)),
        Err(error) => outcome::usage(&error),
    }
}

/// What the command line chooses of the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    /// The instruction set, if one was named.
    pub isa: Option<Isa>,
    threads: Option<usize>,
}

impl Machine {
    /// The threads alone: a recipe may name an instruction set of its own.
    pub fn threads(self) -> ContextBuilder {
        match self.threads {
            Some(threads) => Context::builder().threads(threads),
            None => Context::builder(),
        }
    }

    /// Threads and instruction set.
    pub fn context(self) -> anyhow::Result<Context> {
        let builder = match self.isa {
            Some(isa) => self.threads().isa(isa),
            None => self.threads(),
        };
        builder.build().map_err(|error| anyhow::anyhow!("--isa: {error}"))
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let machine = Machine { isa: arguments.isa, threads: arguments.threads };
    // These two make a context for every run, from its recipe.
    match arguments.command {
        Command::Train(command) => command.run(machine),
        Command::Experiment(command) => command.run(machine),
        command => {
            let context = machine.context()?;
            context.install(|| run_on(command, &context))
        }
    }
}

fn run_on(command: Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Train(_) | Command::Experiment(_) => unreachable!("run by `run`"),
        Command::Report(command) => command.run(),
        Command::Eval(command) => command.run(context),
        Command::Predict(command) => command.run(context),
        Command::Gradients(command) => command.run(context),
        Command::Params(command) => command.run(),
        Command::Data(command) => command.run(),
        Command::Bench(command) => command.run(context),
        Command::InitRecipe(command) => command.run(),
    }
}
