//! A network's arrays under stable names, stacked over the blocks of a unit.
//!
//! In memory every residual has its own parameters; in a file `units.0.kernel` is one array
//! `[N, r, c, c, 3, 3]` (r residuals per block, the axis left out where r = 1). Parameters that not
//! every residual has (`input_bias` of the first unit) are stacked in order: `[count, …]`. Baselines,
//! whose units begin with a block of another shape, have one array per block:
//! `units.1.blocks.0.conv1.weight`.

use super::{Network, TransitionKind, Unit};
use crate::error::{Error, Result};
use crate::residual::Residual;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};
use std::collections::BTreeMap;

/// An array of f32, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Extents.
    pub shape: Vec<usize>,
    /// Elements.
    pub values: Vec<f32>,
}

/// Arrays by name.
pub type Arrays = BTreeMap<String, Array>;

/// One parameter (or running statistic) of a network and the array it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The array's name in files.
    pub name: String,
    /// Which residual of its unit it belongs to; `None` outside units.
    pub residual: Option<usize>,
    /// In the blocks of a unit: which layer of a block it is, the same in all of them, and which
    /// block. The first block of a baseline's unit, of another shape, is left out.
    pub layer: Option<(String, usize)>,
    /// The parameter's own shape.
    pub shape: Vec<usize>,
    /// Whether it is trained; running statistics are not.
    pub trainable: bool,
}

impl Slot {
    /// A name of its own for one parameter: `units.0.kernel[3]`, `stem.weight`.
    pub fn key(&self) -> String {
        match self.residual {
            Some(index) => format!("{}[{index}]", self.name),
            None => self.name.clone(),
        }
    }

    /// Whether it is a weight in the sense of `weight_decay = "kernels"`: stem, unit and head
    /// weights, neither biases nor norms.
    pub fn is_kernel(&self) -> bool {
        self.trainable && self.shape.len() > 1
    }
}

/// All slots of a network in the order of a visit.
#[derive(Clone, Debug)]
pub struct Names {
    /// The slots.
    pub slots: Vec<Slot>,
    /// Residuals per unit and per block, for stacking.
    units: Vec<(usize, usize)>,
}

impl Names {
    /// The slots of `network`.
    pub fn of<R: Residual>(network: &Network<R>) -> Self {
        struct Visitor {
            path: Vec<Option<String>>,
            slots: Vec<Slot>,
            blocks: Option<BlockNames>,
            per_block: usize,
        }
        impl ModuleVisitor for Visitor {
            fn enter_module(&mut self, name: &str, container: &str) {
                // The variant of an enum (which residual it is) is no part of a name, and the map of an
                // inception residual goes without saying.
                let inception = ["Struct:Inception", "Struct:AntisymmetricInception"];
                let implied = name == "map" && inception.contains(&container);
                let named = !container.starts_with("Enum") && !implied;
                self.path.push(named.then(|| name.to_owned()));
            }
            fn exit_module(&mut self, _: &str, _: &str) {
                self.path.pop();
            }
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let path: Vec<&str> = self.path.iter().flatten().map(String::as_str).collect();
                let (name, residual) = match (path.as_slice(), &self.blocks) {
                    (["units", unit, "residuals", index, rest @ ..], None) => {
                        (format!("units.{unit}.{}", rest.join(".")), index.parse().ok())
                    }
                    ([place, unit, rest @ ..], Some(blocks)) if PLACES.contains(place) => {
                        (blocks.name(place, unit, rest), None)
                    }
                    (path, _) => (path.join("."), None),
                };
                let layer = match path.as_slice() {
                    ["units", unit, "residuals", index, rest @ ..] => {
                        index.parse::<usize>().ok().map(|index| {
                            let (block, part) = (index / self.per_block, index % self.per_block);
                            (format!("{unit}.{part}.{}", rest.join(".")), block)
                        })
                    }
                    _ => None,
                };
                let running = name.ends_with(".running_mean") || name.ends_with(".running_var");
                let shape = param.val().dims().to_vec();
                self.slots.push(Slot { name, residual, layer, shape, trainable: !running });
            }
        }
        let per_block = network.units.first().map_or(1, Unit::residuals_per_block);
        let blocks = BlockNames::of(network, per_block);
        let mut visitor = Visitor { path: Vec::new(), slots: Vec::new(), blocks, per_block };
        network.visit(&mut visitor);
        let units = network
            .units
            .iter()
            .map(|unit| (unit.residuals.len(), unit.residuals_per_block()))
            .collect();
        Self { slots: visitor.slots, units }
    }

    /// (name, shape, slots' indices) of every array, in the order of first appearance.
    fn arrays(&self) -> Vec<(String, Vec<usize>, Vec<usize>)> {
        let mut arrays: Vec<(String, Vec<usize>, Vec<usize>)> = Vec::new();
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, slot) in self.slots.iter().enumerate() {
            let place = *known.entry(&slot.name).or_insert_with(|| {
                arrays.push((slot.name.clone(), slot.shape.clone(), Vec::new()));
                arrays.len() - 1
            });
            arrays[place].2.push(index);
        }
        // Residuals of one unit may differ in shape; such parameters stay single.
        let mut same = Vec::new();
        for (name, shape, slots) in arrays {
            if slots.iter().all(|&slot| self.slots[slot].shape == shape) {
                same.push((name, shape, slots));
                continue;
            }
            same.extend(slots.into_iter().map(|slot| {
                let Slot { residual, shape, .. } = &self.slots[slot];
                let single = format!("{name}.{}", residual.unwrap_or(slot));
                (single, shape.clone(), vec![slot])
            }));
        }
        let mut arrays = same;
        for (name, shape, slots) in &mut arrays {
            if slots.len() == 1
                && name.rsplit('.').next().is_some_and(|n| n.parse::<usize>().is_ok())
            {
                continue;
            }
            if slots.iter().any(|&slot| self.slots[slot].residual.is_none()) {
                continue;
            }
            let unit = name.strip_prefix("units.").and_then(|rest| rest.split('.').next());
            let Some(unit) = unit.and_then(|unit| unit.parse::<usize>().ok()) else { continue };
            let (residuals, per_block) = self.units[unit];
            let mut stacked = if slots.len() == residuals && per_block > 1 {
                vec![residuals / per_block, per_block]
            } else {
                vec![slots.len()]
            };
            stacked.append(shape);
            *shape = stacked;
        }
        arrays
    }

    /// Joins one list of values per slot (in the order of [`slots`](Self::slots)) into arrays.
    pub fn stack(&self, values: Vec<Vec<f32>>) -> Arrays {
        self.arrays()
            .into_iter()
            .map(|(name, shape, slots)| {
                let values = slots.iter().flat_map(|&slot| values[slot].iter().copied()).collect();
                (name, Array { shape, values })
            })
            .collect()
    }

    /// Cuts arrays into one list of values per slot.
    ///
    /// # Errors
    /// [`Error::Config`] about `what`, naming the first array that is missing, unknown or of another
    /// shape.
    pub fn unstack(&self, what: &str, arrays: &Arrays) -> Result<Vec<Vec<f32>>> {
        let refuse = |reason: String| Err(Error::config(what, reason));
        let mut values = vec![Vec::new(); self.slots.len()];
        let expected = self.arrays();
        if let Some(name) = arrays.keys().find(|name| expected.iter().all(|e| e.0 != **name)) {
            return refuse(format!("array `{name}` does not belong to this network"));
        }
        for (name, shape, slots) in expected {
            let Some(array) = arrays.get(&name) else {
                return refuse(format!("array `{name}` of shape {shape:?} is missing"));
            };
            if array.shape != shape {
                return refuse(format!(
                    "array `{name}` has shape {:?}, expected {shape:?}",
                    array.shape
                ));
            }
            let length = array.values.len() / slots.len();
            for (slot, chunk) in slots.into_iter().zip(array.values.chunks(length.max(1))) {
                values[slot] = chunk.to_vec();
            }
        }
        Ok(values)
    }
}

/// Where blocks stand in a network.
const PLACES: [&str; 2] = ["units", "entries"];

/// The names of a baseline's blocks: one by one, the entry of a unit being its block 0, and with `f`
/// and `g` where a block has two residuals: `units.1.blocks.0.f.conv1.weight`.
struct BlockNames {
    residuals_per_block: usize,
    /// Whether each unit has an entry.
    entries: Vec<bool>,
}

impl BlockNames {
    /// `None` where the network is no baseline and its blocks are stacked.
    fn of<R: Residual>(network: &Network<R>, residuals_per_block: usize) -> Option<Self> {
        let strided = network.config().transition == TransitionKind::Strided;
        strided.then(|| Self {
            residuals_per_block,
            entries: network.entries.iter().map(Option::is_some).collect(),
        })
    }

    /// The name of parameter `path` of unit or entry `unit`.
    fn name(&self, place: &str, unit: &str, path: &[&str]) -> String {
        let number = unit.parse::<usize>().unwrap_or(0);
        let own = place == "units" && self.entries.get(number) == Some(&true);
        match path {
            ["residuals", index, rest @ ..] => {
                let index = index.parse::<usize>().unwrap_or(0);
                let block = index / self.residuals_per_block + usize::from(own);
                let stream = match (self.residuals_per_block, index % self.residuals_per_block) {
                    (1, _) => "",
                    (_, 0) => "f.",
                    (_, _) => "g.",
                };
                format!("units.{unit}.blocks.{block}.{stream}{}", rest.join("."))
            }
            rest => format!("units.{unit}.blocks.0.{}", rest.join(".")),
        }
    }
}

/// The network's weights and running statistics by name.
pub fn collect<R: Residual>(network: &Network<R>) -> Arrays {
    struct Visitor(Vec<Vec<f32>>);
    impl ModuleVisitor for Visitor {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(to_f32(param.val()));
        }
    }
    let mut visitor = Visitor(Vec::new());
    network.visit(&mut visitor);
    Names::of(network).stack(visitor.0)
}

/// The gradients of a network's parameters by the parameters' names, zeros where one took no part.
pub fn collect_gradients<R: Residual>(network: &Network<R>, gradients: &Gradients) -> Arrays {
    struct Visitor<'a>(&'a Gradients, Vec<Vec<f32>>);
    impl ModuleVisitor for Visitor<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            let gradient = value.grad(self.0).unwrap_or_else(|| value.inner().zeros_like());
            self.1.push(to_f32(gradient));
        }
    }
    let mut visitor = Visitor(gradients, Vec::new());
    network.visit(&mut visitor);
    let names = Names::of(network);
    let running: Vec<&Slot> = names.slots.iter().filter(|slot| !slot.trainable).collect();
    let mut arrays = names.stack(visitor.1);
    arrays.retain(|name, _| running.iter().all(|slot| slot.name != *name));
    arrays
}

/// The network with its weights and running statistics replaced by `arrays`.
///
/// (Burn's modules share their running statistics with their clones: those of `network`'s clones are
/// replaced too, unless they were made by `valid`.)
///
/// # Errors
/// [`Error::Config`] naming the first array that is missing, unknown or of another shape.
pub fn replace<R: Residual>(network: Network<R>, arrays: &Arrays) -> Result<Network<R>> {
    struct Mapper(std::vec::IntoIter<Vec<f32>>);
    impl ModuleMapper for Mapper {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(values) = self.0.next() else { return param };
            param.map(|old| {
                let data = TensorData::new(values, old.shape());
                let device = old.device().without_autodiff();
                let new = Tensor::from_data(data, (&device, old.dtype()));
                match old.is_autodiff() {
                    true => new.autodiff().set_require_grad(old.is_require_grad()),
                    false => new,
                }
            })
        }
    }
    let values = Names::of(&network).unstack("weights", arrays)?;
    Ok(network.map(&mut Mapper(values.into_iter())))
}

/// A tensor's values in f32, row-major.
pub fn to_f32<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.inner().into_data().convert::<f32>();
    // The conversion above makes the element type f32, the only way for this to fail.
    data.try_to_vec().unwrap_or_default()
}
