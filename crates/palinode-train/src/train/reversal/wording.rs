//! What a run says of drifts.

use crate::train::state::Run;
use palinode::residual::Residual;

/// That the state of a unit came back changed.
pub fn drifts_by<R: Residual>(run: &Run<R>, unit: usize, drift: f64) -> String {
    format!(
        "unit {unit}: the state that came back in {} differs by {drift:.1e} from that of the forward pass",
        place(run)
    )
}

/// Where a run stands, for people.
pub fn place<R: Residual>(run: &Run<R>) -> String {
    format!("epoch {}, step {}", run.position.epoch + 1, run.position.step + 1)
}
