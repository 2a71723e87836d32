//! What the command line chooses of the machine: instruction set and threads.

use palinode::{Context, ContextBuilder, Isa};

/// What the command line chooses of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// The instruction set, if one was named.
    pub isa: Option<Isa>,
    threads: Option<usize>,
}

impl Machine {
    /// The choices of the options `--isa` and `--threads`.
    pub fn new(isa: Option<Isa>, threads: Option<usize>) -> Self {
        Self { isa, threads }
    }

    /// The threads alone, because a recipe may name its own instruction set.
    pub fn threads(self) -> ContextBuilder {
        match self.threads {
            Some(threads) => Context::builder().threads(threads),
            None => Context::builder(),
        }
    }

    /// Runs a sub-command on the threads and the instruction set.
    pub fn run(
        self,
        command: impl FnOnce(&Context) -> anyhow::Result<()> + Send,
    ) -> anyhow::Result<()> {
        let context = self.context()?;
        context.install(|| command(&context))
    }

    fn context(self) -> anyhow::Result<Context> {
        let builder = match self.isa {
            Some(isa) => self.threads().isa(isa),
            None => self.threads(),
        };
        builder.build().map_err(|error| anyhow::anyhow!("--isa: {error}"))
    }
}
