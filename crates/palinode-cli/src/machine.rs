//! Threads and instruction set.

use palinode::{Context, ContextBuilder, Isa};

/// The threads and the instruction set that the command line names.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// The instruction set, if one was named.
    pub isa: Option<Isa>,
    threads: Option<usize>,
}

impl Machine {
    pub fn new(isa: Option<Isa>, threads: Option<usize>) -> Self {
        Self { isa, threads }
    }

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
