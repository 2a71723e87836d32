//! Options that several sub-commands share.

use crate::output::remark;
use anyhow::anyhow;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use palinode::device::{DeviceName, Runtime};
use palinode::network::{Layout, NetworkConfig, StateKind, Variant, WeightFile};
use palinode::precision::NumberType;
use palinode::tensor::{Device, Tensor};
use palinode_train::data::{self, Batches, ImageSource, Relabelled, SourceName};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// A positive number, `limit` at the most.
pub fn at_most(limit: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=limit)
}

/// A model by name, and what differs from it.
#[derive(Debug, Args)]
pub struct Model {
    /// Model name.
    #[arg(long = "model", value_name = "NAME", default_value = "hamiltonian-218")]
    pub name: String,
    /// How the units are put together (default: report, for the baselines paper).
    #[arg(long, value_name = "LAYOUT", value_parser = layout)]
    layout: Option<Layout>,
    /// Variant: plain, regularized, inception or inception-large.
    #[arg(long, value_name = "VARIANT", value_parser = Variant::parse, default_value = "plain")]
    pub variant: Variant,
    /// Batch norm inside the residuals.
    #[arg(long)]
    block_norm: bool,
}

impl Model {
    /// Its description, for RGB images of 32×32 in ten classes.
    pub fn config(&self) -> anyhow::Result<NetworkConfig> {
        let mut config = NetworkConfig::named(&self.name)?.with_variant(self.variant);
        config.block_norm |= self.block_norm;
        Ok(match self.layout {
            Some(layout) => config.with_layout(layout),
            None => config,
        })
    }
}

/// Blocks and channels that differ from the model's.
#[derive(Debug, Args)]
pub struct Units {
    /// Blocks of every unit (1 to 64 units) instead of the model's.
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    blocks: Vec<usize>,
    /// Channels of every unit instead of the model's.
    #[arg(long, value_name = "C,…", value_delimiter = ',')]
    widths: Vec<usize>,
}

impl Units {
    /// The configuration with these blocks and channels.
    pub fn in_place_of(&self, mut config: NetworkConfig) -> anyhow::Result<NetworkConfig> {
        for (given, into) in
            [(&self.blocks, &mut config.blocks), (&self.widths, &mut config.widths)]
        {
            if !given.is_empty() {
                into.clone_from(given);
            }
        }
        let (blocks, widths) = (config.blocks.len(), config.widths.len());
        anyhow::ensure!(
            blocks == widths,
            "--blocks and --widths: {blocks} blocks and {widths} widths, expected one of each per unit"
        );
        config.validate()?;
        Ok(config)
    }
}

/// The size of images.
#[derive(Debug, Args)]
pub struct ImageSize {
    /// Rows and columns of the images.
    #[arg(long = "size", value_name = "RxC", value_parser = size, default_value = "32x32")]
    pub extents: [usize; 2],
}

/// Rows and columns: `512x512`.
fn size(text: &str) -> anyhow::Result<[usize; 2]> {
    let parsed = text.split_once(['x', '×']).and_then(|(rows, columns)| {
        let extent = |text: &str| text.parse().ok().filter(|extent| *extent > 0);
        Some([extent(rows)?, extent(columns)?])
    });
    parsed.ok_or_else(|| anyhow!("expected rows and columns, as in 512x512"))
}

/// A layout by its name.
fn layout(name: &str) -> anyhow::Result<Layout> {
    match name {
        "report" => Ok(Layout::Report),
        "paper" => Ok(Layout::Paper),
        _ => anyhow::bail!("expected report or paper"),
    }
}

/// The library's modes of differentiation as the command line spells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Every activation is kept.
    Stored,
    /// √depth states are kept.
    Checkpointed,
    /// The last state is kept.
    Reversible,
}

impl From<Mode> for palinode::reversible::Differentiation {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Stored => Self::Stored,
            Mode::Checkpointed => Self::Checkpointed,
            Mode::Reversible => Self::Reversible,
        }
    }
}

/// What a sub-command computes on.
#[derive(Debug, Args)]
pub struct OnDevice {
    /// What to compute on: cpu, or wgpu, vulkan, cuda, metal or rocm where the program was built with that
    /// feature, with a number where there are several: cuda:1 [default: cpu].
    #[arg(id = "device", long = "device", value_name = "DEVICE", value_parser = named::<DeviceName>)]
    pub name: Option<DeviceName>,
}

impl OnDevice {
    /// Whether it is the CPU.
    pub fn is_cpu(&self) -> bool {
        self.name.unwrap_or_default().runtime == Runtime::Cpu
    }

    /// The device, without autodiff.
    pub fn open(&self) -> anyhow::Result<Device> {
        Ok(self.name.unwrap_or_default().open()?)
    }
}

/// The type that residuals are evaluated in.
#[derive(Debug, Args)]
pub struct InType {
    /// What the residuals are evaluated in: f32, or bf16 or f16 on devices that have them.
    #[arg(long, value_name = "TYPE", value_parser = named::<NumberType>, default_value = "f32")]
    pub precision: NumberType,
}

/// What the states of the units are.
#[derive(Debug, Args)]
pub struct StateOption {
    /// What the states of the units are: exact, so that they come back to the bit, or float (default: exact in mode
    /// reversible, otherwise float).
    #[arg(id = "state", long = "state", value_name = "STATE", value_parser = named::<StateKind>)]
    pub kind: Option<StateKind>,
}

/// A value by its name. Clap names the option, so the message does not name the field.
pub fn named<T: FromStr<Err = palinode::Error>>(name: &str) -> anyhow::Result<T> {
    name.parse().map_err(|error| match error {
        palinode::Error::Config { reason, .. } => anyhow!(reason),
        error => error.into(),
    })
}

/// A split of a data set.
#[derive(Debug, Args)]
pub struct DataSplit {
    /// Data set [default: fashion-mnist-mini].
    #[arg(long, value_name = "NAME")]
    data: Option<String>,
    /// Its directory (default: where it is usually installed).
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Which split of it.
    #[arg(long, value_enum, default_value_t = Split::Test)]
    split: Split,
    /// Rows and columns that a picture may have; a larger one is refused.
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..))]
    pub largest_side: u32,
}

/// The splits of a data set as files hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// All training images, validation included.
    Train,
    /// The test images.
    Test,
}

impl DataSplit {
    /// Whether the command line names a data set.
    pub fn is_given(&self) -> bool {
        self.data.is_some() || self.data_dir.is_some()
    }

    /// Reads it as images for the network of a weight file. What a user should know about them is said on
    /// stderr.
    pub fn load(&self, file: &WeightFile) -> anyhow::Result<Relabelled<Arc<dyn ImageSource>>> {
        let source = match &self.data {
            Some(name) => SourceName::parse(name)?,
            None => SourceName::default(),
        };
        let (directory, split) = (self.data_dir.as_deref(), self.split.into());
        let images = source.load_for(directory, split, &file.data, Some(self.largest_side))?;
        images.remarks().iter().for_each(|text| remark(text));
        Ok(images)
    }
}

impl DataSplit {
    /// The first `count` of these images, standardised, on `device`.
    pub fn first_images(
        &self,
        file: &WeightFile,
        count: usize,
        device: &Device,
    ) -> anyhow::Result<Tensor<4>> {
        let images = self.load(file)?;
        let batch = Batches::in_order(&images, &file.data, count).next_on(device)?;
        Ok(batch.ok_or_else(|| anyhow!("--data: there is no image"))?.images)
    }
}

impl From<Split> for data::Split {
    fn from(split: Split) -> Self {
        match split {
            Split::Train => Self::Train,
            Split::Test => Self::Test,
        }
    }
}
