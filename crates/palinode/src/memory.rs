//! Checks, before anything is allocated, that enough memory is available.

use crate::error::{Error, Result};

/// Bytes that this process can still allocate: the minimum of the machine's free memory and of what
/// remains under the limits of the control group and of the address space. `None` if the system
/// reports none of these.
pub fn available_bytes() -> Option<u64> {
    [free_bytes(), control_group_bytes(), address_space_bytes()].into_iter().flatten().min()
}

/// Checks that the sum of `parts`, each given as (name, bytes), is available. The check passes if the
/// system does not report its memory.
///
/// # Errors
/// [`Error::Memory`] if the sum is not available. The message lists every part.
pub fn check_available(parts: &[(&str, u64)]) -> Result<()> {
    let needed = parts.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
    let Some(available) = available_bytes().filter(|&available| needed > available) else {
        return Ok(());
    };
    let parts: Vec<String> =
        parts.iter().map(|(what, bytes)| format!("{what} {}", megabytes(*bytes))).collect();
    Err(Error::Memory {
        needed: format!("{} ({})", megabytes(needed), parts.join(", ")),
        available: megabytes(available),
    })
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

/// Linux's `MemAvailable`.
fn free_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What remains under the control group's limit (version 2, or else version 1).
fn control_group_bytes() -> Option<u64> {
    let read = |path: &str| -> Option<u64> {
        std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
    };
    let versions = [
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ];
    let left = |(limit, used): (&str, &str)| Some(read(limit)?.saturating_sub(read(used)?));
    versions.into_iter().find_map(left)
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
