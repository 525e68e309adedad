//! One server's connection budget: which tenant has how many connections, which are idle, who waits, and who is next.
//!
//! Must not do I/O or read a clock: it holds sessions `S` and waiters `W`, and returns the actions to execute. It is used under a lock, and the actions are
//! executed after the lock is released.
//!
//! The rule of sharing: a free slot goes to the waiting tenant with the fewest connections, in turn among equals. A connection that is given back stays with
//! its tenant if that waits itself, unless another waiting tenant has none, or at least two fewer. So under load every tenant converges to an equal share of the
//! budget, one more or less, without giving up connections that it could use at once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use domain::names::TenantId;

use super::connect_breaker::ConnectBreaker;
use super::queue::Queue;
use super::usage::TenantUsage;

/// See the module.
#[derive(Debug)]
pub(super) struct ConnectionBudget<S, W> {
    budget: u32,
    /// Connections, from before they are opened until they are closed.
    open: u32,
    /// Those of them that are being closed.
    closing: u32,
    tenants: HashMap<TenantId, Account>,
    pub(super) queue: Queue<W>,
    /// By age: the key grows with each session that is given back.
    idle: BTreeMap<u64, (TenantId, S)>,
    given_back: u64,
}

/// One tenant's connections.
#[derive(Debug, Default)]
pub(super) struct Account {
    open: u32,
    cap: u32,
    /// Keys of its idle sessions, the most recently used last.
    idle: VecDeque<u64>,
    /// Sessions that were opened before lead to where writes are refused, so they are closed.
    pub(super) reopened: Option<Instant>,
    pub(super) breaker: ConnectBreaker,
}

impl Account {
    fn usage(&self) -> TenantUsage {
        TenantUsage { open: self.open, idle: u32::try_from(self.idle.len()).unwrap_or(u32::MAX) }
    }
}

/// What is to be done after the lock is released.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PoolAction<S, W> {
    /// Let the waiter open a connection. Its slot is counted.
    Open(TenantId, W),
    /// Hand this session to the waiter.
    HandOver(TenantId, W, S),
    /// Close this session, then call [`ConnectionBudget::release`].
    Close(TenantId, S),
}

impl<S, W> ConnectionBudget<S, W> {
    pub(super) fn new(budget: u32) -> Self {
        let (tenants, queue, idle) = (HashMap::new(), Queue::default(), BTreeMap::new());
        Self { budget, open: 0, closing: 0, tenants, queue, idle, given_back: 0 }
    }

    /// How many connections are open, and how many of them idle.
    pub(super) fn counts(&self) -> (u32, u32) {
        (self.open, u32::try_from(self.idle.len()).unwrap_or(u32::MAX))
    }

    /// The connections of each tenant that has some.
    pub(super) fn by_tenant(&self) -> Vec<(TenantId, TenantUsage)> {
        self.tenants.iter().map(|(&tenant, account)| (tenant, account.usage())).filter(|(_, usage)| usage.open > 0).collect()
    }

    pub(super) fn account(&mut self, tenant: TenantId) -> &mut Account {
        self.tenants.entry(tenant).or_default()
    }

    /// Forgets tenants that have no connection, no waiter and an idle breaker.
    pub(super) fn forget_inactive(&mut self, is_idle: impl Fn(&ConnectBreaker) -> bool) {
        let queue = &self.queue;
        self.tenants.retain(|&tenant, account| account.open > 0 || queue.len_of(tenant) > 0 || !is_idle(&account.breaker));
    }

    /// Takes the idle session that the tenant used last.
    pub(super) fn take_idle(&mut self, tenant: TenantId) -> Option<S> {
        let key = self.tenants.get_mut(&tenant)?.idle.pop_back()?;
        self.idle.remove(&key).map(|(_, session)| session)
    }

    /// Adds a waiter to the queue and returns its ticket. [`Self::assign_slots`] must follow.
    pub(super) fn enqueue(&mut self, tenant: TenantId, cap: u32, waiter: W) -> u64 {
        self.account(tenant).cap = cap;
        self.queue.push(tenant, waiter)
    }

    /// Gives free slots to waiters. If they do not suffice, closes other tenants' idle sessions.
    pub(super) fn assign_slots(&mut self) -> Vec<PoolAction<S, W>> {
        let mut actions = Vec::new();
        while self.open < self.budget
            && let Some((tenant, _)) = self.next_in_need(None)
            && let Some(waiter) = self.queue.pop(tenant)
        {
            self.open += 1;
            self.account(tenant).open += 1;
            actions.push(PoolAction::Open(tenant, waiter));
        }
        while self.need() > self.closing
            && let Some((_, (tenant, session))) = self.idle.pop_first()
        {
            // The oldest of all is its tenant's oldest.
            self.account(tenant).idle.pop_front();
            actions.push(self.begin_close(tenant, session));
        }
        actions
    }

    /// Takes back a session that may be used again.
    pub(super) fn give_back(&mut self, tenant: TenantId, session: S) -> Vec<PoolAction<S, W>> {
        let own = self.account(tenant).open;
        let rival = if self.need() > self.closing { self.next_in_need(Some(tenant)) } else { None };
        if rival.is_some_and(|(_, open)| open == 0 || open + 2 <= own) {
            self.queue.move_to_back(tenant);
            return vec![self.begin_close(tenant, session)];
        }
        if let Some(waiter) = self.queue.pop(tenant) {
            return vec![PoolAction::HandOver(tenant, waiter, session)];
        }
        if rival.is_some() {
            return vec![self.begin_close(tenant, session)];
        }
        self.given_back += 1;
        let key = self.given_back;
        self.account(tenant).idle.push_back(key);
        self.idle.insert(key, (tenant, session));
        Vec::new()
    }

    /// Counts a session as closing. It keeps its slot until [`Self::release`].
    pub(super) fn begin_close(&mut self, tenant: TenantId, session: S) -> PoolAction<S, W> {
        self.closing += 1;
        PoolAction::Close(tenant, session)
    }

    /// Takes back a slot: the connection in it is closed, or was never opened.
    pub(super) fn release(&mut self, tenant: TenantId, is_closing: bool) -> Vec<PoolAction<S, W>> {
        self.open -= 1;
        self.closing -= u32::from(is_closing);
        self.account(tenant).open -= 1;
        self.assign_slots()
    }

    /// Closes the idle sessions that fulfil the condition.
    pub(super) fn close_idle(&mut self, is_closed: impl Fn(TenantId, &S) -> bool) -> Vec<PoolAction<S, W>> {
        let removed: Vec<_> = self.idle.extract_if(.., |_, (tenant, session)| is_closed(*tenant, session)).collect();
        let close = |(key, (tenant, session))| {
            self.account(tenant).idle.retain(|&other| other != key);
            self.begin_close(tenant, session)
        };
        removed.into_iter().map(close).collect()
    }

    /// The next waiting tenant except `except`, with the number of its connections.
    fn next_in_need(&self, except: Option<TenantId>) -> Option<(TenantId, u32)> {
        let in_need = self.queue.tenants().filter(|&(tenant, _)| Some(tenant) != except).filter_map(|(tenant, _)| {
            let account = self.tenants.get(&tenant)?;
            (account.open < account.cap).then_some((tenant, account.open))
        });
        in_need.min_by_key(|&(_, open)| open)
    }

    /// How many more slots could be used.
    fn need(&self) -> u32 {
        let needed = self.queue.tenants().map(|(tenant, waiting)| {
            let most = self.tenants.get(&tenant).map_or(0, |account| account.cap.saturating_sub(account.open));
            most.min(u32::try_from(waiting).unwrap_or(u32::MAX))
        });
        needed.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Budget = ConnectionBudget<&'static str, u32>;

    fn tenant(n: u128) -> TenantId {
        TenantId(uuid::Uuid::from_u128(n))
    }

    fn enqueue(budget: &mut Budget, of: u128, waiter: u32) -> Vec<PoolAction<&'static str, u32>> {
        budget.enqueue(tenant(of), 8, waiter);
        budget.assign_slots()
    }

    #[test]
    fn the_least_recently_used_idle_session_is_closed_and_then_its_slot_passes_on() {
        let mut budget = Budget::new(2);
        assert_eq!(enqueue(&mut budget, 1, 1), [PoolAction::Open(tenant(1), 1)]);
        assert_eq!(enqueue(&mut budget, 2, 2), [PoolAction::Open(tenant(2), 2)]);
        assert_eq!(budget.give_back(tenant(2), "old"), []);
        assert_eq!(budget.give_back(tenant(1), "new"), []);
        assert_eq!(enqueue(&mut budget, 3, 3), [PoolAction::Close(tenant(2), "old")]);
        assert_eq!(budget.counts(), (2, 1));
        assert_eq!(budget.assign_slots(), [], "one closing slot for one waiter");
        assert_eq!(budget.release(tenant(2), true), [PoolAction::Open(tenant(3), 3)]);
        assert_eq!((budget.take_idle(tenant(1)), budget.take_idle(tenant(2))), (Some("new"), None));
    }

    #[test]
    fn a_session_stays_with_its_tenant_unless_another_that_waits_has_none() {
        let mut budget = Budget::new(1);
        assert_eq!(enqueue(&mut budget, 1, 1), [PoolAction::Open(tenant(1), 1)]);
        assert_eq!(enqueue(&mut budget, 1, 2), []);
        assert_eq!(budget.give_back(tenant(1), "a"), [PoolAction::HandOver(tenant(1), 2, "a")]);
        assert_eq!((enqueue(&mut budget, 1, 3), enqueue(&mut budget, 2, 4)), (vec![], vec![]));
        assert_eq!(budget.give_back(tenant(1), "a"), [PoolAction::Close(tenant(1), "a")]);
        assert_eq!(
            budget.release(tenant(1), true),
            [PoolAction::Open(tenant(2), 4)],
            "the one whose turn it is, though another came first"
        );
        assert_eq!(budget.give_back(tenant(2), "b"), [PoolAction::Close(tenant(2), "b")]);
    }

    #[test]
    fn loaded_tenants_converge_to_equal_shares_and_then_keep_their_sessions() {
        let mut budget = ConnectionBudget::<(), u32>::new(10);
        let mut closed = Vec::new();
        let mut execute = |budget: &mut ConnectionBudget<(), u32>, actions: Vec<PoolAction<(), u32>>| {
            let mut actions = VecDeque::from(actions);
            while let Some(action) = actions.pop_front() {
                if let PoolAction::Close(of, ()) = action {
                    closed.push(of);
                    actions.extend(budget.release(of, true));
                }
            }
            closed.len()
        };
        for of in 1..=3 {
            for waiter in 0..200 {
                budget.enqueue(tenant(of), 8, waiter);
                let actions = budget.assign_slots();
                execute(&mut budget, actions);
            }
        }
        let shares = |budget: &ConnectionBudget<(), u32>| [1, 2, 3].map(|of| budget.tenants[&tenant(of)].open);
        assert_eq!(shares(&budget), [8, 2, 0]);
        let mut round = |budget: &mut ConnectionBudget<(), u32>| {
            let held = shares(budget);
            (1..=3).zip(held).flat_map(|(of, held)| (0..held).map(move |_| of)).fold(0, |_, of| {
                let actions = budget.give_back(tenant(of), ());
                execute(budget, actions)
            })
        };
        for _ in 0..5 {
            round(&mut budget);
        }
        assert!(shares(&budget).iter().all(|share| (3..=4).contains(share)), "{:?}", shares(&budget));
        let before = round(&mut budget);
        assert_eq!(round(&mut budget), before, "nobody gives up a session it could use");
    }

    #[test]
    fn a_tenant_at_its_cap_waits_for_its_own_and_costs_nobody_an_idle_session() {
        let mut budget = Budget::new(3);
        budget.enqueue(tenant(1), 1, 1);
        assert_eq!(budget.assign_slots(), [PoolAction::Open(tenant(1), 1)]);
        assert_eq!(enqueue(&mut budget, 2, 2), [PoolAction::Open(tenant(2), 2)]);
        assert_eq!(budget.give_back(tenant(2), "b"), []);
        budget.enqueue(tenant(1), 1, 3);
        assert_eq!(budget.assign_slots(), []);
        assert_eq!(budget.give_back(tenant(1), "a"), [PoolAction::HandOver(tenant(1), 3, "a")]);
    }

    #[test]
    fn a_closing_session_keeps_its_slot_until_it_is_gone() {
        let mut budget = Budget::new(3);
        let _ = (enqueue(&mut budget, 1, 1), enqueue(&mut budget, 1, 2));
        let _ = (budget.give_back(tenant(1), "a"), budget.give_back(tenant(1), "b"));
        assert_eq!(budget.close_idle(|_, &session| session == "a"), [PoolAction::Close(tenant(1), "a")]);
        assert_eq!(budget.counts(), (2, 1));
        assert_eq!(budget.release(tenant(1), true), []);
        assert_eq!((budget.counts(), budget.take_idle(tenant(1)), budget.take_idle(tenant(1))), ((1, 1), Some("b"), None));
    }
}
