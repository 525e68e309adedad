//! How many large documents are in memory at once, and how many of them one school may have.
//!
//! A document that is being made counts as the largest one; one that is made and waits for its reader counts as what it is. So who reads slowly keeps little
//! from others, and no school keeps the others from making theirs. Must not know what is in a document.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::names::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of memory.
const MEBIBYTE: usize = 1 << 20;

/// The bounds of documents in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportLimits {
    /// For all of them together, in MiB.
    pub memory: u32,
    /// While one is made, in MiB: its records and their JSON.
    pub each: u32,
    /// At once for one school.
    pub school: u32,
}

impl Default for ExportLimits {
    /// 512 MiB, in which four are made at once, two of them for one school.
    fn default() -> Self {
        Self { memory: 512, each: 128, school: 2 }
    }
}

/// The documents of this process. Clones share it.
#[derive(Clone, Debug)]
pub struct Exports(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: ExportLimits,
    memory: Arc<Semaphore>,
    schools: Mutex<HashMap<TenantId, u32>>,
}

/// Leave to make one document and to keep it until it is sent.
#[derive(Debug)]
pub struct ExportPermit {
    memory: OwnedSemaphorePermit,
    _school: OfSchool,
}

/// One of a school's documents.
#[derive(Debug)]
struct OfSchool {
    exports: Exports,
    school: TenantId,
}

impl Exports {
    /// None yet.
    #[must_use]
    pub fn new(limits: ExportLimits) -> Self {
        let memory = usize::try_from(limits.memory).unwrap_or_default();
        Self(Arc::new(Shared { limits, memory: Arc::new(Semaphore::new(memory)), schools: Mutex::default() }))
    }

    /// Leave for one more document of this school, if it may have one and there is memory for it.
    #[must_use]
    pub fn begin(&self, school: TenantId) -> Option<ExportPermit> {
        let of_school = self.enter(school)?;
        let memory = Arc::clone(&self.0.memory).try_acquire_many_owned(self.0.limits.each).ok()?;
        Some(ExportPermit { memory, _school: of_school })
    }

    fn enter(&self, school: TenantId) -> Option<OfSchool> {
        let mut schools = self.lock();
        let count = schools.entry(school).or_default();
        if *count >= self.0.limits.school {
            return None;
        }
        *count += 1;
        Some(OfSchool { exports: self.clone(), school })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, u32>> {
        self.0.schools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ExportPermit {
    /// The document is made and has this size: the memory beyond it is given back.
    pub fn made(&mut self, bytes: usize) {
        let kept = bytes.div_ceil(MEBIBYTE).max(1);
        drop(self.memory.num_permits().checked_sub(kept).and_then(|spare| self.memory.split(spare)));
    }
}

impl Drop for OfSchool {
    fn drop(&mut self) {
        let mut schools = self.exports.lock();
        if let Some(count) = schools.get_mut(&self.school) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                schools.remove(&self.school);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn school(number: u128) -> TenantId {
        TenantId(Uuid::from_u128(number))
    }

    #[test]
    fn documents_that_wait_for_their_readers_keep_their_size_and_leave_the_rest_to_other_schools() {
        let exports = Exports::new(ExportLimits { memory: 10, each: 5, school: 2 });
        let mut waiting: Vec<_> = (0..2).map(|_| exports.begin(school(1)).unwrap()).collect();
        assert!(exports.begin(school(2)).is_none(), "two are being made");
        for permit in &mut waiting {
            permit.made(2 * MEBIBYTE);
        }
        assert!(exports.begin(school(1)).is_none(), "a school has its two");
        let other = exports.begin(school(2)).unwrap();
        assert!(exports.begin(school(3)).is_none(), "memory is bounded");
        drop((waiting, other));
        assert!(exports.lock().is_empty());
        assert!((1..=2).all(|number| exports.begin(school(number)).is_some()));
    }

    #[test]
    fn a_document_larger_than_expected_keeps_what_it_had() {
        let exports = Exports::new(ExportLimits { memory: 10, each: 5, school: 2 });
        let mut permit = exports.begin(school(1)).unwrap();
        permit.made(usize::MAX);
        assert_eq!(permit.memory.num_permits(), 5);
    }
}
