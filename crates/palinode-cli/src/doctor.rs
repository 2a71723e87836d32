//! `palinode doctor`.

use crate::output::{plain, say, shown};
use clap::Args;
use palinode::device::{DeviceInfo, Runtime, devices};
use palinode::memory::available_bytes;
use palinode::{Context, Isa};
use palinode_train::data::SourceName;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Options of `palinode doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Directory that runs are to be written to.
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let sets: Vec<&str> =
            Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(Isa::name).collect();
        let found: Vec<(&str, PathBuf)> = SourceName::ALL
            .into_iter()
            .filter_map(|source| Some((source.name(), source.installed()?)))
            .collect();
        let refusal = refusal(&self.directory);
        let devices = devices();
        if self.json {
            let data: serde_json::Map<_, _> = found
                .iter()
                .map(|(name, directory)| ((*name).to_owned(), json!(shown(directory))))
                .collect();
            return say!(
                "{}",
                json!({
                    "version": env!("CARGO_PKG_VERSION"),
                    "instruction_sets": sets,
                    "isa": context.isa(),
                    "threads": context.threads(),
                    "available_bytes": available_bytes(),
                    "devices": devices.iter().map(as_json).collect::<Vec<_>>(),
                    "data": data,
                    "directory": shown(&self.directory),
                    "writable": refusal.is_none(),
                })
            );
        }
        say!("palinode {}", env!("CARGO_PKG_VERSION"))?;
        say!("instruction sets  {} (in use: {})", sets.join(", "), context.isa())?;
        say!("threads           {}", context.threads())?;
        match available_bytes() {
            Some(bytes) => say!("free memory       {:.0} MB", bytes as f64 / 1e6)?,
            None => say!("free memory       unknown")?,
        }
        for (number, device) in devices.iter().enumerate() {
            let label = if number == 0 { "devices" } else { "" };
            say!("{label:<17} {}", in_words(device))?;
        }
        let missing: Vec<&str> =
            Runtime::ALL.into_iter().filter(|r| !r.is_built()).map(Runtime::name).collect();
        if !missing.is_empty() {
            say!("                  (built without {})", missing.join(", "))?;
        }
        say!("data              fashion-mnist-mini: in the program")?;
        for (name, directory) in &found {
            say!("                  {name}: in {}", plain(&shown(directory)))?;
        }
        let directory = plain(&shown(&self.directory));
        match refusal {
            None => say!("directory         {directory}: writable"),
            Some(reason) => say!("directory         {directory}: not writable ({reason})"),
        }
    }
}

fn as_json(device: &DeviceInfo) -> serde_json::Value {
    json!({
        "name": device.name,
        "hardware": device.hardware,
        "memory_bytes": device.memory,
        "shared_memory_bytes": device.shared_memory,
        "types": device.types.iter().map(|dtype| dtype.name()).collect::<Vec<_>>(),
    })
}

/// A device in one line.
fn in_words(device: &DeviceInfo) -> String {
    let types: Vec<&str> = device.types.iter().map(|dtype| dtype.name()).collect();
    let memory = device.memory.map(|bytes| format!(", {:.0} MB", bytes as f64 / 1e6));
    let shared = device.shared_memory.map(|b| format!(", {} KB shared", b / 1024));
    format!(
        "{device}: {}{}{}",
        types.join(", "),
        memory.unwrap_or_else(|| ", memory unknown".to_owned()),
        shared.unwrap_or_default()
    )
}

/// Why nothing can be written to a directory, or to where it would be made.
fn refusal(directory: &Path) -> Option<String> {
    let existing = directory.ancestors().find(|path| path.exists());
    let existing = existing.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let probe = existing.join(format!(".palinode-doctor-{}.tmp", std::process::id()));
    let written = std::fs::write(&probe, b"probe");
    // It may have been made without its content, on a full disk.
    let removed = std::fs::remove_file(&probe);
    written.and(removed).err().map(|error| error.to_string())
}
