//! What fits into a given memory.

use super::{MemoryModel, StepPeak};
use crate::error::Result;
use crate::network::modes::Modes;
use crate::reversible::Differentiation;

/// No larger batch is looked for.
const MOST_IMAGES: usize = 1 << 20;

impl MemoryModel {
    /// The modes that a step on `batch` images may use, with its peak in each of them: first those of the fewest
    /// evaluations, last those of the least memory.
    ///
    /// Units that the kernels compute as a whole are always reversible, which is quickest, too. The others begin as
    /// `stored`. One after the other, the largest first, becomes `reversible` where the scheme has an inverse and
    /// `checkpointed` where it has none, if that lowers the peak.
    ///
    /// # Errors
    /// As [`peak`](Self::peak).
    pub fn choices(&self, batch: usize) -> Result<Vec<(Modes, StepPeak)>> {
        let usual = self.config.usual_mode();
        let thrifty = match usual {
            Differentiation::Reversible => Differentiation::Reversible,
            Differentiation::Stored | Differentiation::Checkpointed => {
                Differentiation::Checkpointed
            }
        };
        let (mut modes, mut stored) = (Vec::new(), Vec::new());
        for unit in 0..self.units.len() {
            let whole = usual == Differentiation::Reversible
                && self.scratch_of_unit(unit, batch)?.is_some();
            if whole || self.blocks(unit) == 0 {
                modes.push(usual);
            } else {
                modes.push(Differentiation::Stored);
                stored.push(unit);
            }
        }
        let bytes_of = |&unit: &usize| self.blocks_kept(unit, Differentiation::Stored, batch);
        stored.sort_by(|a, b| bytes_of(b).total_cmp(&bytes_of(a)));
        let of = |modes: &[Differentiation]| {
            let modes = Modes::from(modes.to_vec());
            let peak = self.peak(&modes, batch)?;
            Ok::<_, crate::Error>((modes, peak))
        };
        let mut found = of(&modes)?;
        let mut choices = Vec::new();
        for unit in stored {
            modes[unit] = thrifty;
            let other = of(&modes)?;
            if other.1.total() < found.1.total() {
                choices.push(std::mem::replace(&mut found, other));
            } else {
                modes[unit] = Differentiation::Stored;
            }
        }
        choices.push(found);
        Ok(choices)
    }

    /// The first of the [choices](Self::choices) with which a step on `batch` images takes no more than `bytes`; `None` if
    /// there is none.
    ///
    /// # Errors
    /// As [`peak`](Self::peak).
    pub fn within(&self, bytes: u64, batch: usize) -> Result<Option<(Modes, StepPeak)>> {
        Ok(self.choices(batch)?.into_iter().find(|(_, peak)| peak.total() <= bytes))
    }

    /// The most images, up to a million, with which a step takes no more than `bytes` in the modes of the least memory; 0
    /// if not even one fits.
    ///
    /// # Errors
    /// As [`peak`](Self::peak).
    pub fn largest_batch(&self, bytes: u64) -> Result<usize> {
        let fits = |batch| self.within(bytes, batch).map(|found| found.is_some());
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
