//! Starting from the weights of another run, and keeping some of them.

use crate::error::{Error, Result};
use crate::recipe::{HeadStart, TrainingRecipe};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use palinode::network::weights::{Names, Slot, collect, replace};
use palinode::network::{Network, load_arrays};
use palinode::residual::Residual;
use std::path::PathBuf;

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
}

/// `network` with the weights of the file that `recipe` starts from; `None` without such a file.
pub(super) fn start_from<R: Residual>(
    network: Network<R>,
    recipe: &TrainingRecipe,
) -> Result<(Network<R>, Option<StartReport>)> {
    let Some(file) = &recipe.start else {
        if recipe.head == HeadStart::New {
            let reason = "a new head is for training that starts from a file (training.start)";
            return Err(Error::config("training.head", reason));
        }
        return Ok((network, None));
    };
    let (mut given, _) = load_arrays(file)?;
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
    let report = StartReport { file: file.clone(), taken, initialised, unused };
    Ok((replace(network, &arrays)?, Some(report)))
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
            let mut names: Vec<&str> =
                slots.iter().filter(|slot| slot.trainable).map(|slot| slot.name.as_str()).collect();
            names.dedup();
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
