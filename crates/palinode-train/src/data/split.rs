//! Splits of a data set: held-out images and class-balanced subsets.

use palinode::random::{Generator, Purpose};

/// Splits image indices in (training, validation), the same fraction of every class.
///
/// A seeded shuffle of each class decides. ⌊fraction·count + ½⌋ images go to validation, but every class
/// keeps at least one image for training. Both lists are in ascending order.
pub fn hold_out(labels: &[usize], fraction: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut generator = Generator::new(seed, Purpose::Split);
    let (mut training, mut validation) = (Vec::new(), Vec::new());
    for mut indices in by_class(labels, 0..labels.len()) {
        generator.shuffle(&mut indices);
        let held_out = (fraction * indices.len() as f64).round() as usize;
        let rest = indices.split_off(held_out.min(indices.len().saturating_sub(1)));
        validation.extend(indices);
        training.extend(rest);
    }
    training.sort_unstable();
    validation.sort_unstable();
    (training, validation)
}

/// A class-balanced subset of `indices`: `fraction` of every class, at least one image of each.
///
/// A seeded shuffle of each class decides. ⌊fraction·count + ½⌋ images stay. For one seed, the subset
/// of a smaller fraction is contained in that of a larger one. The result is in ascending order.
pub fn subset(labels: &[usize], indices: &[usize], fraction: f64, seed: u64) -> Vec<usize> {
    if fraction >= 1.0 {
        return indices.to_vec();
    }
    let mut generator = Generator::new(seed, Purpose::Subset);
    let mut chosen = Vec::new();
    for mut own in by_class(labels, indices.iter().copied()) {
        generator.shuffle(&mut own);
        let count = (fraction * own.len() as f64).round() as usize;
        own.truncate(count.max(1));
        chosen.extend(own);
    }
    chosen.sort_unstable();
    chosen
}

/// `indices` by class, in their order; a class without images has an empty list.
fn by_class(labels: &[usize], indices: impl Iterator<Item = usize>) -> Vec<Vec<usize>> {
    let mut classes = Vec::new();
    for index in indices {
        let label = labels[index];
        if label >= classes.len() {
            classes.resize_with(label + 1, Vec::new);
        }
        classes[label].push(index);
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hold_out_is_stratified_disjoint_complete_and_seeded() {
        let labels: Vec<usize> = (0..1000).map(|i| i % 7).collect();
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

    #[test]
    fn every_class_keeps_an_image_for_training() {
        let (training, validation) = hold_out(&[0, 1, 1, 1, 2, 2], 0.9, 0);
        assert_eq!((training.len(), validation.len()), (3, 3));
        assert!(training.contains(&0), "the only image of a class is trained on");
        assert_eq!(hold_out(&[0, 0, 0, 0], 0.1, 0).1, [0; 0]);
    }

    #[test]
    fn subsets_are_balanced_nested_and_seeded() {
        let labels: Vec<usize> = (0..1000).map(|i| i % 7).collect();
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
