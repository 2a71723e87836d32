//! Checks, before anything is allocated, that enough memory is available. [`free_orphans`] frees what Burn's graph keeps
//! for too long.

pub use crate::autodiff::free_orphans;
use crate::error::{Error, Result};
use std::path::Path;

/// Bytes that this process can still allocate: the minimum of the machine's free memory and of what
/// remains under the limits of the control group and of the address space. `None` if the system
/// reports none of these.
pub fn available_bytes() -> Option<u64> {
    [free_bytes(), control_group_bytes(), address_space_bytes()].into_iter().flatten().min()
}

/// The most that may be planned for: [`available_bytes`] without what [`check_available`] spares. `None` if the system
/// does not report its memory.
pub fn usable_bytes() -> Option<u64> {
    available_bytes().map(|available| available.saturating_sub(SPARE) / 17 * 16)
}

/// Checks that the sum of `parts`, each given as (name, bytes), is available to this process, with a sixteenth
/// and 16 MiB to spare. The check passes if the system does not report its memory.
///
/// # Errors
/// [`Error::Memory`] if the sum is not available. The message lists every part.
pub fn check_available(parts: &[(&str, u64)]) -> Result<()> {
    check_fits(parts, available_bytes())
}

/// Bytes that are always left, beside a sixteenth of what is needed.
const SPARE: u64 = 16 << 20;

/// [`check_available`] for `available` bytes; `None` if nobody knows.
pub(crate) fn check_fits(parts: &[(&str, u64)], available: Option<u64>) -> Result<()> {
    let needed = parts.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
    // The estimates are lower bounds: a sixteenth and 16 MiB are for what they leave out.
    let spare = (needed / 16).saturating_add(SPARE);
    let too_little = |&available: &u64| needed.saturating_add(spare) > available;
    let Some(available) = available.filter(too_little) else {
        return Ok(());
    };
    let parts: Vec<String> =
        parts.iter().map(|(what, bytes)| format!("{what} {}", megabytes(*bytes))).collect();
    Err(Error::Memory {
        needed: format!("{} ({})", megabytes(needed), parts.join(", ")),
        available: megabytes(available),
    })
}

pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

/// Linux's `MemAvailable`.
fn free_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What remains under the limits of the control groups that this process is in, version 2 or 1.
fn control_group_bytes() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    // `0::/path` (version 2), `5:cpu,memory:/path` (version 1).
    let left = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        match (number, controllers.split(',').any(|name| name == "memory")) {
            ("0", _) => least_left(
                "/sys/fs/cgroup",
                path,
                ["memory.max", "memory.current", "inactive_file"],
            ),
            (_, true) => least_left(
                "/sys/fs/cgroup/memory",
                path,
                ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"],
            ),
            (_, false) => None,
        }
    });
    left.min()
}

/// The least that remains under the limits of a control group and of those that it is in. The first two of
/// `names` are the files with the limit and the use of a group. The third is the line of `memory.stat` with the
/// part of the use that the system gives back when memory is short: cached files.
fn least_left(root: &str, group: &str, names: [&str; 3]) -> Option<u64> {
    let groups = Path::new(group.trim_start_matches('/')).ancestors();
    let left = groups.filter_map(|group| {
        let read = |file: &str| -> Option<u64> {
            let path = Path::new(root).join(group).join(file);
            // Without a limit, the file says "max", which does not parse.
            std::fs::read_to_string(path).ok()?.trim().parse().ok()
        };
        let statistics = std::fs::read_to_string(Path::new(root).join(group).join("memory.stat"));
        let statistics = statistics.unwrap_or_default();
        let cached =
            statistics.lines().find_map(|line| line.strip_prefix(names[2])?.strip_prefix(' '));
        let cached = cached.and_then(|bytes| bytes.parse::<u64>().ok()).unwrap_or(0);
        let used = read(names[1])?.saturating_sub(cached);
        Some(read(names[0])?.saturating_sub(used))
    });
    left.min()
}

/// What remains under the limit on the address space (`ulimit -v`).
fn address_space_bytes() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    // Without a limit the field is "unlimited", which does not parse.
    let limit = line.split_whitespace().next()?.parse::<u64>().ok()?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let used = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
    let used = used.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)?;
    Some(limit.saturating_sub(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_of_the_enclosing_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |group: &str, max: &str, current: &str| {
            let group = root.path().join(group);
            std::fs::create_dir_all(&group).unwrap();
            std::fs::write(group.join("max"), max).unwrap();
            std::fs::write(group.join("current"), current).unwrap();
        };
        let left = |group: &str| {
            least_left(root.path().to_str().unwrap(), group, ["max", "current", "cached"])
        };
        write("a/b/c", "max\n", "5\n");
        assert_eq!(left("/a/b/c"), None);
        write("a/b", "100\n", "30\n");
        write("a", "50\n", "60\n");
        assert_eq!((left("/a/b/c"), left("/a/b")), (Some(0), Some(0)));
        write("a", "5000\n", "60\n");
        assert_eq!(left("/a/b/c"), Some(70));
        let statistics = "cached_other 7\ncached 20\n";
        std::fs::write(root.path().join("a/b/memory.stat"), statistics).unwrap();
        assert_eq!(left("/a/b/c"), Some(90), "cached files are given back");
        write("", "90\n", "60\n");
        assert_eq!((left("/a/b/c"), left("/")), (Some(30), Some(30)));
    }

    #[test]
    fn more_memory_than_any_machine_has_is_refused_with_the_sizes() {
        check_available(&[("weights", 1000)]).unwrap();
        let refused = check_available(&[("weights", 1 << 60), ("gradients", u64::MAX)]);
        match available_bytes() {
            Some(available) => {
                assert!(available > 1 << 20, "{available} bytes");
                let message = refused.unwrap_err().to_string();
                assert!(message.contains("weights 1152921504607 MB"), "{message}");
            }
            None => println!("skipped: this system does not report its memory"),
        }
    }
}
