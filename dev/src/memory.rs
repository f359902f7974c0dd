//! What a process of this machine holds in memory, as Linux tells it (`proc(5)`).

/// Its resident set, in bytes.
pub fn resident(pid: u32) -> Option<u64> {
    status(pid, "VmRSS:")
}

/// The most that its resident set has ever been, in bytes.
pub fn peak(pid: u32) -> Option<u64> {
    status(pid, "VmHWM:")
}

fn status(pid: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
