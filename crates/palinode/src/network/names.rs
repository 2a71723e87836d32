//! The names of a network's arrays in weight files, stacked over the blocks of a unit.
//!
//! In memory every residual has its own parameters. In a file, `units.0.kernel` is one array
//! `[N, r, c, c, 3, 3]` with r residuals per block; the axis is omitted if r = 1. Parameters that only
//! some residuals have (`input_bias` of the first unit) are stacked in order: `[count, …]`. The units
//! of baselines begin with a block of another shape, so baselines have one array per block:
//! `units.1.blocks.0.conv1.weight`.

use super::arrays::{Array, Arrays};
use super::classifier::Network;
use super::config::TransitionKind;
use crate::error::{Error, Result};
use crate::norm::is_running;
use crate::residual::Residual;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use std::collections::BTreeMap;

/// The module of a network that a parameter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Location {
    /// The first convolution.
    Stem,
    /// The batch norm after the stem.
    StemNorm,
    /// A residual of the entry of a baseline's unit.
    Entry {
        /// Index of the unit, from 0.
        unit: usize,
        /// Index of the residual in the entry, from 0.
        residual: usize,
    },
    /// The projection shortcut of an entry.
    Shortcut {
        /// Index of the unit, from 0.
        unit: usize,
    },
    /// A residual of a unit.
    Unit {
        /// Index of the unit, from 0.
        unit: usize,
        /// Index of the residual in the unit, from 0. The entry's residuals are not counted.
        residual: usize,
    },
    /// The batch norm before the head.
    HeadNorm,
    /// The fully connected layer.
    Head,
}

/// One parameter (or running statistic) of a network and the array it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slot {
    /// The module that it belongs to.
    pub location: Location,
    /// Its path inside that module: `kernel`, `norm.weight`.
    pub path: String,
    /// The array's name in files.
    pub name: String,
    /// Index of its residual in the unit; `None` outside units and in baselines, whose blocks are not
    /// stacked.
    pub residual: Option<usize>,
    /// For a parameter of a unit's blocks, its layer (unit, residual in the block, path), which is the
    /// same for all blocks, and its block. `None` for entries, whose parameters have other shapes.
    pub layer: Option<((usize, usize, String), usize)>,
    /// The parameter's own shape.
    pub shape: Vec<usize>,
    /// Whether it is trained; running statistics are not.
    pub trainable: bool,
}

impl Slot {
    /// A unique name of this parameter: `units.0.kernel[3]`, `stem.weight`.
    pub fn key(&self) -> String {
        match self.residual {
            Some(index) => format!("{}[{index}]", self.name),
            None => self.name.clone(),
        }
    }

    /// Whether `weight_decay = "kernels"` applies to it: to the weights of stem, units and head, but not
    /// to biases and norms.
    pub fn is_kernel(&self) -> bool {
        self.trainable && self.shape.len() > 1
    }
}

/// All slots of a network.
#[derive(Clone, Debug)]
pub struct Names {
    /// The slots in visiting order.
    pub slots: Vec<Slot>,
    /// Residuals per unit and per block, for stacking.
    units: Vec<(usize, usize)>,
}

/// How the blocks of a network are named.
#[derive(Clone, Copy)]
struct Naming {
    /// Whether blocks are stacked; those of the baselines are not.
    stacked: bool,
    per_block: usize,
}

impl Names {
    /// The slots of `network`.
    pub fn of<R: Residual>(network: &Network<R>) -> Self {
        let per_block = network.units.first().map_or(1, |unit| unit.residuals_per_block());
        let stacked = network.config().transition != TransitionKind::Strided;
        let naming = Naming { stacked, per_block };
        let mut slots = Vec::new();
        // This is the order in which a visit of the whole network sees its fields.
        let mut add = |location, entry: bool, visit: &dyn Fn(&mut Paths)| {
            let mut paths = Paths::default();
            visit(&mut paths);
            for Found { path, shape, trainable } in paths.found {
                let name = naming.name(location, entry, &path);
                let residual = match location {
                    Location::Unit { residual, .. } if stacked => Some(residual),
                    _ => None,
                };
                let layer = match location {
                    Location::Unit { unit, residual } => {
                        let (block, own) = (residual / per_block, residual % per_block);
                        Some(((unit, own, path.clone()), block))
                    }
                    _ => None,
                };
                slots.push(Slot { location, path, name, residual, layer, shape, trainable });
            }
        };
        add(Location::Stem, false, &|paths| network.stem.visit(paths));
        add(Location::StemNorm, false, &|paths| network.stem_norm.visit(paths));
        for (unit, entry) in network.entries.iter().enumerate() {
            let Some(entry) = entry else { continue };
            for (residual, module) in entry.residuals.iter().enumerate() {
                add(Location::Entry { unit, residual }, true, &|paths| module.visit(paths));
            }
            add(Location::Shortcut { unit }, true, &|paths| entry.shortcut.visit(paths));
        }
        for (unit, module) in network.units.iter().enumerate() {
            let entry = network.entries.get(unit).is_some_and(Option::is_some);
            for (residual, module) in module.residuals.iter().enumerate() {
                add(Location::Unit { unit, residual }, entry, &|paths| module.visit(paths));
            }
        }
        add(Location::HeadNorm, false, &|paths| network.head_norm.visit(paths));
        add(Location::Head, false, &|paths| network.head.visit(paths));
        let units = network.units.iter().map(|unit| (unit.residuals.len(), per_block)).collect();
        slots.shrink_to_fit();
        Self { slots, units }
    }

    /// (name, shape, indices of its slots) of every array, in the order of first appearance.
    fn arrays(&self) -> Vec<(String, Vec<usize>, Vec<usize>)> {
        let mut arrays: Vec<(&str, Vec<usize>)> = Vec::new();
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, slot) in self.slots.iter().enumerate() {
            let place = *known.entry(&slot.name).or_insert_with(|| {
                arrays.push((&slot.name, Vec::new()));
                arrays.len() - 1
            });
            arrays[place].1.push(index);
        }
        arrays.into_iter().flat_map(|(name, slots)| self.stacked(name, slots)).collect()
    }

    /// One array for all slots that share a name, or one array per slot if their shapes differ.
    fn stacked(&self, name: &str, slots: Vec<usize>) -> Vec<(String, Vec<usize>, Vec<usize>)> {
        let first = &self.slots[slots[0]];
        let Location::Unit { unit, .. } = first.location else {
            return vec![(name.to_owned(), first.shape.clone(), slots)];
        };
        if first.residual.is_none() {
            return vec![(name.to_owned(), first.shape.clone(), slots)];
        }
        if slots.iter().any(|&slot| self.slots[slot].shape != first.shape) {
            let single = |slot: usize| {
                let Slot { residual, shape, .. } = &self.slots[slot];
                let name = format!("{name}.{}", residual.unwrap_or(slot));
                (name, shape.clone(), vec![slot])
            };
            return slots.into_iter().map(single).collect();
        }
        let (residuals, per_block) = self.units[unit];
        let mut shape = if slots.len() == residuals && per_block > 1 {
            vec![residuals / per_block, per_block]
        } else {
            vec![slots.len()]
        };
        shape.extend(&first.shape);
        vec![(name.to_owned(), shape, slots)]
    }

    /// Joins one list of values per slot, in the order of [`slots`](Self::slots), into arrays.
    ///
    /// # Panics
    /// If there are fewer lists than slots.
    pub fn stack(&self, values: Vec<Vec<f32>>) -> Arrays {
        self.arrays()
            .into_iter()
            .map(|(name, shape, slots)| {
                let values = slots.iter().flat_map(|&slot| values[slot].iter().copied()).collect();
                (name, Array { shape, values })
            })
            .collect()
    }

    /// Splits arrays into one list of values per slot.
    ///
    /// # Errors
    /// [`Error::Config`] about `what`, naming the first array that is missing, unknown or of the wrong
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
            if array.values.len() != shape.iter().product::<usize>() {
                let found = array.values.len();
                return refuse(format!("array `{name}` of shape {shape:?} holds {found} values"));
            }
            let length = array.values.len() / slots.len();
            for (slot, chunk) in slots.into_iter().zip(array.values.chunks(length.max(1))) {
                values[slot] = chunk.to_vec();
            }
        }
        Ok(values)
    }
}

impl Naming {
    /// The name of parameter `path` at `location`. `entry` says whether its unit begins with an entry,
    /// which is then block 0 of the unit.
    fn name(self, location: Location, entry: bool, path: &str) -> String {
        match location {
            Location::Stem => format!("stem.{path}"),
            Location::StemNorm => format!("stem_norm.{path}"),
            Location::HeadNorm => format!("head_norm.{path}"),
            Location::Head => format!("head.{path}"),
            Location::Unit { unit, .. } if self.stacked => format!("units.{unit}.{path}"),
            Location::Unit { unit, residual } => {
                let block = residual / self.per_block + usize::from(entry);
                self.of_block(unit, block, residual, path)
            }
            Location::Entry { unit, residual } => self.of_block(unit, 0, residual, path),
            Location::Shortcut { unit } => format!("units.{unit}.blocks.0.shortcut.{path}"),
        }
    }

    /// The name in a baseline. If a block has two residuals, they are called `f` and `g`.
    fn of_block(self, unit: usize, block: usize, residual: usize, path: &str) -> String {
        let stream = match (self.per_block, residual % self.per_block) {
            (1, _) => "",
            (_, 0) => "f.",
            (_, _) => "g.",
        };
        format!("units.{unit}.blocks.{block}.{stream}{path}")
    }
}

/// The parameters of one module, with Burn's own paths inside it.
#[derive(Default)]
struct Paths {
    /// Names of the enclosing modules; `None` for those that do not appear in the path.
    path: Vec<Option<String>>,
    found: Vec<Found>,
}

struct Found {
    path: String,
    shape: Vec<usize>,
    trainable: bool,
}

impl ModuleVisitor for Paths {
    fn enter_module(&mut self, name: &str, container: &str) {
        // The path contains neither the variant of an enum (the kind of residual) nor the map of an
        // inception residual, nor what a parabolic one negates.
        let implied = matches!(
            (name, container),
            ("map", "Struct:Inception" | "Struct:AntisymmetricInception")
                | ("negated", "Struct:Parabolic")
        );
        let named = !container.starts_with("Enum") && !implied;
        self.path.push(named.then(|| name.to_owned()));
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path: Vec<&str> = self.path.iter().flatten().map(String::as_str).collect();
        let running = path.last().is_some_and(|name| is_running(name));
        self.found.push(Found {
            path: path.join("."),
            shape: param.val().dims().to_vec(),
            trainable: !running,
        });
    }
}
