//! A unit in pieces, so that the arrays of its parameters need not be held all at once.

use palinode_kernels::recurrence::{Term, Update};
use std::ops::Range;

/// Blocks that follow each other, with their own residuals.
#[derive(Debug, PartialEq)]
pub struct Piece {
    /// The updates, which count the residuals of the piece from 0.
    pub updates: Vec<Update>,
    /// Which residuals of the unit they are.
    pub residuals: Range<usize>,
}

/// The unit of `updates`, in pieces of at most `most` residuals, if that is possible.
///
/// Every piece but the last evaluates an even number of residuals, so that each begins with the same stream. A unit
/// whose blocks do not take the residuals in their order is one piece.
pub fn pieces(updates: Vec<Update>, residuals: usize, most: usize) -> Vec<Piece> {
    let each = updates.first().map_or(1, |update| update.terms().count());
    let blocks = (most / each).max(2) / 2 * 2;
    let mut found = Vec::new();
    let mut start = 0;
    for chunk in updates.chunks(blocks) {
        let of = |update: &Update| update.terms().map(|term| term.residual);
        let Some(end) = chunk.iter().flat_map(of).max().map(|last| last + 1) else { continue };
        if chunk.iter().flat_map(of).any(|residual| residual < start) {
            return vec![Piece { updates, residuals: 0..residuals }];
        }
        let own = |term: Term| Term { residual: term.residual - start, ..term };
        let updates = chunk.iter().map(|update| update.with_terms(own)).collect();
        found.push(Piece { updates, residuals: start..end });
        start = end;
    }
    // Residuals that no block uses belong to the last piece.
    if let Some(last) = found.last_mut() {
        last.residuals.end = residuals;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use palinode_kernels::recurrence::Drift;

    fn pair(first: usize, second: usize) -> Update {
        Update::TwoStream { first: Term::new(0.1, first), second: Term::new(-0.1, second) }
    }

    #[test]
    fn pieces_have_whole_blocks_and_count_their_residuals_from_zero() {
        let updates: Vec<Update> = (0..5).map(|block| pair(2 * block, 2 * block + 1)).collect();
        let own = |blocks: usize| updates[..blocks].to_vec();
        let found = pieces(updates.clone(), 10, 4);
        let expected = [(2, 0..4), (2, 4..8), (1, 8..10)];
        let expected = expected.map(|(n, residuals)| Piece { updates: own(n), residuals });
        assert_eq!(found, expected);
        let whole = |residuals| vec![Piece { updates: updates.clone(), residuals: 0..residuals }];
        assert_eq!(pieces(updates.clone(), 10, 100), whole(10));
        assert_eq!(pieces(updates.clone(), 11, 100), whole(11));
    }

    #[test]
    fn two_step_pieces_are_even_and_shared_residuals_stay_together() {
        let step = |residual| Update::TwoStep {
            drift: Drift::Extrapolated,
            residual: Term::new(0.1, residual),
        };
        let ranges = |updates: Vec<Update>, most| -> Vec<[usize; 2]> {
            let residuals = updates.len();
            let pieces = pieces(updates, residuals, most).into_iter();
            pieces.map(|Piece { residuals, .. }| [residuals.start, residuals.end]).collect()
        };
        assert_eq!(ranges((0..7).map(step).collect(), 3), [[0, 2], [2, 4], [4, 6], [6, 7]]);
        assert_eq!(ranges((0..4).rev().map(step).collect(), 2), [[0, 4]]);
        assert_eq!(ranges((0..3).map(|block| pair(block, block)).collect(), 4), [[0, 2], [2, 3]]);
    }
}
