//! Classes by their names: two data sets may number the same classes differently.

use super::image_source::{ImageSource, delegated};
use crate::error::{Error, Result};

/// Images whose labels count the classes of another list, matched by name.
#[derive(Clone, Debug)]
pub struct Relabelled<S> {
    source: S,
    classes: Vec<String>,
    /// The new label of every class of the source.
    labels: Vec<usize>,
    remarks: Vec<String>,
}

impl<S: ImageSource> Relabelled<S> {
    /// The images of `source` with labels that count `classes`.
    ///
    /// A class may also be called by a name that a folder can have: `_`, `-` or a space stands for a space or
    /// for a character that file systems do not take, so `T-shirt_top` is `T-shirt/top`. Folders that are
    /// called 0, 1, 2 … stand for the classes in their order. Remarks say what was taken for what.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] about `data`, naming a class that only one of the two has.
    pub fn new(source: S, classes: &[String]) -> Result<Self> {
        let (mut remarks, found) = (source.remarks(), source.classes());
        let labels = match places_of(found, classes) {
            Ok(labels) => {
                let pairs =
                    found.iter().zip(&labels).filter(|(name, label)| **name != classes[**label]);
                let other: Vec<String> = pairs
                    .map(|(name, label)| format!("`{name}` as `{}`", classes[*label]))
                    .collect();
                if !other.is_empty() {
                    let other = other.join(", ");
                    remarks.push(format!("classes were taken by similar names: {other}"));
                }
                labels
            }
            Err(error) => {
                let places = numbers(found)
                    .filter(|places| places.len() == classes.len() && !any_number(classes));
                let Some(places) = places else { return Err(error) };
                remarks.push(format!(
                    "classes 0 to {} were taken as `{}` to `{}`, in this order",
                    classes.len() - 1,
                    classes[0],
                    classes[classes.len() - 1]
                ));
                places
            }
        };
        Ok(Self { source, classes: classes.to_vec(), labels, remarks })
    }
}

impl<S: ImageSource> ImageSource for Relabelled<S> {
    delegated!(|own| own.source => len channels size padding background name listing read);
    fn classes(&self) -> &[String] {
        &self.classes
    }
    fn label(&self, index: usize) -> usize {
        self.labels[self.source.label(index)]
    }
    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }
}

/// For each of the classes `found`, its place in `expected`, by name.
///
/// # Errors
/// [`palinode::Error::Config`] naming a class that only one of the two has.
pub(crate) fn places_of(found: &[String], expected: &[String]) -> Result<Vec<usize>> {
    let place = |name: &String| {
        let same = expected.iter().position(|other| other == name);
        same.or_else(|| {
            let fits = |&place: &usize| is_folder_of(name, &expected[place]);
            let mut similar = (0..expected.len()).filter(fits);
            similar.next().filter(|_| similar.next().is_none())
        })
    };
    let places: Vec<Option<usize>> = found.iter().map(place).collect();
    let quoted = |names: Vec<&String>| {
        let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    let unknown: Vec<&String> = found
        .iter()
        .zip(&places)
        .filter(|(_, place)| place.is_none())
        .map(|(name, _)| name)
        .collect();
    let missing: Vec<&String> = (0..expected.len())
        .filter(|place| !places.contains(&Some(*place)))
        .map(|place| &expected[place])
        .collect();
    let mut reasons = Vec::new();
    if !unknown.is_empty() {
        let verb = if unknown.len() == 1 { "is" } else { "are" };
        reasons.push(format!("{} {verb} not among the expected classes", quoted(unknown)));
    }
    if !missing.is_empty() {
        reasons.push(format!("there is no class {}", quoted(missing)));
    }
    let places: Vec<usize> = places.into_iter().flatten().collect();
    let mut sorted = places.clone();
    sorted.sort_unstable();
    if reasons.is_empty() && sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        reasons.push("two classes of the images have the same name".to_owned());
    }
    match reasons.is_empty() {
        true => Ok(places),
        false => Err(Error::config("classes", reasons.join("; "))),
    }
}

/// Whether a folder called `folder` can stand for the class `class`.
fn is_folder_of(folder: &str, class: &str) -> bool {
    let stands_for = |(found, meant): (char, char)| {
        found == meant || ("_- ".contains(found) && " /\\:*?\"<>|".contains(meant))
    };
    folder.chars().count() == class.chars().count()
        && folder.chars().zip(class.chars()).all(stands_for)
}

/// The numbers that the names are, if they are 0, 1, 2 … in any order.
fn numbers(names: &[String]) -> Option<Vec<usize>> {
    let numbered = (0..names.len()).all(|number| names.contains(&number.to_string()));
    names.iter().map(|name| name.parse().ok().filter(|_| numbered)).collect()
}

/// Whether a name is a number itself, and so means something else than a place.
fn any_number(names: &[String]) -> bool {
    names.iter().any(|name| name.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn labels(found: &[&str], expected: &[&str]) -> Result<Vec<usize>> {
        let labels: Vec<u8> = (0..found.len() as u8).collect();
        let source = Dataset::new(vec![0; found.len()], labels, 1, [1, 1], names(found));
        let source = Relabelled::new(source, &names(expected))?;
        assert_eq!(source.classes(), names(expected));
        Ok((0..source.len()).map(|index| source.label(index)).collect())
    }

    #[test]
    fn classes_are_matched_by_name_in_any_order() {
        assert_eq!(labels(&["dog", "cat"], &["cat", "dog"]).unwrap(), [1, 0]);
        let weights = ["T-shirt/top", "Ankle boot", "T-shirt"];
        assert_eq!(labels(&["Ankle_boot", "T-shirt", "T-shirt_top"], &weights).unwrap(), [1, 2, 0]);
        assert_eq!(labels(&["0", "1", "2"], &weights).unwrap(), [0, 1, 2]);
        assert_eq!(labels(&["2", "0", "1"], &["0", "1", "2"]).unwrap(), [2, 0, 1]);
        let source = Dataset::new(vec![0], vec![0], 1, [1, 1], names(&["a_b", "c"]));
        let remarks = Relabelled::new(source, &names(&["a/b", "c"])).unwrap().remarks();
        assert_eq!(remarks, ["classes were taken by similar names: `a_b` as `a/b`"]);
    }

    #[test]
    fn a_class_that_only_one_has_is_named() {
        let message =
            |found: &[&str], expected: &[&str]| labels(found, expected).unwrap_err().to_string();
        let zcat = message(&["dog", "zcat"], &["cat", "dog"]);
        assert!(zcat.contains("`zcat` is not") && zcat.contains("no class `cat`"), "{zcat}");
        let eel = message(&["cat", "dog", "eel"], &["cat", "dog"]);
        assert!(eel.contains("`eel`") && !eel.contains("`dog`"), "{eel}");
        assert!(message(&["cat"], &["cat", "dog"]).contains("no class `dog`"));
        assert!(message(&["0", "1"], &["cat", "dog", "eel"]).contains("no class `cat`"));
        assert!(message(&["0", "1"], &["1", "2"]).contains("`0` is not"), "numbers are names here");
        assert!(message(&["00", "01"], &["0", "1"]).contains("`00`, `01` are not"));
        assert!(message(&["00", "01"], &["cat", "dog"]).contains("`00`"));
        // Similar is not the same.
        let pairs = [("c#", "c++"), ("-1", "1"), ("Cat", "cat"), ("a", "a/"), ("a_b", "a-b")];
        for (found, expected) in pairs {
            let message = message(&[found, "x"], &[expected, "x"]);
            assert!(message.contains(&format!("`{found}` is not")), "{message}");
        }
        let either = message(&["a_b", "x"], &["a/b", "a:b"]);
        assert!(either.contains("`a_b`"), "two classes could be meant: {either}");
    }
}
