//! Weight files: safetensors whose metadata describe the network and its images.
//!
//! The file alone is enough to rebuild the network and to classify an image: `palinode.config` is
//! the [`NetworkConfig`] and `palinode.data` the [`DataInfo`], both as JSON. If the residual is not built in,
//! `palinode.residual` is the name of its type.

use super::classifier::Network;
use super::config::NetworkConfig;
use super::data_info::DataInfo;
use super::init::Site;
use super::weights::{Array, Arrays, collect, replace};
use crate::error::{Error, Result};
use crate::file::{read, write_atomically};
use crate::random::Generator;
use crate::residual::{BuiltIn, Residual, residual_name};
use crate::reversible::Differentiation;
use crate::wording::in_words;
use burn::tensor::Device;
use safetensors::{Dtype, SafeTensors};
use std::any::TypeId;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Metadata key of the network's configuration.
const CONFIG: &str = "palinode.config";
/// Metadata key of the images' description.
const DATA: &str = "palinode.data";
/// Metadata key of the residual's type, in files of networks with a residual that is not built in.
const RESIDUAL: &str = "palinode.residual";

/// The content of a weight file.
#[derive(Clone, Debug)]
pub struct WeightFile {
    /// The network's configuration.
    pub config: NetworkConfig,
    /// The images that the network expects and the names of its classes.
    pub data: DataInfo,
    /// The network's weights and running statistics by name.
    pub arrays: Arrays,
    /// The name of the residual's type ([`residual_name`]); `None` for the built-in one, which `config`
    /// describes.
    pub residual: Option<String>,
    /// The file that the content was read from.
    origin: Option<PathBuf>,
}

impl WeightFile {
    /// The content of a weight file for `network`.
    pub fn of<R: Residual>(network: &Network<R>, data: &DataInfo) -> Self {
        Self::new(network.config().clone(), data.clone(), collect(network)).for_residual::<R>()
    }

    /// The content of a weight file with these arrays, of a network with the built-in residual.
    pub fn new(config: NetworkConfig, data: DataInfo, arrays: Arrays) -> Self {
        Self { config, data, arrays, residual: None, origin: None }
    }

    /// Records that the network's residual is `R`.
    #[must_use]
    pub fn for_residual<R: Residual>(self) -> Self {
        Self { residual: recorded_name::<R>().map(str::to_owned), ..self }
    }

    /// What people call the residual of the file's network and `R`, in this order, where the two differ.
    pub fn residual_mismatch<R: Residual>(&self) -> Option<[&str; 2]> {
        let (there, here) = (self.residual.as_deref(), recorded_name::<R>());
        (there != here).then(|| [there, here].map(|name| name.unwrap_or("the built-in one")))
    }

    /// Rebuilds the network on `device`.
    ///
    /// # Errors
    /// As [`NetworkConfig::init`]; [`Error::Config`] if the arrays do not match the configuration, or if the
    /// network has a residual that is not built in. If the content was read from a file, every error
    /// becomes an [`Error::Format`] naming the file.
    pub fn network(&self, mode: Differentiation, device: &Device) -> Result<Network<BuiltIn>> {
        self.named(self.rebuilt(mode, device))
    }

    /// Rebuilds a network with your own residual on `device`. `residual` makes the residuals, as for
    /// [`NetworkConfig::init_with`]; their parameters are then replaced by the file's.
    ///
    /// # Errors
    /// As [`NetworkConfig::init_with`]; [`Error::Config`] if the arrays do not match the network, or if the
    /// file's residual has another name than `R`, or if it holds fewer numbers than stem, head and blocks
    /// need. Errors name the file as in
    /// [`network`](Self::network).
    pub fn network_with<R: Residual>(
        &self,
        mode: Differentiation,
        device: &Device,
        residual: impl FnMut(Site, &mut Generator, &Device) -> R,
    ) -> Result<Network<R>> {
        if let Some([found, expected]) = self.residual_mismatch::<R>() {
            let reason = format!("the network's residual is {found}, expected {expected}");
            return self.named(Err(Error::config("residual", reason)));
        }
        let parts = self.config.parameter_count().parts;
        let fixed = parts.iter().filter(|(part, _)| part == "stem" || part == "head");
        // At least one number for each block: a residual may have few parameters, but it has some.
        let least = fixed.map(|(_, count)| count).sum::<usize>()
            + self.config.blocks_per_unit().iter().sum::<usize>();
        self.named(self.check_holds(least))?;
        let network = self.config.init_with(0, mode, device, residual);
        self.named(network.and_then(|network| replace(network, &self.arrays)))
    }

    /// Checks, before anything is allocated, that the file holds the numbers of the network it describes.
    fn check_holds(&self, described: usize) -> Result<()> {
        let held: usize = self.arrays.values().map(|array| array.values.len()).sum();
        match described <= held {
            true => Ok(()),
            false => Err(Error::config(
                "weights",
                format!("{held} numbers, but the network they describe has {described} parameters"),
            )),
        }
    }

    /// Errors name the file that the content was read from.
    fn named<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| match &self.origin {
            Some(path) => Error::format(path, error.to_string()),
            None => error,
        })
    }

    fn rebuilt(&self, mode: Differentiation, device: &Device) -> Result<Network<BuiltIn>> {
        if let Some(residual) = &self.residual {
            let reason = format!(
                "the network's residual is {residual}, which is not built in; a program that has it loads \
                 the file with `WeightFile::network_with`"
            );
            return Err(Error::config("residual", reason));
        }
        self.check_holds(self.config.parameter_count().total)?;
        replace(self.config.init(0, mode, device)?, &self.arrays)
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// [`Error::Io`] naming the path; [`Error::Format`] if the metadata cannot be written as JSON.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_atomically(path, &self.to_bytes(path)?)
    }

    /// The bytes of the file; `path` is for messages. The same content always gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Format`] if the metadata cannot be written as JSON.
    pub fn to_bytes(&self, path: &Path) -> Result<Vec<u8>> {
        let as_json = |value: serde_json::Result<String>| {
            value.map_err(|error| Error::format(path, error.to_string()))
        };
        let mut metadata = BTreeMap::from([
            (CONFIG.to_owned(), as_json(serde_json::to_string(&self.config))?),
            (DATA.to_owned(), as_json(serde_json::to_string(&self.data))?),
        ]);
        if let Some(residual) = &self.residual {
            metadata.insert(RESIDUAL.to_owned(), residual.clone());
        }
        Ok(arrays_to_bytes(&self.arrays, &metadata))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Format`] naming the path and what is wrong.
    pub fn load(path: &Path) -> Result<Self> {
        Self::from_bytes(&read(path)?, path)
    }

    /// The content of a file that was read from `path`, which is for messages.
    ///
    /// # Errors
    /// [`Error::Format`] naming the path and what is wrong.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let (arrays, mut metadata) = arrays_from_bytes(bytes, path)?;
        let mut take = |key: &str| {
            metadata.remove(key).ok_or_else(|| {
                Error::format(path, format!("metadata `{key}` is missing; not a Palinode file"))
            })
        };
        let (config, data) = (take(CONFIG)?, take(DATA)?);
        let bad = |key: &'static str| {
            move |error: serde_json::Error| {
                Error::format(path, in_words(&format!("`{key}`: {error}")))
            }
        };
        let config: NetworkConfig = serde_json::from_str(&config).map_err(bad(CONFIG))?;
        let data: DataInfo = serde_json::from_str(&data).map_err(bad(DATA))?;
        let misfit = |error: Error| Error::format(path, error.to_string());
        config.validate().map_err(misfit)?;
        data.validate().map_err(misfit)?;
        let described = (data.channels, data.size, data.classes.len());
        if described != (config.channels, config.size, config.classes) {
            let reason = "`palinode.data` and `palinode.config` describe different images";
            return Err(Error::format(path, reason));
        }
        let residual = metadata.remove(RESIDUAL);
        Ok(Self { residual, origin: Some(path.to_owned()), ..Self::new(config, data, arrays) })
    }
}

/// The name that files record for the residual `R`; `None` for the built-in one.
fn recorded_name<R: Residual>() -> Option<&'static str> {
    (TypeId::of::<R>() != TypeId::of::<BuiltIn>()).then(residual_name::<R>)
}

/// Writes arrays as a safetensors file, atomically. The same content always gives the same bytes.
///
/// The format is the length of a JSON header, the header, and the data. The `safetensors` crate reads
/// these files. Its writer is not used, since it keeps metadata in a hash map, whose order differs
/// from run to run.
///
/// # Errors
/// [`Error::Io`] naming the path.
pub fn save_arrays(
    path: &Path,
    arrays: &Arrays,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    write_atomically(path, &arrays_to_bytes(arrays, metadata))
}

/// The bytes of the file that [`save_arrays`] writes.
pub fn arrays_to_bytes(arrays: &Arrays, metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".to_owned(), serde_json::json!(metadata));
    }
    let mut end = 0;
    for (name, array) in arrays {
        let start = end;
        end += size_of_val(array.values.as_slice());
        let entry = serde_json::json!({
            "dtype": "F32",
            "shape": array.shape,
            "data_offsets": [start, end],
        });
        header.insert(name.clone(), entry);
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    // The numbers are copied once: a checkpoint of a large network would take several times its memory otherwise.
    let mut bytes = Vec::with_capacity(size_of::<u64>() + header.len() + end);
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.append(&mut header);
    let values = arrays.values().flat_map(|array| &array.values);
    bytes.extend(values.flat_map(|value| value.to_le_bytes()));
    bytes
}

/// Reads the f32 arrays and the metadata of a safetensors file.
///
/// # Errors
/// [`Error::Io`] or [`Error::Format`] naming the path and what is wrong, such as an array with NaN or an
/// infinite value in it.
pub fn load_arrays(path: &Path) -> Result<(Arrays, BTreeMap<String, String>)> {
    arrays_from_bytes(&read(path)?, path)
}

/// The f32 arrays and the metadata in the bytes of a safetensors file; `path` is for messages.
///
/// # Errors
/// As [`load_arrays`], without [`Error::Io`].
pub fn arrays_from_bytes(bytes: &[u8], path: &Path) -> Result<(Arrays, BTreeMap<String, String>)> {
    let malformed = |error| Error::format(path, format!("not a safetensors file: {error}"));
    let file = SafeTensors::deserialize(bytes).map_err(malformed)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
    let metadata = header.metadata().iter().flatten();
    let metadata = metadata.map(|(key, value)| (key.clone(), value.clone())).collect();
    let mut arrays = Arrays::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(Error::format(
                path,
                format!("array `{name}` is {:?}, expected F32", view.dtype()),
            ));
        }
        let (chunks, _) = view.data().as_chunks::<4>();
        let values: Vec<f32> = chunks.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            let reason = format!("array `{name}` holds {} at index {place}", values[place]);
            return Err(Error::format(path, reason));
        }
        arrays.insert(name, Array { shape: view.shape().to_vec(), values });
    }
    Ok((arrays, metadata))
}
