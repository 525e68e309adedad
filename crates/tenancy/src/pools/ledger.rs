//! One server's connections on paper: who has how many, which are idle, who waits, and who is next.
//!
//! Pure: it holds sessions `S` and waiters `W` and says what is to be done with them. It is used under a lock; what it says is done after the lock.
//!
//! The rule of sharing: a free place goes to the waiting tenant with the fewest connections, in turn among equals. A connection given back stays with its
//! tenant when that waits itself, unless another waiting tenant has none, or at least two fewer. So under load each tenant converges to the budget divided
//! by the tenants, one more or less, without giving up connections it could use at once.

use std::collections::{BTreeMap, HashMap, VecDeque};

use domain::names::TenantId;

use super::TenantUsage;
use super::breaker::Breaker;
use super::queue::Queue;

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger<S, W> {
    budget: u32,
    /// Connections from before they are opened until they are closed.
    open: u32,
    /// Those of them that are being closed.
    closing: u32,
    pub(super) tenants: HashMap<TenantId, Account>,
    pub(super) queue: Queue<W>,
    /// By age: the key grows with each that is given back.
    idle: BTreeMap<u64, (TenantId, S)>,
    given_back: u64,
}

/// One tenant's.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) open: u32,
    cap: u32,
    /// Keys of its idle connections, the last used last.
    idle: VecDeque<u64>,
    pub(super) breaker: Breaker,
}

impl Account {
    pub(super) fn usage(&self) -> TenantUsage {
        TenantUsage { open: self.open, idle: u32::try_from(self.idle.len()).unwrap_or(u32::MAX) }
    }
}

/// What is to be done when the lock is let go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Deed<S, W> {
    /// Let the waiter open a connection; its place is taken.
    Open(TenantId, W),
    /// Give the waiter this session.
    Hand(TenantId, W, S),
    /// Close this session, then say [`Ledger::vacated`].
    Close(TenantId, S),
}

impl<S, W> Ledger<S, W> {
    pub(super) fn new(budget: u32) -> Self {
        let (tenants, queue, idle) = (HashMap::new(), Queue::default(), BTreeMap::new());
        Self { budget, open: 0, closing: 0, tenants, queue, idle, given_back: 0 }
    }

    /// Connections open, and idle ones among them.
    pub(super) fn counts(&self) -> (u32, u32) {
        (self.open, u32::try_from(self.idle.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn account(&mut self, tenant: TenantId) -> &mut Account {
        self.tenants.entry(tenant).or_default()
    }

    /// The session that the tenant used last.
    pub(super) fn take(&mut self, tenant: TenantId) -> Option<S> {
        let key = self.tenants.get_mut(&tenant)?.idle.pop_back()?;
        self.idle.remove(&key).map(|(_, session)| session)
    }

    /// Waits; [`Ledger::serve`] must follow. Returns the ticket for leaving the queue.
    pub(super) fn wait(&mut self, tenant: TenantId, cap: u32, waiter: W) -> u64 {
        self.account(tenant).cap = cap;
        self.queue.push(tenant, waiter)
    }

    /// Gives free places to those who wait, and closes idle sessions of others as far as that does not suffice.
    pub(super) fn serve(&mut self) -> Vec<Deed<S, W>> {
        let mut deeds = Vec::new();
        while self.open < self.budget
            && let Some((tenant, _)) = self.next_in_need(None)
            && let Some(waiter) = self.queue.pop(tenant)
        {
            self.open += 1;
            self.account(tenant).open += 1;
            deeds.push(Deed::Open(tenant, waiter));
        }
        while self.need() > self.closing
            && let Some((_, (tenant, session))) = self.idle.pop_first()
        {
            // The oldest of all is its tenant's oldest.
            self.account(tenant).idle.pop_front();
            deeds.push(self.close(tenant, session));
        }
        deeds
    }

    /// A session that may be used again comes back.
    pub(super) fn give_back(&mut self, tenant: TenantId, session: S) -> Vec<Deed<S, W>> {
        let held = self.account(tenant).open;
        let rival = if self.need() > self.closing { self.next_in_need(Some(tenant)) } else { None };
        if rival.is_some_and(|(_, open)| open == 0 || open + 2 <= held) {
            self.queue.pass(tenant);
            return vec![self.close(tenant, session)];
        }
        if let Some(waiter) = self.queue.pop(tenant) {
            return vec![Deed::Hand(tenant, waiter, session)];
        }
        if rival.is_some() {
            return vec![self.close(tenant, session)];
        }
        self.given_back += 1;
        let key = self.given_back;
        self.account(tenant).idle.push_back(key);
        self.idle.insert(key, (tenant, session));
        Vec::new()
    }

    /// Counts a session as one that is being closed; it keeps its place until [`Ledger::vacated`].
    pub(super) fn close(&mut self, tenant: TenantId, session: S) -> Deed<S, W> {
        self.closing += 1;
        Deed::Close(tenant, session)
    }

    /// A place is free: what was opened or closed in it is gone.
    pub(super) fn vacated(&mut self, tenant: TenantId, closing: bool) -> Vec<Deed<S, W>> {
        self.open -= 1;
        self.closing -= u32::from(closing);
        self.account(tenant).open -= 1;
        self.serve()
    }

    /// Closes the idle sessions that are not wanted.
    pub(super) fn withdraw(&mut self, unwanted: impl Fn(TenantId, &S) -> bool) -> Vec<Deed<S, W>> {
        let gone: Vec<_> = self.idle.extract_if(.., |_, (tenant, session)| unwanted(*tenant, session)).collect();
        let close = |(key, (tenant, session))| {
            self.account(tenant).idle.retain(|&other| other != key);
            self.close(tenant, session)
        };
        gone.into_iter().map(close).collect()
    }

    /// The waiting tenant that is next and the number of its connections; `but` is not asked.
    fn next_in_need(&self, but: Option<TenantId>) -> Option<(TenantId, u32)> {
        let in_need = self.queue.tenants().filter(|&(tenant, _)| Some(tenant) != but).filter_map(|(tenant, _)| {
            let account = self.tenants.get(&tenant)?;
            (account.open < account.cap).then_some((tenant, account.open))
        });
        in_need.min_by_key(|&(_, open)| open)
    }

    /// How many more places would be used if there were any.
    fn need(&self) -> u32 {
        let wanted = self.queue.tenants().map(|(tenant, line)| {
            let most = self.tenants.get(&tenant).map_or(0, |account| account.cap.saturating_sub(account.open));
            most.min(u32::try_from(line).unwrap_or(u32::MAX))
        });
        wanted.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Paper = Ledger<&'static str, u32>;

    fn tenant(n: u128) -> TenantId {
        TenantId(uuid::Uuid::from_u128(n))
    }

    fn ask(ledger: &mut Paper, of: u128, waiter: u32) -> Vec<Deed<&'static str, u32>> {
        ledger.wait(tenant(of), 8, waiter);
        ledger.serve()
    }

    #[test]
    fn the_least_recently_used_idle_session_is_closed_and_then_its_slot_passes_on() {
        let mut ledger = Paper::new(2);
        assert_eq!(ask(&mut ledger, 1, 1), [Deed::Open(tenant(1), 1)]);
        assert_eq!(ask(&mut ledger, 2, 2), [Deed::Open(tenant(2), 2)]);
        assert_eq!(ledger.give_back(tenant(2), "old"), []);
        assert_eq!(ledger.give_back(tenant(1), "new"), []);
        assert_eq!(ask(&mut ledger, 3, 3), [Deed::Close(tenant(2), "old")]);
        assert_eq!(ledger.counts(), (2, 1));
        assert_eq!(ledger.serve(), [], "one closing place for one who waits");
        assert_eq!(ledger.vacated(tenant(2), true), [Deed::Open(tenant(3), 3)]);
        assert_eq!((ledger.take(tenant(1)), ledger.take(tenant(2))), (Some("new"), None));
    }

    #[test]
    fn a_session_stays_with_its_tenant_unless_another_that_waits_has_none() {
        let mut ledger = Paper::new(1);
        assert_eq!(ask(&mut ledger, 1, 1), [Deed::Open(tenant(1), 1)]);
        assert_eq!(ask(&mut ledger, 1, 2), []);
        assert_eq!(ledger.give_back(tenant(1), "a"), [Deed::Hand(tenant(1), 2, "a")]);
        assert_eq!((ask(&mut ledger, 1, 3), ask(&mut ledger, 2, 4)), (vec![], vec![]));
        assert_eq!(ledger.give_back(tenant(1), "a"), [Deed::Close(tenant(1), "a")]);
        assert_eq!(ledger.vacated(tenant(1), true), [Deed::Open(tenant(2), 4)], "the one whose turn it is, though another came first");
        assert_eq!(ledger.give_back(tenant(2), "b"), [Deed::Close(tenant(2), "b")]);
    }

    #[test]
    fn loaded_tenants_converge_to_equal_shares_and_then_keep_their_sessions() {
        let mut ledger = Ledger::<(), u32>::new(10);
        let mut closed = Vec::new();
        let mut perform = |ledger: &mut Ledger<(), u32>, deeds: Vec<Deed<(), u32>>| {
            let mut deeds = VecDeque::from(deeds);
            while let Some(deed) = deeds.pop_front() {
                if let Deed::Close(of, ()) = deed {
                    closed.push(of);
                    deeds.extend(ledger.vacated(of, true));
                }
            }
            closed.len()
        };
        for of in 1..=3 {
            for waiter in 0..200 {
                ledger.wait(tenant(of), 8, waiter);
                let deeds = ledger.serve();
                perform(&mut ledger, deeds);
            }
        }
        let shares = |ledger: &Ledger<(), u32>| [1, 2, 3].map(|of| ledger.tenants[&tenant(of)].open);
        assert_eq!(shares(&ledger), [8, 2, 0]);
        let mut round = |ledger: &mut Ledger<(), u32>| {
            let held = shares(ledger);
            (1..=3).zip(held).flat_map(|(of, held)| (0..held).map(move |_| of)).fold(0, |_, of| {
                let deeds = ledger.give_back(tenant(of), ());
                perform(ledger, deeds)
            })
        };
        for _ in 0..5 {
            round(&mut ledger);
        }
        assert!(shares(&ledger).iter().all(|share| (3..=4).contains(share)), "{:?}", shares(&ledger));
        let before = round(&mut ledger);
        assert_eq!(round(&mut ledger), before, "nobody gives up a session it could use");
    }

    #[test]
    fn a_tenant_at_its_cap_waits_for_its_own_and_costs_nobody_an_idle_session() {
        let mut ledger = Paper::new(3);
        ledger.wait(tenant(1), 1, 1);
        assert_eq!(ledger.serve(), [Deed::Open(tenant(1), 1)]);
        assert_eq!(ask(&mut ledger, 2, 2), [Deed::Open(tenant(2), 2)]);
        assert_eq!(ledger.give_back(tenant(2), "b"), []);
        ledger.wait(tenant(1), 1, 3);
        assert_eq!(ledger.serve(), []);
        assert_eq!(ledger.give_back(tenant(1), "a"), [Deed::Hand(tenant(1), 3, "a")]);
    }

    #[test]
    fn what_is_withdrawn_keeps_its_place_until_it_is_gone() {
        let mut ledger = Paper::new(3);
        let _ = (ask(&mut ledger, 1, 1), ask(&mut ledger, 1, 2));
        let _ = (ledger.give_back(tenant(1), "a"), ledger.give_back(tenant(1), "b"));
        assert_eq!(ledger.withdraw(|_, &session| session == "a"), [Deed::Close(tenant(1), "a")]);
        assert_eq!(ledger.counts(), (2, 1));
        assert_eq!(ledger.vacated(tenant(1), true), []);
        assert_eq!((ledger.counts(), ledger.take(tenant(1)), ledger.take(tenant(1))), ((1, 1), Some("b"), None));
    }
}
