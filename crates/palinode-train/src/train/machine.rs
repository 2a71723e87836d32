//! What a run is computed with: threads of this process, and other ranks.

use crate::error::{Error, Result};
use palinode::ranks::Group;
use palinode::{ContextBuilder, Microbatches};
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
}

impl Machine {
    /// The same threads, in a group of ranks that share every batch. All ranks must do the same. The first one writes the
    /// run's files; `None`: this process works alone.
    #[must_use]
    pub fn with_group(self, group: Option<Arc<Group>>) -> Self {
        Self { group, ..self }
    }

    /// The threads without other ranks.
    pub(crate) fn alone(&self) -> Self {
        self.context.into()
    }

    /// Whether there are no other ranks.
    pub(crate) fn is_alone(&self) -> bool {
        self.group.as_ref().is_none_or(|group| group.count() == 1)
    }

    /// Whether this is the rank that writes: the first one, or the only one.
    pub fn is_first(&self) -> bool {
        self.group.as_ref().is_none_or(|group| group.rank() == 0)
    }

    /// Which rank of how many this is, if there are several.
    pub(super) fn rank(&self) -> Option<(usize, Microbatches)> {
        self.group.as_ref().map(|group| (group.rank(), group.parts()))
    }

    /// What the first rank finds, on all ranks. Its error is that of the others too.
    ///
    /// # Errors
    /// That of `find`. Other ranks say that the first one failed.
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

    /// Whether one of the ranks says so. All ranks call this together.
    pub(crate) fn any(&self, own: bool) -> bool {
        let Some(group) = &self.group else { return own };
        let mut found = [f64::from(u8::from(own))];
        palinode::ranks::Ranks::add(group.as_ref(), &mut found);
        found[0] > 0.0
    }

    /// The texts of all ranks, in their order. All ranks call this together.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where another rank sends something else.
    pub(crate) fn gather(&self, own: &[String]) -> Result<Vec<String>> {
        let Some(group) = &self.group else { return Ok(own.to_vec()) };
        let wrong = |error: serde_json::Error| Error::config("ranks", error.to_string());
        let own = serde_json::to_vec(own).map_err(wrong)?;
        let all = group.gather(&own);
        let all = all.iter().map(|bytes| serde_json::from_slice::<Vec<String>>(bytes));
        Ok(all.collect::<std::result::Result<Vec<_>, _>>().map_err(wrong)?.concat())
    }
}

impl From<ContextBuilder> for Machine {
    fn from(context: ContextBuilder) -> Self {
        Self { context, group: None }
    }
}
