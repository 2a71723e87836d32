//! The grids of the units' states over a run.

use super::sample::sample;
use super::wording::drifts_by;
use crate::error::Result;
use crate::recipe::TrainingRecipe;
use crate::train::observer::Observer;
use crate::train::state::Run;
use crate::train::training_data::TrainingData;
use burn::tensor::Device;
use palinode::check::repeats;
use palinode::network::{Network, StateKind};
use palinode::residual::Residual;
use palinode::scheme::Grid;

/// Training images that grids are chosen on, if a batch has so many. They are not augmented.
const IMAGES: usize = 64;

/// A network at the beginning of a run, with the states that the settings ask for.
pub fn with_states<R: Residual>(
    network: Network<R>,
    training: &TrainingRecipe,
    data: &TrainingData,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Network<R>> {
    let kind = training.state.unwrap_or_else(|| StateKind::usual_for(&network.modes()));
    if kind == StateKind::Float {
        return Ok(network);
    }
    let Some(batch) = sample(data, IMAGES.min(training.batch_size), device)? else {
        return Ok(network);
    };
    let repeated = repeats(&network, batch.images.clone())?;
    let network = network.with_state(kind, batch.images)?;
    let mut grids = network.grids();
    for (unit, (grid, repeats)) in grids.iter_mut().zip(repeated).enumerate() {
        let scheme = network.units[unit].scheme();
        let reason = match (scheme.is_exact(), repeats, &grid) {
            (true, true, Some(_)) => continue,
            // A scheme without an inverse has nothing to bring back.
            (false, ..) if !scheme.is_reversible() => continue,
            (false, ..) => "its scheme does not only add",
            (true, false, _) => "its residuals do not give the same bits twice",
            (true, true, None) => "its states are too large",
        };
        observer.remark(&format!("unit {unit} cannot be exact: {reason}; its states are float"));
        *grid = None;
    }
    Ok(network.with_grids(&grids)?)
}

/// How far apart the numbers of a grid are, and how far they reach, for people.
fn described(grid: Option<Grid>) -> String {
    match grid {
        Some(grid) => {
            format!("multiples of {:.1e}, exact up to ±{}", grid.spacing(), grid.range())
        }
        None => "float".to_owned(),
    }
}

/// Gives units coarser grids whose states come within a factor of two of the end of theirs. A unit whose states are
/// too large for any grid has none from now on.
pub fn widen<R: Residual>(run: &mut Run<R>, observer: &mut dyn Observer) -> Result<()> {
    let mut grids = run.network.grids();
    if grids.iter().all(Option::is_none) {
        return Ok(());
    }
    let images = IMAGES.min(run.settings.training.batch_size);
    let Some(batch) = sample(&run.data, images, &run.device())? else { return Ok(()) };
    let largest = run.network.largest_states(batch.images)?;
    for (unit, (grid, largest)) in grids.iter_mut().zip(largest).enumerate() {
        let Some(own) = *grid else { continue };
        if 2.0 * largest > f64::from(own.range()) {
            *grid = Grid::for_states(largest);
            observer.remark(&format!(
                "unit {unit}: states have grown to {largest:.3}; they are {} from now on",
                described(*grid)
            ));
        }
    }
    set(run, &grids)
}

/// Gives a unit a coarser grid whose state has not come back to the bit, from the next step on.
pub fn coarsen<R: Residual>(
    run: &mut Run<R>,
    drifts: &[f64],
    observer: &mut dyn Observer,
) -> Result<()> {
    let mut grids = run.network.grids();
    for (unit, &drift) in drifts.iter().enumerate().filter(|(_, drift)| **drift > 0.0) {
        let Some(own) = grids.get(unit).copied().flatten() else { continue };
        let coarser = own.coarser();
        observer.remark(&format!(
            "{}; its states are {} from now on",
            drifts_by(run, unit, drift),
            described(coarser)
        ));
        grids[unit] = coarser;
    }
    set(run, &grids)
}

/// Gives the units these grids, from now on and after resuming.
fn set<R: Residual>(run: &mut Run<R>, grids: &[Option<Grid>]) -> Result<()> {
    if grids != run.network.grids() {
        run.position.grids = fractions(grids);
        run.network = run.network.clone().with_grids(grids)?;
    }
    Ok(())
}

/// Grids as a checkpoint holds them: their binary places.
pub fn fractions(grids: &[Option<Grid>]) -> Vec<Option<i32>> {
    grids.iter().map(|grid| grid.map(Grid::fraction)).collect()
}
