//! `palinode gradients`.

use crate::arrays::{self, read_images};
use crate::options::{Mode, OnDevice, StateOption};
use crate::output::{remark, say};
use anyhow::{Context as _, ensure};
use clap::Args;
use palinode::Context;
use palinode::device::{check_available, read};
use palinode::network::weights::{Array, collect_gradients};
use palinode::network::{Network, Phase, StateKind, Unit, WeightFile, save_arrays};
use palinode::reversible::Watch;
use palinode::tensor::{Int, Tensor, TensorData};
use palinode_train::Error;
use palinode_train::train::cross_entropy;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The drift above which a unit is kept in more parts, as in training.
const LARGEST_DRIFT: f64 = 1e-3;

/// Options of `palinode gradients`.
#[derive(Debug, Args)]
pub struct GradientsCommand {
    /// Weight file.
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// float32 `[n, channels, rows, columns]`, already standardised.
    #[arg(long, value_name = "X.npy")]
    input: PathBuf,
    /// int64 `[n]`.
    #[arg(long, value_name = "L.npy")]
    labels: PathBuf,
    /// stored, checkpointed or reversible (default: reversible, where the network has an inverse).
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    #[command(flatten)]
    state: StateOption,
    #[command(flatten)]
    device: OnDevice,
    /// File for the gradients: one array per parameter, under its name, and `input`.
    #[arg(long, value_name = "G.safetensors")]
    out: PathBuf,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl GradientsCommand {
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let file = WeightFile::load(&self.weights)?;
        let device = self.device.open()?.autodiff();
        let mode = self.mode.map_or_else(|| file.config.usual_mode(), Into::into);
        let network = file.network(mode, &device)?.with_context(context)?;
        let (shape, images) = read_images(&self.input, &network)?;
        let (label_shape, labels) = arrays::read::<i64>(&self.labels)?;
        let place = self.labels.display();
        ensure!(
            label_shape == [shape[0]],
            "{place}: shape {label_shape:?}, expected [{}]",
            shape[0]
        );
        let classes = file.data.classes.len();
        if let Some(wrong) = labels.iter().find(|l| !(0..classes as i64).contains(l)) {
            anyhow::bail!("{place}: label {wrong} is not in 0…{}", classes - 1);
        }
        let parameters = file.config.parameter_count().total;
        check_available(
            &device,
            &file.config.step_bytes(parameters, &mode.into(), shape[0])?[1..],
        )?;
        let images = Tensor::<4>::from_data(TensorData::new(images, shape), &device).require_grad();
        let state = self.state.kind.unwrap_or_else(|| StateKind::usual_for(&mode.into()));
        let network = network.with_state(state, images.clone().inner().autodiff())?;
        if state == StateKind::Exact {
            let units = network.units.iter().enumerate();
            let large = units.filter(|(_, unit)| unit.grid().is_none() && unit.scheme().is_exact());
            for (unit, _) in large {
                remark(&format!(
                    "unit {unit} cannot be exact: its states are too large; they are float"
                ));
            }
        }
        let watch = Watch::new();
        let mut network = network.with_watch(Some(&watch));
        let labels: Tensor<1, Int> =
            Tensor::from_data(TensorData::new(labels, [shape[0]]), &device);
        let (value, gradients) = loop {
            let logits = network.forward(images.clone(), Phase::BatchStatistics)?;
            let loss = cross_entropy(logits, labels.clone());
            let value = read(loss.clone())?.into_iter().sum::<f64>();
            if !value.is_finite() {
                let place = format!("gradients of {}", self.input.display());
                return Err(Error::NonFinite { what: "the loss", place }.into());
            }
            let gradients = loss.backward();
            match more_parts(&network, &watch.read(network.units.len())?)? {
                None => break (value, gradients),
                Some(parts) => network = network.with_parts(&parts)?,
            }
        };
        let mut arrays = collect_gradients(&network, &gradients);
        let input = images.grad(&gradients);
        let input = input.context("the backward pass gave no gradient of the input")?;
        let values = input.into_data().try_into_vec::<f32>()?;
        arrays.insert("input".to_owned(), Array { shape: shape.to_vec(), values });
        let infinite = |array: &Array| array.values.iter().any(|value| !value.is_finite());
        if let Some((name, _)) = arrays.iter().find(|(_, array)| infinite(array)) {
            let place = format!("`{name}`, from {}", self.input.display());
            return Err(Error::NonFinite { what: "a gradient", place }.into());
        }
        save_arrays(&self.out, &arrays, &BTreeMap::new())?;
        if self.json {
            say!("{}", json!({ "loss": value }))?;
        } else {
            say!("loss {value:.6}, gradients in {}", self.out.display())?;
        }
        Ok(())
    }
}

/// Twice as many parts for units whose state came back changed, which is said; `None` if there is none.
///
/// # Errors
/// [`Error::Drift`] if such a unit is kept after every block already.
fn more_parts(network: &Network, drifts: &[f64]) -> Result<Option<Vec<usize>>, Error> {
    let mut parts: Vec<usize> = network.units.iter().map(Unit::parts).collect();
    let drifting = drifts.iter().copied().enumerate().filter(|(_, drift)| *drift > LARGEST_DRIFT);
    let drifting: Vec<(usize, f64)> = drifting.collect();
    for &(unit, drift) in &drifting {
        let most = (2 * parts[unit]).min(network.units[unit].blocks());
        if most == parts[unit] {
            return Err(Error::state_drift(unit, drift, "kept after every block".to_owned()));
        }
        remark(&format!(
            "unit {unit}: the state that came back differs by {drift:.1e} from that of the forward pass; it is kept in \
             {most} parts"
        ));
        parts[unit] = most;
    }
    Ok((!drifting.is_empty()).then_some(parts))
}
