//! What a process has used: processor time and memory, as Linux tells it.
//!
//! Must not sum up: `usage` does.

use std::fs;

use serde::Serialize;

use crate::Outcome;

/// Linux gives times to user space in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// The fields of `/proc/<pid>/stat` that come after the program's name, which may hold anything.
fn stat(pid: u32) -> Outcome<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

/// Sums fields numbered as in proc(5), of which the third is the first after the name.
fn seconds(stat: &[String], fields: std::ops::RangeInclusive<usize>) -> f64 {
    fields.filter_map(|field| stat.get(field - 3)?.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

/// A process's processor seconds so far.
pub(crate) fn own(pid: u32) -> Outcome<f64> {
    Ok(seconds(&stat(pid)?, 14..=15))
}

/// The same of a process, its children, and those of its children that have ended.
pub(crate) fn family(pid: u32) -> Outcome<f64> {
    let mut sum = seconds(&stat(pid)?, 14..=17);
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that ends meanwhile is counted by its parent from then on.
        let Ok(stat) = stat(child) else { continue };
        if stat.get(1).is_some_and(|parent| *parent == pid.to_string()) {
            sum += seconds(&stat, 14..=15);
        }
    }
    Ok(sum)
}

/// Resident memory in MiB: now and at most so far.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Memory {
    pub(crate) now: f64,
    pub(crate) peak: f64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Outcome<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|value| value.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default()
        };
        Ok(Self { now: kib("VmRSS") / 1024.0, peak: kib("VmHWM") / 1024.0 })
    }
}
