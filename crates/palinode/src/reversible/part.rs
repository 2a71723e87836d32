//! A part of a unit's blocks, as a unit of its own.

use super::blocks::Blocks;
use super::evaluations::UnitSite;
use crate::residual::Residual;
use crate::scheme::{Scheme, Streams, Term, Update};
use std::ops::Range;
use std::sync::Arc;

/// The scheme of some blocks of a unit. Their input and output are states of the unit, packed into one tensor, so that a
/// scheme of one state has two streams here: X_{j−1} and X_j.
#[derive(Debug)]
pub(super) struct Part {
    scheme: Arc<dyn Scheme>,
    /// Which blocks they are.
    blocks: Range<usize>,
}

impl Scheme for Part {
    fn streams(&self) -> Streams {
        Streams::Two
    }

    fn residuals_per_block(&self) -> usize {
        self.scheme.residuals_per_block()
    }

    fn updates(&self, block: usize) -> Vec<Update> {
        let first = self.blocks.start * self.residuals_per_block();
        let own = |term: Term| Term { residual: term.residual.saturating_sub(first), ..term };
        let updates = self.scheme.updates(self.blocks.start + block);
        updates.into_iter().map(|update| update.with_terms(own)).collect()
    }

    fn time_step(&self) -> f64 {
        self.scheme.time_step()
    }

    fn is_exact(&self) -> bool {
        self.scheme.is_exact()
    }

    fn is_reversible(&self) -> bool {
        self.scheme.is_reversible()
    }
}

/// The blocks of a unit in `parts` parts of nearly the same length; as many as there are blocks at most.
pub(super) fn ranges(blocks: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = parts.clamp(1, blocks.max(1));
    (0..parts).map(move |part| blocks * part / parts..blocks * (part + 1) / parts)
}

/// The site and the scheme of a part of `blocks`.
pub(super) fn part<R: Residual>(
    blocks: &Blocks<'_, R>,
    range: Range<usize>,
) -> (UnitSite, Arc<dyn Scheme>) {
    let each = blocks.scheme.residuals_per_block();
    let (first, last) = (range.start * each, range.end * each);
    let survival = blocks.site.survival.get(first..last.min(blocks.site.survival.len()));
    let site = UnitSite {
        first: blocks.site.first + first,
        survival: survival.unwrap_or_default().into(),
        ..blocks.site.clone()
    };
    (site, Arc::new(Part { scheme: Arc::clone(blocks.scheme), blocks: range }))
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn parts_are_nearly_equal_and_make_up_all_blocks() {
        for (blocks, parts) in [(1, 1), (7, 3), (8, 3), (5, 9), (0, 2), (100, 7)] {
            let found: Vec<_> = ranges(blocks, parts).collect();
            assert_eq!(found.first().unwrap().start, 0);
            assert_eq!(found.last().unwrap().end, blocks);
            assert!(found.windows(2).all(|pair| pair[0].end == pair[1].start));
            let lengths: Vec<usize> = found.iter().map(ExactSizeIterator::len).collect();
            let most = lengths.iter().max().unwrap();
            assert!(lengths.iter().all(|length| most - length <= 1), "{lengths:?}");
        }
    }
}
