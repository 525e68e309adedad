//! Where processor time goes: the machine's few cores are shared by all parts, so what one of them saves is time for the others.

use std::fs;
use std::ops::Sub;

use serde::Serialize;

use crate::Outcome;
use crate::ground::Ground;

/// Linux gives times to user space in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor seconds of each part.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Usage {
    pub(crate) operator: f64,
    /// This program: it applies and watches in every phase, and does the floor's work.
    pub(crate) bench: f64,
    pub(crate) apiserver: f64,
    pub(crate) etcd: f64,
    pub(crate) controller_manager: f64,
    pub(crate) postgres: f64,
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            operator: self.operator - before.operator,
            bench: self.bench - before.bench,
            apiserver: self.apiserver - before.apiserver,
            etcd: self.etcd - before.etcd,
            controller_manager: self.controller_manager - before.controller_manager,
            postgres: self.postgres - before.postgres,
        }
    }
}

impl Usage {
    /// Until now. `operator` is its process id while it runs.
    pub(crate) fn now(ground: &Ground, operator: Option<u32>) -> Outcome<Self> {
        let [etcd, apiserver, controller_manager] = ground.plane.pids();
        let mut postgres = 0.0;
        for pid in ground.servers.iter().map(dailycare::testing::Postgres::pid) {
            postgres += family(pid)?;
        }
        Ok(Self {
            operator: operator.map_or(Ok(0.0), own)?,
            bench: own(std::process::id())?,
            apiserver: own(apiserver)?,
            etcd: own(etcd)?,
            controller_manager: own(controller_manager)?,
            postgres,
        })
    }

    pub(crate) fn total(&self) -> f64 {
        self.operator + self.bench + self.apiserver + self.etcd + self.controller_manager + self.postgres
    }
}

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

fn own(pid: u32) -> Outcome<f64> {
    Ok(seconds(&stat(pid)?, 14..=15))
}

/// A process, its children, and those of its children that have ended.
fn family(pid: u32) -> Outcome<f64> {
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
