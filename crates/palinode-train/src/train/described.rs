//! A recipe as a run keeps it.

use super::identity::Fields;
use crate::error::{Error, Result};
use crate::recipe::Settings;

/// A recipe as a run keeps it.
#[derive(Clone)]
pub(super) struct Described {
    /// The content of `config.toml`.
    pub config: String,
    /// Every setting in it.
    pub fields: Fields,
}

impl Described {
    /// The settings of a run that no recipe describes.
    pub fn of(settings: &Settings) -> Result<Self> {
        let toml = toml::to_string_pretty(settings)
            .map_err(|error| Error::config("settings", error.to_string()))?;
        let config =
            format!("# The network and its images come from code, not from a recipe.\n{toml}");
        Ok(Self { config, fields: settings.fields()?.into_iter().collect() })
    }
}
