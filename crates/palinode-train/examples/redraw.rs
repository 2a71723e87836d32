//! Draws the pictures of `docs/` again from the CSV files beside them.
//!
//! Run in the repository: `cargo run -p palinode-train --example redraw`
//!
//! The curves of the experiments (`accuracy.svg`, `loss.svg`) need the epochs of every run, which are not
//! kept in the repository. `palinode experiment` draws them.

use palinode::reversible::Differentiation;
use palinode_train::bench::{PeakBytes, StepMeasurement, memory_chart};
use palinode_train::experiment::{accuracy_by_parameters, accuracy_by_subset, read_table};
use palinode_train::report::curves;
use palinode_train::train::read_rows;
use serde::Deserialize;
use std::error::Error;
use std::path::{Path, PathBuf};

/// A line of `memory.csv`, which `palinode bench memory --csv` writes.
#[derive(Deserialize)]
struct Measured {
    blocks: usize,
    layers: usize,
    mode: Differentiation,
    seconds: f64,
    total: usize,
    parameters: usize,
    gradients: usize,
    optimizer: usize,
    activations: usize,
    workspace: usize,
}

impl From<Measured> for StepMeasurement {
    fn from(line: Measured) -> Self {
        Self {
            blocks: line.blocks,
            layers: line.layers,
            mode: line.mode.into(),
            seconds: line.seconds,
            peak_bytes: PeakBytes {
                total: line.total,
                parameters: line.parameters,
                gradients: line.gradients,
                optimizer: line.optimizer,
                activations: line.activations,
                workspace: line.workspace,
            },
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let results = docs.join("results");

    let mut memory = Vec::new();
    for line in csv::Reader::from_path(docs.join("memory.csv"))?.into_deserialize::<Measured>() {
        memory.push(line?.into());
    }
    let title = "Peak memory of a training step: hamiltonian, batch 16";
    write(docs.join("memory.svg"), &memory_chart(title, &memory)?)?;

    let best = results.join("best");
    write(best.join("curves.svg"), &curves(&read_rows(&best.join("metrics.csv"))?)?)?;

    for experiment in ["architectures", "variants"] {
        let folder = results.join(experiment);
        let table = read_table(&folder.join("table.csv"))?;
        write(folder.join("parameters.svg"), &accuracy_by_parameters(&table)?)?;
    }
    let folder = results.join("subsets");
    let table = read_table(&folder.join("table.csv"))?;
    write(folder.join("subsets.svg"), &accuracy_by_subset(&table)?)?;
    Ok(())
}

fn write(path: PathBuf, svg: &str) -> Result<(), Box<dyn Error>> {
    std::fs::write(&path, svg)?;
    println!("{}", path.display());
    Ok(())
}
