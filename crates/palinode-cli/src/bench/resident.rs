//! What the operating system says of this process's memory.

/// Resident bytes of this process: now, and the most there ever were. `None` where the system does not
/// tell as Linux does.
pub fn resident_bytes() -> Option<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = |name: &str| -> Option<u64> {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some((1024 * kilobytes("VmRSS:")?, 1024 * kilobytes("VmHWM:")?))
}
