//! The training–validation split.

use palinode::random::{Generator, Purpose};

/// Splits image indices in (training, validation), the same share of every class.
///
/// In each class a seeded shuffle decides; ⌊fraction·count + ½⌋ images go to validation. Both lists
/// are in ascending order.
pub fn hold_out(labels: &[u8], fraction: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut generator = Generator::new(seed, Purpose::Split);
    let (mut training, mut validation) = (Vec::new(), Vec::new());
    for class in 0..=u8::MAX {
        let mut indices: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] == class).collect();
        if indices.is_empty() {
            continue;
        }
        generator.shuffle(&mut indices);
        let held_out = (fraction * indices.len() as f64).round() as usize;
        let rest = indices.split_off(held_out.min(indices.len()));
        validation.extend(indices);
        training.extend(rest);
    }
    training.sort_unstable();
    validation.sort_unstable();
    (training, validation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stratified_disjoint_complete_and_seeded() {
        let labels: Vec<u8> = (0..1000).map(|i| (i % 7) as u8).collect();
        let (training, validation) = hold_out(&labels, 0.1, 3);
        assert_eq!(training.len() + validation.len(), 1000);
        for class in 0..7 {
            let all = labels.iter().filter(|&&l| l == class).count();
            let held_out = validation.iter().filter(|&&i| labels[i] == class).count();
            assert_eq!(held_out, (all as f64 * 0.1).round() as usize);
        }
        let mut both = [training.clone(), validation.clone()].concat();
        both.sort_unstable();
        assert_eq!(both, (0..1000).collect::<Vec<_>>());
        assert_eq!((training, validation.clone()), hold_out(&labels, 0.1, 3));
        assert_ne!(validation, hold_out(&labels, 0.1, 4).1);
    }
}
