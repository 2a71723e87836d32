//! Class-balanced subsets.

use palinode::random::{Generator, Purpose};

/// A share `fraction` of `indices`, the same of every class; at least one image of each.
///
/// In each class a seeded shuffle decides; ⌊fraction·count + ½⌋ images stay. Of two fractions of one
/// seed the smaller subset is part of the larger. The result is in ascending order.
pub fn subset(labels: &[u8], indices: &[usize], fraction: f64, seed: u64) -> Vec<usize> {
    if fraction >= 1.0 {
        return indices.to_vec();
    }
    let mut generator = Generator::new(seed, Purpose::Subset);
    let mut chosen = Vec::new();
    for class in 0..=u8::MAX {
        let mut own: Vec<usize> =
            indices.iter().copied().filter(|&index| labels[index] == class).collect();
        generator.shuffle(&mut own);
        let count = (fraction * own.len() as f64).round() as usize;
        own.truncate(count.max(1));
        chosen.extend(own);
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_nested_and_seeded() {
        let labels: Vec<u8> = (0..1000).map(|i| (i % 7) as u8).collect();
        let indices: Vec<usize> = (0..1000).filter(|i| i % 10 > 0).collect();
        let small = subset(&labels, &indices, 0.05, 3);
        let large = subset(&labels, &indices, 0.4, 3);
        for class in 0..7 {
            let of = |chosen: &[usize]| chosen.iter().filter(|&&i| labels[i] == class).count();
            let expected = |fraction: f64| (of(&indices) as f64 * fraction).round() as usize;
            assert_eq!((of(&small), of(&large)), (expected(0.05), expected(0.4)));
        }
        assert!(small.iter().all(|index| large.contains(index)));
        assert!(large.iter().all(|index| indices.contains(index)));
        assert_ne!(large, subset(&labels, &indices, 0.4, 4));
        assert_eq!(subset(&labels, &indices, 1e-6, 3).len(), 7, "one of each class at least");
        assert_eq!(subset(&labels, &indices, 1.0, 3), indices);
    }
}
