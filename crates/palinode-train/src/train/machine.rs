//! What a run is computed with: threads of this process, and other ranks.

use super::lock::host;
use crate::error::{Error, Result};
use crate::recipe::Settings;
use palinode::ranks::{Group, Ranks as _};
use palinode::{Context, ContextBuilder, Microbatches};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The threads that compute, and the ranks that share the batches, if there are several.
///
/// ```
/// use palinode::Context;
/// use palinode_train::train::Machine;
///
/// let machine: Machine = Context::builder().threads(2).into();
/// assert!(machine.is_first());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub(super) context: ContextBuilder,
    pub(super) group: Option<Arc<Group>>,
    /// How many processes of the same job are on this machine, where this one trains alone; 0 stands for 1.
    processes: usize,
}

impl Machine {
    /// The context that this and the settings ask for. The settings then name its instruction set.
    pub(super) fn context(&self, settings: &mut Settings) -> Result<Context> {
        let training = &mut settings.training;
        let context = training.context(self.context)?;
        training.isa = Some(context.isa().for_gradients(training.gradients));
        Ok(context)
    }

    /// The same threads, in a group of ranks that share every batch; `None`, or a group of one: this process works alone.
    ///
    /// All ranks must do the same, each with a network that it has made itself. The first one writes the run's files.
    #[must_use]
    pub fn with_group(self, group: Option<Arc<Group>>) -> Self {
        Self { group: group.filter(|group| group.count() > 1), ..self }
    }

    /// The most images that one rank has of a batch.
    pub(super) fn images(&self, batch: usize) -> usize {
        batch.div_ceil(self.group.as_ref().map_or(1, |group| group.count()))
    }

    /// The threads without other ranks, which go on beside this one. All ranks call this together.
    ///
    /// # Errors
    /// As [`gather`](Self::gather).
    pub(crate) fn apart(&self) -> Result<Self> {
        Ok(Self { context: self.context, group: None, processes: self.processes()? })
    }

    /// How many processes of the job are on this machine. All ranks call this together.
    ///
    /// # Errors
    /// As [`gather`](Self::gather).
    pub(super) fn processes(&self) -> Result<usize> {
        let Some(_) = &self.group else { return Ok(self.processes.max(1)) };
        let here = host();
        Ok(self.gather(here.clone())?.into_iter().filter(|host| *host == here).count())
    }

    /// Whether there are no other ranks.
    pub(crate) fn is_alone(&self) -> bool {
        self.group.is_none()
    }

    /// Whether this is the rank that writes: the first one, or the only one.
    pub fn is_first(&self) -> bool {
        self.group.as_ref().is_none_or(|group| group.rank() == 0)
    }

    /// Which rank of how many this is, if there are several.
    pub(super) fn rank(&self) -> Option<(usize, Microbatches)> {
        self.group.as_ref().map(|group| (group.rank(), group.parts()))
    }

    /// What the first rank finds, on all ranks.
    ///
    /// # Errors
    /// That of `find` on the first rank; [`Error::FirstRank`] on the others.
    pub(crate) fn of_first(&self, find: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        let Some(group) = &self.group else { return find() };
        let mut failed = None;
        let answer = group.of_first(|| match find() {
            Ok(mut bytes) => {
                bytes.push(1);
                bytes
            }
            Err(error) => {
                failed = Some(error);
                Vec::new()
            }
        });
        match (failed, answer.split_last()) {
            (Some(error), _) => Err(error),
            (None, Some((_, bytes))) => Ok(bytes.to_vec()),
            (None, None) => Err(Error::FirstRank),
        }
    }

    /// Of each question, whether one of the ranks says yes. All ranks call this together.
    pub(crate) fn any<const N: usize>(&self, own: [bool; N]) -> [bool; N] {
        let Some(group) = &self.group else { return own };
        let mut found = own.map(|yes| f64::from(u8::from(yes)));
        group.add(&mut found);
        found.map(|ranks| ranks > 0.0)
    }

    /// What every rank gives, in their order. All ranks call this together.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where another rank sends something else.
    pub(crate) fn gather<T: Serialize + DeserializeOwned>(&self, own: T) -> Result<Vec<T>> {
        let Some(group) = &self.group else { return Ok(vec![own]) };
        let wrong = |error: serde_json::Error| Error::config("ranks", error.to_string());
        let all = group.gather(&serde_json::to_vec(&own).map_err(wrong)?);
        all.iter().map(|bytes| serde_json::from_slice(bytes).map_err(wrong)).collect()
    }
}

impl From<ContextBuilder> for Machine {
    fn from(context: ContextBuilder) -> Self {
        Self { context, ..Self::default() }
    }
}
