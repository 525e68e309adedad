//! What was found, counted while it happens and told in the end.
//!
//! Must not stop the run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::Plan;

/// Samples that are kept of what is wrong; all of it is counted.
const SAMPLES: usize = 40;

/// Kinds of faults, by their place in [`Findings::faults`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Disconnected,
    Suspended,
    Rotated,
    Killed,
    CutFromMaster,
    RedisFrozen,
    RedisKilled,
    RedisFlushed,
    Poisoned,
}

const FAULTS: [(&str, Fault); 9] = [
    ("clients gone in the middle", Fault::Disconnected),
    ("schools suspended and resumed", Fault::Suspended),
    ("passwords rotated", Fault::Rotated),
    ("sessions of schools killed", Fault::Killed),
    ("sessions with the master database killed", Fault::CutFromMaster),
    ("Redis frozen", Fault::RedisFrozen),
    ("Redis killed", Fault::RedisKilled),
    ("Redis emptied", Fault::RedisFlushed),
    ("values of one school put under another's keys", Fault::Poisoned),
];

/// What is counted while it runs.
#[derive(Default)]
pub(crate) struct Findings {
    statuses: Mutex<BTreeMap<u16, u64>>,
    faults: [AtomicU64; FAULTS.len()],
    /// Answers to callers who were entitled to one, and how many of these were the work itself.
    entitled: AtomicU64,
    served: AtomicU64,
    foreign: AtomicU64,
    unexpected: AtomicU64,
    wrong_rows: AtomicU64,
    samples: Mutex<Vec<String>>,
}

/// With what was counted in the databases.
pub(crate) struct Tally {
    findings: Findings,
    rows: u64,
    sessions: u64,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    pub(crate) seed: u64,
    pub(crate) tenants: usize,
    pub(crate) requests: u64,
    /// Things of one school in an answer of another's, or in another's database.
    pub(crate) foreign: u64,
    /// Answers that the request may not get.
    pub(crate) unexpected: u64,
    /// Rows that were lost, doubled, or written although the write was refused.
    pub(crate) wrong_rows: u64,
    /// What was wrong, as far as there is room.
    pub(crate) samples: Vec<String>,
    pub(crate) answers: BTreeMap<u16, u64>,
    pub(crate) entitled: u64,
    pub(crate) served: u64,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// Rows of children compared with what was acknowledged.
    pub(crate) rows: u64,
    /// Sessions that the schools' databases saw: each beyond the budget took another's place or followed a fault.
    pub(crate) sessions: u64,
    pub(crate) preparation_seconds: f64,
    pub(crate) seconds: f64,
}

impl Findings {
    pub(crate) fn fault(&self, fault: Fault, times: u64) {
        self.faults[fault as usize].fetch_add(times, Ordering::Relaxed);
    }

    /// Whether each fault happened.
    pub(crate) fn every_fault(&self) -> bool {
        self.faults.iter().all(|times| times.load(Ordering::Relaxed) > 0)
    }

    pub(crate) fn answered(&self, status: u16) {
        *self.statuses.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_default() += 1;
    }

    /// Somebody who may have the answer got one.
    pub(crate) fn entitled(&self, served: bool) {
        self.entitled.fetch_add(1, Ordering::Relaxed);
        self.served.fetch_add(u64::from(served), Ordering::Relaxed);
    }

    pub(crate) fn foreign(&self, what: impl FnOnce() -> String) {
        self.note(&self.foreign, what);
    }

    pub(crate) fn unexpected(&self, what: impl FnOnce() -> String) {
        self.note(&self.unexpected, what);
    }

    pub(crate) fn wrong_row(&self, what: impl FnOnce() -> String) {
        self.note(&self.wrong_rows, what);
    }

    fn note(&self, count: &AtomicU64, what: impl FnOnce() -> String) {
        count.fetch_add(1, Ordering::Relaxed);
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() < SAMPLES {
            samples.push(what());
        }
    }

    /// How far it is.
    pub(crate) fn line(&self, of: u64) -> String {
        let answers: u64 = self.statuses.lock().unwrap_or_else(PoisonError::into_inner).values().sum();
        let [foreign, unexpected, wrong] = [&self.foreign, &self.unexpected, &self.wrong_rows].map(|count| count.load(Ordering::Relaxed));
        format!("{answers} of {of} answered; foreign {foreign}, unexpected {unexpected}, wrong rows {wrong}")
    }

    pub(crate) fn tally(self, rows: u64, sessions: u64) -> Tally {
        Tally { findings: self, rows, sessions }
    }
}

impl Tally {
    pub(crate) fn finish(self, plan: &Plan, prepared: Duration, all: Duration) -> Report {
        let Self { findings, rows, sessions } = self;
        let inner = |count: AtomicU64| count.into_inner();
        Report {
            seed: plan.seed,
            tenants: plan.tenants,
            requests: plan.requests,
            foreign: inner(findings.foreign),
            unexpected: inner(findings.unexpected),
            wrong_rows: inner(findings.wrong_rows),
            samples: findings.samples.into_inner().unwrap_or_else(PoisonError::into_inner),
            answers: findings.statuses.into_inner().unwrap_or_else(PoisonError::into_inner),
            entitled: inner(findings.entitled),
            served: inner(findings.served),
            faults: FAULTS.iter().map(|&(name, fault)| (name, findings.faults[fault as usize].load(Ordering::Relaxed))).collect(),
            rows,
            sessions,
            preparation_seconds: prepared.as_secs_f64(),
            seconds: all.as_secs_f64(),
        }
    }
}

impl Report {
    /// What keeps this run from showing isolation; none when it does. A run without faults, or that served hardly anybody, shows nothing.
    ///
    /// # Errors
    /// With everything that is wrong, each in a few words.
    pub fn verdict(&self) -> Result<(), Vec<String>> {
        let mut wrong = Vec::new();
        for (count, what) in [(self.foreign, "foreign"), (self.unexpected, "unexpected"), (self.wrong_rows, "wrong rows")] {
            if count > 0 {
                wrong.push(format!("{what}: {count}"));
            }
        }
        wrong.extend(self.faults.iter().filter(|(_, times)| **times == 0).map(|(name, _)| format!("never happened: {name}")));
        if self.served * 2 < self.entitled {
            wrong.push(format!("only {} of {} entitled requests were served", self.served, self.entitled));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} requests to {} schools on two replicas in {:.0} s (seed {})",
            self.requests, self.tenants, self.seconds, self.seed
        )?;
        writeln!(f, "\nforeign bytes in answers and databases   {}", self.foreign)?;
        writeln!(f, "answers that the request may not get     {}", self.unexpected)?;
        writeln!(f, "rows lost, doubled or written unasked    {}", self.wrong_rows)?;
        writeln!(f, "\nrows compared with their acknowledgement {}", self.rows)?;
        writeln!(f, "sessions opened in schools' databases    {}", self.sessions)?;
        writeln!(f, "entitled requests served                 {} of {}", self.served, self.entitled)?;
        writeln!(f, "\nanswers by status")?;
        self.answers.iter().try_for_each(|(status, count)| writeln!(f, "  {status}  {count}"))?;
        writeln!(f, "\nmeanwhile")?;
        self.faults.iter().try_for_each(|(name, count)| writeln!(f, "  {count:>8}  {name}"))?;
        self.samples.iter().try_for_each(|sample| writeln!(f, "\n! {sample}"))
    }
}
