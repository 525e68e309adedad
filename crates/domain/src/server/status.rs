//! What to tell about a server: conditions from what was seen and planned.

use super::plan::{Facts, Failure, Plan, Seen};
use crate::condition::{Condition, Kind, Reason, Verdict};

/// What the spec and the registry say of a server's room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// `spec.schedulable`.
    pub schedulable: bool,
    /// Schools on it, retained ones included.
    pub schools: u32,
    /// `spec.capacity.maxSchools`.
    pub capacity: Option<u32>,
}

/// Conditions after a turn that ended with `plan`. `overdue`: progress has been awaited for longer than the progress deadline.
#[must_use]
pub fn report(seen: &Seen, plan: &Plan, room: Room, overdue: bool) -> Vec<Condition> {
    let mut conditions = summary(plan, seen.deleting, overdue);
    conditions.push(reachable(&seen.contact));
    conditions.push(schedulable(room));
    conditions.push(capacity(room));
    conditions
}

fn summary(plan: &Plan, deleting: bool, overdue: bool) -> Vec<Condition> {
    let (ready, reconciling, stalled, reason, message) = match plan {
        Plan::Settled => (true, false, false, Reason::Ready, "schools can be placed here"),
        Plan::Act(_) => (false, true, false, Reason::Preparing, "roles and template are being made"),
        Plan::Wait(Failure { reason, message }) => (false, true, overdue && !deleting, *reason, message.as_str()),
        Plan::Refuse(Failure { reason, message }) => (false, false, true, *reason, message.as_str()),
    };
    let reason_if_deleting = if deleting { Reason::Terminating } else { reason };
    let stalled_reason = if stalled && reconciling { Reason::ProgressDeadlineExceeded } else { reason };
    vec![
        Condition::new(Kind::Ready, Verdict::from(ready), reason_if_deleting, message),
        Condition::new(Kind::Reconciling, Verdict::from(reconciling), reason, message),
        Condition::new(Kind::Stalled, Verdict::from(stalled), stalled_reason, message),
    ]
}

fn reachable(contact: &Result<Facts, Failure>) -> Condition {
    match contact {
        Ok(_) => Condition::new(Kind::Reachable, Verdict::True, Reason::Connected, "the server answers"),
        Err(Failure { reason, message }) => Condition::new(Kind::Reachable, Verdict::False, *reason, message),
    }
}

fn schedulable(room: Room) -> Condition {
    if room.schedulable {
        Condition::new(Kind::Schedulable, Verdict::True, Reason::AcceptingSchools, "new schools may be placed here")
    } else {
        Condition::new(Kind::Schedulable, Verdict::False, Reason::ServerCordoned, "spec.schedulable is false; schools already here stay")
    }
}

fn capacity(room: Room) -> Condition {
    match room.capacity {
        Some(most) if room.schools >= most => {
            let message = format!("all {most} places are taken; raise spec.capacity.maxSchools or add a server");
            Condition::new(Kind::CapacityAvailable, Verdict::False, Reason::NoCapacity, message)
        }
        _ => Condition::new(Kind::CapacityAvailable, Verdict::True, Reason::RoomLeft, "there is room for more schools"),
    }
}
