//! What fits into a given memory.

use super::MemoryModel;
use crate::error::Result;
use crate::network::modes::Modes;
use crate::reversible::Differentiation;

/// No larger batch is looked for.
const MOST_IMAGES: usize = 1 << 24;

impl MemoryModel {
    /// The modes with which a step on `batch` images takes no more than `bytes`: those of the fewest evaluations that are
    /// found by giving up the stored activations of one unit after the other, the largest first. `None` if no modes
    /// are enough.
    ///
    /// # Errors
    /// As [`peak`](Self::peak).
    pub fn modes_within(&self, bytes: u64, batch: usize) -> Result<Option<Modes>> {
        let thrifty = self.config.thrifty_mode();
        let (mut modes, mut stored) = (Vec::new(), Vec::new());
        for unit in 0..self.units.len() {
            // What the kernels compute as a whole is quickest where nothing is stored.
            let whole = thrifty == Differentiation::Reversible
                && self.scratch_of_unit(unit, batch)?.is_some();
            if whole {
                modes.push(thrifty);
            } else {
                modes.push(Differentiation::Stored);
                stored.push(unit);
            }
        }
        let bytes_of = |&unit: &usize| self.blocks_kept(unit, Differentiation::Stored, batch);
        stored.sort_by(|a, b| bytes_of(a).total_cmp(&bytes_of(b)));
        loop {
            let found = Modes::from(modes.clone());
            if self.peak(&found, batch)?.total() <= bytes {
                return Ok(Some(found));
            }
            let Some(unit) = stored.pop() else { return Ok(None) };
            modes[unit] = thrifty;
        }
    }

    /// The most images with which a step takes no more than `bytes`, in the modes that need the least memory; 0 if not
    /// even one fits.
    ///
    /// # Errors
    /// As [`peak`](Self::peak).
    pub fn largest_batch(&self, bytes: u64) -> Result<usize> {
        let thrifty = Modes::Same(self.config.thrifty_mode());
        let fits = |batch| self.peak(&thrifty, batch).map(|peak| peak.total() <= bytes);
        let (mut fitting, mut too_many) = (0, 1);
        while fits(too_many)? {
            if too_many >= MOST_IMAGES {
                return Ok(too_many);
            }
            (fitting, too_many) = (too_many, 2 * too_many);
        }
        while too_many - fitting > 1 {
            let middle = usize::midpoint(fitting, too_many);
            if fits(middle)? { fitting = middle } else { too_many = middle }
        }
        Ok(fitting)
    }
}
