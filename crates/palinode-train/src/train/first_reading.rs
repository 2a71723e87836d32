//! The first reading of all images, which ranks share.

use super::agreement::check_same;
use super::machine::Machine;
use crate::data::{ImageSource, Mean, Part, Survey, check_source, first_reasons, unreadable};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How all images are read before a run begins: by which ranks, and who is told of it.
///
/// Images in memory are read by every rank. Of a source with a [listing](ImageSource::listing), each rank reads its
/// share, and all get the same [`Survey`].
pub struct FirstReading<'a> {
    machine: Machine,
    progress: Option<&'a mut dyn FnMut(usize, usize)>,
}

/// What a rank has read: its part, or the number of images that it could not read, and why.
#[derive(Serialize, Deserialize)]
enum Sent {
    Found(Survey),
    Unreadable {
        count: usize,
        /// Of the first ten.
        reasons: Vec<String>,
    },
}

impl<'a> FirstReading<'a> {
    /// By the ranks of `machine`, if it has several. `progress` is called with (images so far, images of this rank) while
    /// images of a source with a listing are read.
    pub fn new(machine: &Machine, progress: &'a mut dyn FnMut(usize, usize)) -> Self {
        Self { machine: machine.clone(), progress: Some(progress) }
    }

    /// By this process alone, and nobody is told.
    pub fn alone() -> Self {
        Self { machine: Machine::default(), progress: None }
    }

    /// Reads all images of `source`. Those that `counted` says yes to count for the statistics. All ranks call this
    /// together.
    ///
    /// # Errors
    /// As [`check_source`]; on all ranks what keeps an image from being read, or, where there are several such images,
    /// [`palinode::Error::Config`] naming the first ten; [`Error::OtherRank`] where a rank has another listing.
    pub(crate) fn survey(
        &mut self,
        source: &dyn ImageSource,
        counted: &(dyn Fn(usize) -> bool + Sync),
        mean: Mean,
    ) -> Result<Survey> {
        check_source(source)?;
        let mut unseen = |_, _| ();
        let progress: &mut dyn FnMut(usize, usize) = match &mut self.progress {
            Some(progress) if source.listing().is_some() => &mut **progress,
            _ => &mut unseen,
        };
        let all = 0..source.len();
        let Some((listing, (rank, ranks))) = source.listing().zip(self.machine.rank()) else {
            return Survey::of_part(source, all, counted, mean, progress)?.whole();
        };
        let listed = format!("{} images (checksum {listing:08x})", source.len());
        let what = "the list of images by name and size".to_owned();
        check_same(&self.machine, BTreeMap::from([(what, listed)]))?;
        let own = match ranks.count() <= source.len() {
            true => ranks.range(source.len(), rank),
            // The first rank reads what is too little to share.
            false => 0..if rank == 0 { source.len() } else { 0 },
        };
        let own = match Survey::of_part(source, own, counted, mean, progress)? {
            Part::Read(survey) => Sent::Found(survey),
            Part::Failed(failures) => {
                Sent::Unreadable { count: failures.len(), reasons: first_reasons(&failures) }
            }
        };
        let (mut parts, mut failed, mut first) = (Vec::new(), 0, Vec::new());
        for sent in self.machine.gather(own)? {
            match sent {
                Sent::Found(survey) => parts.push(survey),
                Sent::Unreadable { count, reasons } => {
                    failed += count;
                    first.extend(reasons);
                }
            }
        }
        if failed > 0 {
            first.truncate(10);
            return Err(unreadable(failed, first));
        }
        Survey::join(parts).ok_or_else(|| Error::config("data", "no rank has read an image"))
    }
}
