//! The `palinode` program.
#![forbid(unsafe_code)]

mod allocator;
mod analyze;
mod arrays;
mod bench;
mod completions;
mod data;
mod doctor;
mod eval;
mod experiment;
mod gradcheck;
mod gradients;
mod init_recipe;
mod job;
mod machine;
mod options;
mod outcome;
mod output;
mod params;
mod plan;
mod predict;
mod progress;
mod report;
mod signals;
mod train;

use clap::{CommandFactory, Parser, Subcommand};
use job::Job;
use machine::Machine;
use options::at_most;
use palinode::Isa;
use palinode::heap::give_large_blocks_back;
use palinode_train::data::DECODER_THREAD;
use signals::Signals;
use std::process::ExitCode;
use std::time::Duration;

/// Reversible residual networks: train them without storing activations.
#[derive(Debug, Parser)]
#[command(name = "palinode", version, propagate_version = true)]
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
    /// Write the reports of finished runs again, or one that compares runs.
    Report(report::Report),
    /// Loss and accuracy of a weight file on a data set.
    Eval(eval::Eval),
    /// Classify pictures, a data set or an array.
    Predict(predict::Predict),
    /// Gradients of the mean cross-entropy of one batch, for comparison with other programs.
    Gradients(gradients::GradientsCommand),
    /// Check a network's derivatives, its modes and its reversal; exit code 1 where a check fails.
    Gradcheck(gradcheck::Gradcheck),
    /// Exact parameter counts of a model.
    Params(params::Params),
    /// What fits into memory: the largest batch, and how each unit is differentiated.
    Plan(plan::Plan),
    /// Describe or download a data set.
    #[command(subcommand)]
    Data(data::Data),
    /// Measure the stability of trained networks.
    #[command(subcommand)]
    Analyze(analyze::Analyze),
    /// Measure time and memory.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Write a recipe that shows every setting with its default.
    InitRecipe(init_recipe::InitRecipe),
    /// Say what this program finds on this machine: instruction sets, threads, memory, data sets.
    Doctor(doctor::Doctor),
    /// Print the script that completes commands and options in a shell.
    Completions(completions::Completions),
    /// Print the manual page, for instance to read it with `palinode man | man -l -`.
    Man,
}

fn main() -> ExitCode {
    give_large_blocks_back();
    keep_decoders_quiet();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return outcome::usage(&error),
    };
    let signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return outcome::report(Err(error.into()), 1),
    };
    let job = match &arguments.command {
        Command::Train(_) | Command::Experiment(_) => Job::join(Duration::ZERO),
        Command::Bench(bench) if bench.is_for_ranks() => Job::join(bench.link_delay()),
        _ => Ok(Job::alone()),
    };
    match job {
        Ok(job) => {
            let result = run(arguments, &signals, &job);
            job.leave(result, signals.exit_code())
        }
        Err(error) => outcome::report(Err(error), 1),
    }
}

/// Keeps the panic messages of picture decoders off stderr: such a panic becomes an error that names the file.
fn keep_decoders_quiet() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some(DECODER_THREAD) {
            usual(panic);
        }
    }));
}

fn run(arguments: Arguments, signals: &Signals, job: &Job) -> anyhow::Result<()> {
    let machine = Machine::new(arguments.isa, arguments.threads);
    match arguments.command {
        // These make a context for every run, from its recipe.
        Command::Train(command) => command.run(machine, signals, job),
        Command::Experiment(command) => command.run(machine, signals, job),
        Command::Report(command) => machine.run(|_| command.run()),
        Command::Eval(command) => machine.run(|context| command.run(context)),
        Command::Predict(command) => machine.run(|context| command.run(context)),
        Command::Gradients(command) => machine.run(|context| command.run(context)),
        Command::Gradcheck(command) => machine.run(|context| command.run(context)),
        Command::Analyze(command) => machine.run(|context| command.run(context)),
        Command::Bench(command) => {
            let group = job.group();
            machine.run(|context| command.run(context, group))
        }
        Command::Params(command) => command.run(),
        Command::Plan(command) => machine.run(|context| command.run(context)),
        Command::Data(command) => command.run(),
        Command::InitRecipe(command) => command.run(),
        Command::Doctor(command) => machine.run(|context| command.run(context)),
        Command::Completions(command) => command.run(Arguments::command()),
        Command::Man => completions::man(Arguments::command()),
    }
}
