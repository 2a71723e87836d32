//! The figures of a run, epoch by epoch: `metrics.csv`.

use crate::error::{Error, Result};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::Path;

/// One line of `metrics.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// From 1.
    pub epoch: usize,
    /// `train` or `validation`.
    pub split: String,
    /// Mean cross-entropy.
    pub loss: f64,
    /// In 0…1.
    pub accuracy: f64,
    /// At the epoch's last step.
    pub learning_rate: f64,
    /// Wall time of this split in this epoch.
    pub seconds: f64,
    /// Images per second.
    pub images_per_second: f64,
    /// Peak of the live bytes so far; `None` where they are not counted.
    pub peak_bytes: Option<u64>,
    /// For every unit, the largest relative change in this epoch of a state that came back in mode `reversible`.
    #[serde(default)]
    pub drift: Numbers,
    /// The largest relative difference of a unit's gradients from those of the same unit kept in more parts; `None`
    /// where no unit reconstructs states that are not exact.
    #[serde(default)]
    pub gradient_drift: Option<f64>,
    /// Where several ranks train together, the seconds that each of them computed, without those that it waited for others.
    #[serde(default)]
    pub rank_seconds: Numbers,
    /// Bytes that the first of several ranks sent.
    #[serde(default)]
    pub sent_bytes: Option<u64>,
    /// Of the time in which gradients of the first of several ranks were under way, the part that it did not wait for them,
    /// in 0…1.
    #[serde(default)]
    pub overlapped: Option<f64>,
}

/// Some numbers: the drifts of all units, the times of all ranks. As text, they are separated by spaces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numbers(pub Vec<f64>);

impl Numbers {
    /// The largest; `None` where there are none.
    pub fn largest(&self) -> Option<f64> {
        self.0.iter().copied().reduce(f64::max)
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let text: Vec<String> = self.0.iter().map(|drift| format!("{drift:e}")).collect();
        serializer.serialize_str(&text.join(" "))
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let drifts = text.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>();
        drifts.map(Self).map_err(D::Error::custom)
    }
}

/// All rows, as the file `path`.
///
/// # Errors
/// [`palinode::Error::Format`] naming the path.
pub(super) fn to_csv(path: &Path, rows: &[Row]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| Error::format(path, error.to_string());
    for row in rows {
        writer.serialize(row).map_err(failed)?;
    }
    writer.into_inner().map_err(|error| Error::format(path, error.to_string()))
}

/// Reads the figures of a run.
///
/// # Errors
/// [`palinode::Error::Io`], or [`palinode::Error::Format`] with the line that is wrong.
pub fn read(path: &Path) -> Result<Vec<Row>> {
    let text = palinode::file::read(path)?;
    let rows = csv::Reader::from_reader(text.as_slice()).into_deserialize();
    rows.collect::<std::result::Result<_, _>>()
        .map_err(|error| Error::format(path, error.to_string()))
}
