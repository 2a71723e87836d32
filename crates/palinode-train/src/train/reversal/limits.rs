//! The step size of units against the limit of their schemes.

use crate::error::Result;
use crate::train::state::Run;
use palinode::residual::Residual;
use palinode::scheme::StabilityRegion;

/// Rows and columns that norms of convolutions are taken on. They are then within 1 % of those on larger maps, and cheap
/// enough for every epoch.
const EXTENT: usize = 16;

/// For every unit whose weights allow eigenvalues beyond its scheme's limit, and of which this has not been `said`, its index
/// and what there is to say.
pub(super) fn beyond<R: Residual>(
    run: &Run<R>,
    said: impl Fn(usize) -> bool,
) -> Result<Vec<(usize, String)>> {
    let mut found = Vec::new();
    for (index, unit) in run.network.units.iter().enumerate() {
        if said(index) {
            continue;
        }
        let region = unit.scheme().stability_region();
        let Some(StabilityRegion::ImaginaryAxis(limit)) = region else { continue };
        let size = run.network.config().map_of(index).map(|extent| extent.min(EXTENT));
        let Some(bounds) = unit.frequency_bounds(size)? else { continue };
        let largest = bounds.into_iter().fold(0.0, f64::max);
        if largest > limit {
            let safe = unit.scheme().time_step() * limit / largest;
            found.push((
                index,
                format!(
                    "unit {index}: with these weights |hλ| can reach {largest:.2}, and its scheme is stable below {limit}; \
                     a step up to {safe:.2} would be safe at any image (`palinode analyze stability` measures real images)"
                ),
            ));
        }
    }
    Ok(found)
}
