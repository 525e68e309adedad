//! Schools that wait for something or were refused: what each waits for, and which of them are reconciled again when something of it changes.
//!
//! Must not reconcile more of them than can profit: a free place is of use to one School, however many wait for it. Nothing here outlives the process; a School
//! that nobody remembers is reconciled when its own wait ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::names::TenantId;
use domain::placement::PlacementRequest;
use domain::retry;
use kube::runtime::reflector::ObjectRef;

use super::backoff::seed;
use crate::crd::School;

/// Schools reconciled again for one place, one name or one round of maintenance. More than one, because the first ones may not want it any more.
pub(super) const AT_ONCE: usize = 8;

/// What a School waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// A place on a server.
    Place(PlacementRequest),
    /// The same, while the School's namespace is in the way: nobody reports a changed label of a namespace.
    Admission(PlacementRequest),
    /// Its server, whose own controller requeues its Schools.
    Server,
    /// The registry's row of a tenant: its own, or the one that holds its code.
    Tenant(TenantId),
    /// Something that nobody reports, such as a Secret or a database.
    Unreported,
    /// Another operator, or another database in place of this one.
    Upgrade,
}

impl Awaited {
    /// The request for a place, if that is what is awaited.
    pub(super) fn request(&self) -> Option<&PlacementRequest> {
        match self {
            Self::Place(request) | Self::Admission(request) => Some(request),
            Self::Server | Self::Tenant(_) | Self::Unreported | Self::Upgrade => None,
        }
    }

    /// The wait before the School is reconciled although nothing was reported, the `times`th in a row: at once the longest where a change is reported, else
    /// growing to it.
    #[must_use]
    pub fn wait(&self, times: u32, first: Duration, longest: Duration, uid: &str) -> Duration {
        let times = match self {
            Self::Place(_) | Self::Server | Self::Upgrade => u32::MAX,
            Self::Admission(_) | Self::Tenant(_) | Self::Unreported => times,
        };
        retry::growing(first, longest, times, seed(uid))
    }
}

/// The Schools that wait, the one that was reconciled longest ago first.
#[derive(Debug, Default)]
pub struct WaitingSchools(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    entries: HashMap<String, Entry>,
    order: BTreeMap<u64, String>,
    last: u64,
}

#[derive(Debug)]
struct Entry {
    object: ObjectRef<School>,
    awaited: Awaited,
    times: u32,
    place: u64,
}

impl Queue {
    fn last(&mut self, uid: &str) -> u64 {
        self.last += 1;
        self.order.insert(self.last, uid.to_owned());
        self.last
    }
}

impl WaitingSchools {
    /// A School waits. Returns how often in a row it was found to wait for the same.
    pub fn insert(&self, uid: &str, object: ObjectRef<School>, awaited: Awaited) -> u32 {
        let mut queue = self.queue();
        let before = queue.entries.remove(uid);
        let times = before.as_ref().filter(|before| before.awaited == awaited).map_or(1, |before| before.times.saturating_add(1));
        if let Some(before) = before {
            queue.order.remove(&before.place);
        }
        let place = queue.last(uid);
        queue.entries.insert(uid.to_owned(), Entry { object, awaited, times, place });
        times
    }

    /// A School does not wait any more.
    pub fn remove(&self, uid: &str) {
        let mut queue = self.queue();
        if let Some(entry) = queue.entries.remove(uid) {
            queue.order.remove(&entry.place);
        }
    }

    /// At most `most` of those whose awaited thing is `concerned`, those first that were reconciled longest ago. They go to the end, so that the next call
    /// chooses others.
    #[must_use]
    pub fn first(&self, most: usize, concerned: impl Fn(&Awaited) -> bool) -> Vec<ObjectRef<School>> {
        let mut queue = self.queue();
        let chosen = queue.order.values().filter(|uid| queue.entries.get(*uid).is_some_and(|entry| concerned(&entry.awaited)));
        let chosen: Vec<_> = chosen.take(most).cloned().collect();
        let mut objects = Vec::with_capacity(chosen.len());
        for uid in chosen {
            let place = queue.last(&uid);
            if let Some(entry) = queue.entries.get_mut(&uid) {
                let before = std::mem::replace(&mut entry.place, place);
                objects.push(entry.object.clone());
                queue.order.remove(&before);
            }
        }
        objects
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use domain::names::ServerName;
    use domain::tier::Tier;
    use uuid::Uuid;

    use super::*;

    const MANY: u32 = 10_000;
    const FIRST: Duration = Duration::from_secs(15);
    const RESYNC: Duration = Duration::from_mins(10);

    fn school(number: u32) -> ObjectRef<School> {
        ObjectRef::new(&format!("school-{number}")).within("district")
    }

    fn place(server: Option<&str>) -> Awaited {
        Awaited::Place(PlacementRequest { tier: Tier::Standard, server: server.map(|name| ServerName::parse(name).unwrap()) })
    }

    fn all_waiting(awaited: impl Fn(u32) -> Awaited) -> WaitingSchools {
        let waiting = WaitingSchools::default();
        for number in 0..MANY {
            waiting.insert(&number.to_string(), school(number), awaited(number));
        }
        waiting
    }

    #[test]
    fn of_ten_thousand_schools_that_wait_for_a_place_each_departure_requeues_a_few_and_always_others() {
        let waiting = all_waiting(|_| place(None));
        let mut requeued = HashSet::new();
        for departures in 1..=100 {
            let some = waiting.first(AT_ONCE, |awaited| awaited.request().is_some());
            assert_eq!(some.len(), AT_ONCE);
            requeued.extend(some);
            assert_eq!(requeued.len(), departures * AT_ONCE, "a School was requeued twice before others once");
        }
    }

    #[test]
    fn of_ten_thousand_refused_schools_a_tenants_change_requeues_only_those_that_wait_for_it() {
        let tenant = |number: u32| TenantId(Uuid::from_u128((number / 2).into()));
        let waiting = all_waiting(|number| Awaited::Tenant(tenant(number)));
        let requeued = waiting.first(AT_ONCE, |awaited| *awaited == Awaited::Tenant(tenant(4_000)));
        assert_eq!(requeued, [school(4_000), school(4_001)]);
        waiting.remove("4000");
        assert_eq!(waiting.first(AT_ONCE, |awaited| *awaited == Awaited::Tenant(tenant(4_000))), [school(4_001)]);
    }

    /// Reconciles of 10,000 Schools in a time during which nothing happens.
    fn reconciles(awaited: &Awaited, time: Duration) -> usize {
        let of_one = |number: u32| {
            let (mut passed, mut times) = (Duration::ZERO, 0);
            while passed < time {
                times += 1;
                passed += awaited.wait(times, FIRST, RESYNC, &number.to_string());
            }
            times as usize
        };
        (0..MANY).map(of_one).sum()
    }

    #[test]
    fn ten_thousand_schools_that_nothing_happens_to_are_reconciled_hardly_more_often_than_served_ones() {
        let hour = Duration::from_hours(1);
        let served = MANY as usize * 7;
        for awaited in [Awaited::Upgrade, place(None), Awaited::Server] {
            // 240 in an hour each, when everything that waited was looked at every 15 s.
            assert!(reconciles(&awaited, hour) <= served * 4 / 3, "{awaited:?}: {}", reconciles(&awaited, hour));
        }
        for awaited in [Awaited::Unreported, Awaited::Tenant(TenantId(Uuid::nil()))] {
            assert!(reconciles(&awaited, hour) <= served * 2, "{awaited:?}: {}", reconciles(&awaited, hour));
            assert!(reconciles(&awaited, Duration::from_mins(1)) <= MANY as usize * 3, "{awaited:?}");
        }
    }

    #[test]
    fn a_wait_that_grew_is_short_again_when_something_else_is_waited_for() {
        let waiting = WaitingSchools::default();
        let insert = |awaited| waiting.insert("1", school(1), awaited);
        assert_eq!([insert(Awaited::Unreported), insert(Awaited::Unreported), insert(Awaited::Upgrade)], [1, 2, 1]);
        assert!(Awaited::Unreported.wait(1, FIRST, RESYNC, "1") <= FIRST);
    }
}
