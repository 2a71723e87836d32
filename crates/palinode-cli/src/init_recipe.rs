//! `palinode init-recipe`.

use crate::output::{say, shown};
use clap::Args;
use palinode::file::write_atomically;
use palinode_train::recipe::TEMPLATE;
use std::path::PathBuf;

/// Options of `palinode init-recipe`.
#[derive(Debug, Args)]
pub struct InitRecipe {
    /// File to write (default: stdout).
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print the result as one line of JSON.
    #[arg(long, requires = "file")]
    json: bool,
}

impl InitRecipe {
    pub fn run(self) -> anyhow::Result<()> {
        let Some(path) = self.file else {
            return say!("{}", TEMPLATE.trim_end());
        };
        anyhow::ensure!(!path.exists(), "{}: exists already", path.display());
        write_atomically(&path, TEMPLATE.as_bytes())?;
        if self.json {
            say!("{}", serde_json::json!({ "recipe": shown(&path) }))?;
        } else {
            say!("recipe: {}", path.display())?;
        }
        Ok(())
    }
}
