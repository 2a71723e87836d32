//! Starting from the weights of another run, and keeping some of them.

use crate::data::places_of;
use crate::error::{Error, Result};
use crate::recipe::{HeadStart, TrainingRecipe};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use palinode::network::weights::{Array, Names, Slot, collect, replace};
use palinode::network::{Network, NetworkConfig, WeightFile, load_arrays};
use palinode::residual::Residual;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What became of the arrays of a weight file that training starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StartReport {
    /// The file.
    pub file: PathBuf,
    /// Arrays of the network that were taken from the file.
    pub taken: Vec<String>,
    /// Arrays of the network that were initialised, and why.
    pub initialised: Vec<(String, String)>,
    /// Arrays of the file that the network has no place for.
    pub unused: Vec<String>,
    /// Settings of the network in which the file differs, and which give the same arrays another meaning.
    pub differences: Vec<String>,
}

/// `network` with the weights of the file that `recipe` starts from; `None` without such a file.
///
/// The classes of a head that is kept are matched by name with `classes`.
pub(super) fn start_from<R: Residual>(
    network: Network<R>,
    recipe: &TrainingRecipe,
    classes: &[String],
) -> Result<(Network<R>, Option<StartReport>)> {
    let Some(file) = &recipe.start else {
        if recipe.head == HeadStart::New {
            let reason = "a new head is for training that starts from a file (training.start)";
            return Err(Error::config("training.head", reason));
        }
        return Ok((network, None));
    };
    let (mut given, metadata) = load_arrays(file)?;
    let mut differences = Vec::new();
    // Other programs may write the arrays alone.
    if metadata.keys().any(|key| key.starts_with("palinode.")) {
        let there = WeightFile::load(file)?;
        check_residual::<R>(&there, file)?;
        differences = different_settings(&there.config, network.config());
        if recipe.head == HeadStart::Kept {
            let order = places_of(classes, &there.data.classes).map_err(|error| {
                let hint = "`training.head = \"new\"` begins with a new one";
                Error::config("training.head", format!("{}: {error}; {hint}", file.display()))
            })?;
            given.iter_mut().filter(|(name, _)| name.starts_with("head.")).for_each(
                |(_, array)| {
                    reorder(array, &order);
                },
            );
        }
    }
    let mut arrays = collect(&network);
    let (mut taken, mut initialised) = (Vec::new(), Vec::new());
    for (name, array) in &mut arrays {
        let found = given.remove(name);
        let is_head = name.starts_with("head.");
        match found {
            Some(_) if is_head && recipe.head == HeadStart::New => {
                initialised.push((name.clone(), "training.head is new".to_owned()));
            }
            Some(found) if found.shape == array.shape => {
                *array = found;
                taken.push(name.clone());
            }
            Some(found) if is_head => {
                let reason = format!(
                    "{name} has shape {:?} in {} and {:?} here; `training.head = \"new\"` begins with a \
                     new one",
                    found.shape,
                    file.display(),
                    array.shape
                );
                return Err(Error::config("training.head", reason));
            }
            Some(found) => {
                let reason = format!("shape {:?} in the file, {:?} here", found.shape, array.shape);
                initialised.push((name.clone(), reason));
            }
            None => initialised.push((name.clone(), "not in the file".to_owned())),
        }
    }
    if taken.is_empty() {
        let reason = format!("no array of {} fits this network", file.display());
        return Err(Error::config("training.start", reason));
    }
    let unused = given.into_keys().collect();
    let report = StartReport { file: file.clone(), taken, initialised, unused, differences };
    Ok((replace(network, &arrays)?, Some(report)))
}

/// Refuses the weights of a network with another residual than `R`.
fn check_residual<R: Residual>(there: &WeightFile, file: &Path) -> Result<()> {
    let Some([found, expected]) = there.residual_mismatch::<R>() else { return Ok(()) };
    let reason = format!(
        "the residual of {} is {found}, that of this network is {expected}",
        file.display()
    );
    Err(Error::config("training.start", reason))
}

/// The settings that give the same arrays another meaning, where the two networks differ in them.
fn different_settings(there: &NetworkConfig, here: &NetworkConfig) -> Vec<String> {
    let settings = |config: &NetworkConfig| {
        [
            ("layout", format!("{:?}", config.layout)),
            ("scheme", format!("{:?}", config.scheme)),
            ("residual", format!("{:?}", config.residual)),
            ("activation", format!("{:?}", config.activation)),
            ("step", config.step.to_string()),
        ]
    };
    let pairs = settings(there).into_iter().zip(settings(here));
    let different = pairs.filter(|((_, there), (_, here))| there != here);
    different
        .map(|((name, there), (_, here))| {
            format!("model.{name} is {there} in the file, {here} here")
        })
        .collect()
}

/// Puts the rows of an array, one per class, in the order of the classes here.
fn reorder(array: &mut Array, order: &[usize]) {
    if array.shape.first() != Some(&order.len()) {
        return;
    }
    let length = array.values.len() / order.len().max(1);
    let row = |&place: &usize| array.values[place * length..(place + 1) * length].to_vec();
    array.values = order.iter().flat_map(row).collect();
}

/// `network` with the parameters whose names begin with one of `prefixes` no longer trained.
///
/// A prefix ends where a name or a part between two dots ends: `units.1` is not `units.10`. Running
/// statistics of batch norms are no parameters and go on.
pub(super) fn freeze<R: Residual>(network: Network<R>, prefixes: &[String]) -> Result<Network<R>> {
    struct Freeze(std::vec::IntoIter<bool>);
    impl ModuleMapper for Freeze {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            match self.0.next() {
                Some(true) => param.set_require_grad(false),
                Some(false) | None => param,
            }
        }
    }
    if prefixes.is_empty() {
        return Ok(network);
    }
    let slots = Names::of(&network).slots;
    let begins = |slot: &Slot, prefix: &str| {
        let rest = slot.name.strip_prefix(prefix);
        slot.trainable && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    for prefix in prefixes {
        if !slots.iter().any(|slot| begins(slot, prefix)) {
            let names: BTreeSet<&str> =
                slots.iter().filter(|slot| slot.trainable).map(|slot| slot.name.as_str()).collect();
            let names: Vec<&str> = names.into_iter().collect();
            let reason = format!("`{prefix}` matches no parameter of {}", names.join(", "));
            return Err(Error::config("training.freeze", reason));
        }
    }
    let frozen = |slot: &Slot| prefixes.iter().any(|prefix| begins(slot, prefix));
    if slots.iter().all(|slot| frozen(slot) || !slot.trainable) {
        return Err(Error::config("training.freeze", "leaves no parameter to train"));
    }
    let frozen: Vec<bool> = slots.iter().map(frozen).collect();
    Ok(network.map(&mut Freeze(frozen.into_iter())))
}
