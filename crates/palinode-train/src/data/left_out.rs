//! What a reader of folders left out, and why.

use std::collections::BTreeMap;

/// Folders that remarks name.
const NAMED: usize = 10;

/// Counts by folder and reason.
#[derive(Debug, Default)]
pub(super) struct LeftOut(BTreeMap<String, BTreeMap<String, usize>>);

impl LeftOut {
    /// Counts an entry of the folder `place`. `reason` says what entries like it are.
    pub fn count(&mut self, place: &str, reason: String) {
        *self.0.entry(place.to_owned()).or_default().entry(reason).or_default() += 1;
    }

    /// A sentence for each of the first ten folders, and one for the others.
    pub fn remarks(&self) -> Vec<String> {
        let sum = |reasons: &BTreeMap<String, usize>| reasons.values().sum::<usize>();
        let sentence = |(place, reasons): (&String, &BTreeMap<String, usize>)| {
            let parts: Vec<String> =
                reasons.iter().map(|(reason, count)| format!("{reason}: {count}")).collect();
            format!("{place}: {} left out ({})", sum(reasons), parts.join(", "))
        };
        let mut remarks: Vec<String> = self.0.iter().take(NAMED).map(sentence).collect();
        if self.0.len() > NAMED {
            let others: usize = self.0.values().skip(NAMED).map(sum).sum();
            let folders = self.0.len() - NAMED;
            remarks.push(format!("{others} more left out in {folders} other folders"));
        }
        remarks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_by_folder_and_many_folders_are_summed_up() {
        let mut left_out = LeftOut::default();
        for class in 0..12 {
            let place = format!("train/{class:02}");
            left_out.count(&place, ".txt files".to_owned());
            left_out.count(&place, "folders".to_owned());
            left_out.count(&place, "folders".to_owned());
        }
        let remarks = left_out.remarks();
        assert_eq!(remarks[0], "train/00: 3 left out (.txt files: 1, folders: 2)");
        assert_eq!(remarks[10], "6 more left out in 2 other folders");
        assert_eq!(remarks.len(), 11);
    }
}
