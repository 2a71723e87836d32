//! How ranks work together: how long each computes, and what they send.

use super::lock::host;
use super::machine::Machine;
use crate::error::Result;

/// A rank is slow if it computes so many times as long as the one in the middle, and so many seconds longer.
const SLOW: f64 = 1.25;
const SECONDS: f64 = 1.0;

/// How the ranks worked together for some time.
#[derive(Debug, Default)]
pub(super) struct Teamwork {
    /// Seconds that each rank computed, without those that it waited for others; empty for a single process.
    pub seconds: Vec<f64>,
    /// Their machines.
    hosts: Vec<String>,
    /// Bytes that this rank sent.
    pub sent_bytes: Option<u64>,
    /// Of the time in which gradients were under way, the part that this rank did not wait for them.
    pub overlapped: Option<f64>,
}

impl Teamwork {
    /// Of `seconds` of computing and waiting, since the traffic was last looked at. All ranks call this together.
    ///
    /// # Errors
    /// [`palinode::Error::Config`] where another rank sends something else.
    pub fn of(machine: &Machine, seconds: f64) -> Result<Self> {
        let Some(group) = &machine.group else { return Ok(Self::default()) };
        let traffic = group.traffic();
        let waited = traffic.waiting_for_gradients + traffic.waiting_for_sums;
        let ranks = machine.gather((seconds - waited.as_secs_f64(), host()))?;
        let (seconds, hosts) = ranks.into_iter().unzip();
        Ok(Self {
            seconds,
            hosts,
            sent_bytes: Some(traffic.gradient_bytes + traffic.sum_bytes),
            overlapped: traffic.overlapped(),
        })
    }

    /// The slowest rank, where the others wait for it, and what to say of it.
    pub fn slowest(&self) -> Option<(usize, String)> {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        // Of two, the quicker one.
        let middle = *sorted.get(sorted.len().saturating_sub(1) / 2)?;
        let (rank, seconds) =
            self.seconds.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
        (seconds > SLOW * middle && seconds > middle + SECONDS).then(|| {
            let host = self.hosts.get(rank).map_or("", String::as_str);
            let text = format!(
                "rank {rank} on {host} computed {seconds:.1} s in this epoch, others {middle:.1} s: they wait for it"
            );
            (rank, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_rank_is_named() {
        let of = |seconds: &[f64]| {
            let hosts = (0..seconds.len()).map(|rank| format!("host{rank}")).collect();
            Teamwork { seconds: seconds.to_vec(), hosts, ..Teamwork::default() }.slowest()
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[5.0]), None);
        assert_eq!(of(&[10.0, 11.0, 12.0, 12.0]), None);
        assert_eq!(of(&[0.1, 0.9]), None);
        let (rank, text) = of(&[10.0, 11.0, 20.4, 12.0]).unwrap();
        let expected =
            "rank 2 on host2 computed 20.4 s in this epoch, others 11.0 s: they wait for it";
        assert_eq!((rank, text.as_str()), (2, expected));
        assert_eq!(of(&[3.0, 1.0]).unwrap().0, 0);
    }
}
