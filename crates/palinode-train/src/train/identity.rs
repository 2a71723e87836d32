//! What a run is: its network, its optimiser and its settings. A run goes on only as what it began as.

use super::optimizer::NetworkOptimizer;
use crate::error::{Error, Result};
use crate::recipe::Settings;
use palinode::network::Network;
use palinode::residual::{Residual, residual_name};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Every setting of a run by its dotted name, with its value as text.
pub(super) type Fields = BTreeMap<String, String>;

/// Settings that say where images are, how much memory they may have, and what a run is computed on.
const OF_THE_MACHINE: [&str; 3] = ["data.dir", "data.memory", "training.device"];

/// Whether a setting says what the machine has, not what the run is. It may change between two parts of a run.
pub(crate) fn is_of_the_machine(setting: &str) -> bool {
    OF_THE_MACHINE.contains(&setting)
}

/// Whether a setting may change between two parts of a run, which (on request) also goes for how long it trains. Threads
/// are no setting.
fn may_change(setting: &str) -> bool {
    is_of_the_machine(setting) || setting == "training.epochs"
}

/// What a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// The residual's type, without its path.
    residual: String,
    optimizer: String,
    /// The network's description.
    network: Value,
    settings: Fields,
    /// Epochs of the whole run, as they were last asked for.
    pub epochs: usize,
}

impl Identity {
    pub fn of<R: Residual>(
        network: &Network<R>,
        optimizer: &NetworkOptimizer,
        settings: &Fields,
        epochs: usize,
    ) -> Result<Self> {
        let described = serde_json::to_value(network.config())
            .map_err(|error| Error::config("model", error.to_string()))?;
        let mut settings = settings.clone();
        settings.retain(|name, _| !may_change(name));
        Ok(Self {
            residual: residual_name::<R>().to_owned(),
            optimizer: optimizer.name().name().to_owned(),
            network: described,
            settings,
            epochs,
        })
    }

    /// Refuses to go on with anything else than the run began with, but for the number of epochs.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] naming the first difference.
    pub fn check(&self, now: &Self) -> Result<()> {
        // The settings first: they are what a user can change, and some describe the network.
        self.check_settings(&now.settings)?;
        difference(&self.fields(), &now.fields())
    }

    /// Residual, optimiser and the network's description.
    pub fn fields(&self) -> Fields {
        let network = self.network.as_object().into_iter().flatten();
        let network = network.map(|(name, value)| (format!("network.{name}"), value.to_string()));
        let (residual, optimizer) = (self.residual.clone(), self.optimizer.clone());
        let names = [("residual".to_owned(), residual), ("optimizer".to_owned(), optimizer)];
        names.into_iter().chain(network).collect()
    }

    /// Refuses to go on with other settings than `now`, which may be those of the file that the run wrote.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_settings(&self, now: &Fields) -> Result<()> {
        let mut now = now.clone();
        now.retain(|name, _| !may_change(name));
        // A setting that is younger than the run had its default.
        let defaults: Fields = Settings::default().fields()?.into_iter().collect();
        now.retain(|name, value| {
            self.settings.contains_key(name) || defaults.get(name) != Some(value)
        });
        difference(&self.settings, &now)
    }

    /// The settings that may not change.
    pub fn settings(&self) -> &Fields {
        &self.settings
    }

    /// Refuses another number of epochs that nobody asked for.
    ///
    /// # Errors
    /// [`palinode::Error::Config`].
    pub fn check_epochs(&self, epochs: usize) -> Result<()> {
        if epochs == self.epochs {
            return Ok(());
        }
        let reason = format!(
            "{} so far, now {epochs}; `--resume DIR --epochs {epochs}` trains on",
            self.epochs
        );
        Err(Error::config("training.epochs", reason))
    }
}

/// The first setting that is not the same, as an error.
fn difference(began: &Fields, now: &Fields) -> Result<()> {
    let unset = "unset".to_owned();
    for name in began.keys().chain(now.keys()) {
        let (began, now) = (began.get(name).unwrap_or(&unset), now.get(name).unwrap_or(&unset));
        if began != now {
            let reason = format!(
                "{began} when the run began, now {now}; a run goes on with the settings it began with"
            );
            return Err(Error::config(name, reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_younger_than_the_run_had_its_default() {
        let fields: Fields = Settings::default().fields().unwrap().into_iter().collect();
        let mut settings = fields.clone();
        settings.retain(|name, _| !may_change(name) && name != "training.precision");
        let (residual, optimizer) = ("BuiltIn".to_owned(), "sgd".to_owned());
        let began = Identity { residual, optimizer, network: Value::Null, settings, epochs: 1 };
        began.check_settings(&fields).unwrap();
        let mut other = fields;
        other.insert("training.precision".to_owned(), "\"bf16\"".to_owned());
        let refused = began.check_settings(&other).unwrap_err().to_string();
        assert!(refused.starts_with("training.precision: unset when the run began"), "{refused}");
    }
}
