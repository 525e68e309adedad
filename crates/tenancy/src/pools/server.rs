//! One server's connections: the connection budget under its lock, and what is known of the server's health.
//!
//! Its methods return the actions to execute after the lock is released, and never execute one: must not open, hand over or close a connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::names::{ServerName, TenantId};

use super::budget::{ConnectionBudget, PoolAction};
use super::connect_breaker::ConnectBreaker;
use super::context::Context;
use super::error::Error;
use super::openings::Openings;
use super::session::Session;
use super::target::Target;
use super::usage::{ServerUsage, TenantUsage};

/// One server, with waiters `W`.
#[derive(Debug)]
pub(super) struct Server<W> {
    name: ServerName,
    context: Arc<Context>,
    state: Mutex<State<W>>,
}

#[derive(Debug)]
struct State<W> {
    budget: ConnectionBudget<Session, W>,
    /// When a session was last found dead, or the server unreachable: sessions that were idle then may be dead too.
    suspected: Option<Instant>,
    openings: Openings,
}

/// What is to be done after the lock is released.
pub(super) type Actions<W> = Vec<PoolAction<Session, W>>;

/// The result of a request for a connection.
pub(super) enum Requested {
    /// An idle session.
    Session(Session),
    /// It waits, with this ticket.
    Queued(u64),
}

impl<W> Server<W> {
    pub(super) fn new(name: ServerName, context: Arc<Context>) -> Self {
        let state = State { budget: ConnectionBudget::new(context.limits.server_budget), suspected: None, openings: Openings::default() };
        Self { name, context, state: Mutex::new(state) }
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// An idle session of the tenant's, or a place in the queue for `waiter`, which an action may serve already.
    pub(super) fn request(&self, target: &Target, waiter: W) -> (Result<Requested, Error>, Actions<W>) {
        let mut actions = Vec::new();
        let mut state = self.lock();
        if let Err(error) = self.context.refuse_stale(target.tenant, target.epoch) {
            return (Err(error), actions);
        }
        while let Some(session) = state.budget.take_idle(target.tenant) {
            if session.epoch == target.epoch {
                return (Ok(Requested::Session(session)), actions);
            }
            // Of a stale epoch, before whoever raised the epoch has closed it.
            actions.push(state.budget.begin_close(target.tenant, session));
        }
        let queued = self.enqueue(&mut state.budget, target, waiter, &mut actions);
        (queued.map(Requested::Queued), actions)
    }

    fn enqueue(
        &self,
        budget: &mut ConnectionBudget<Session, W>,
        target: &Target,
        waiter: W,
        actions: &mut Actions<W>,
    ) -> Result<u64, Error> {
        let (limits, tenant) = (&self.context.limits, target.tenant);
        let cap = limits.tenant_cap.min(target.size.into()).max(1);
        budget.account(tenant).breaker.check(target.epoch, Instant::now())?;
        if budget.queue.len_of(tenant) >= (cap * limits.waiters_per_connection) as usize {
            return Err(Error::Busy);
        }
        if budget.queue.len() >= limits.server_waiters as usize {
            return Err(Error::Exhausted { source: None });
        }
        let ticket = budget.enqueue(tenant, cap, waiter);
        actions.extend(budget.assign_slots());
        Ok(ticket)
    }

    /// The idle session that the tenant used last, if nobody waits.
    pub(super) fn take_idle(&self, target: &Target) -> (Option<Session>, Actions<W>) {
        let mut state = self.lock();
        let is_allowed = state.budget.queue.len() == 0 && self.context.refuse_stale(target.tenant, target.epoch).is_ok();
        match if is_allowed { state.budget.take_idle(target.tenant) } else { None } {
            Some(session) if session.epoch == target.epoch => (Some(session), Vec::new()),
            Some(replaced) => (None, vec![state.budget.begin_close(target.tenant, replaced)]),
            None => (None, Vec::new()),
        }
    }

    /// Takes back a session that is as clean as when it was handed out. One that may not be used again is closed.
    pub(super) fn give_back(&self, tenant: TenantId, mut session: Session) -> Actions<W> {
        let now = Instant::now();
        let mut state = self.lock();
        let is_replaced = state.budget.account(tenant).reopened.is_some_and(|at| session.opened <= at);
        let is_kept = !is_replaced && session.is_reusable(now) && self.context.refuse_stale(tenant, session.epoch).is_ok();
        session.last_used = now;
        if is_kept { state.budget.give_back(tenant, session) } else { vec![state.budget.begin_close(tenant, session)] }
    }

    /// Takes back a slot whose connection is gone.
    pub(super) fn release(&self, tenant: TenantId, is_closing: bool) -> Actions<W> {
        self.lock().budget.release(tenant, is_closing)
    }

    pub(super) fn leave_queue(&self, tenant: TenantId, ticket: u64) {
        self.lock().budget.queue.remove(tenant, ticket);
    }

    /// Closes a tenant's idle sessions of older epochs, and removes its waiters that `is_older` names.
    pub(super) fn close_older(&self, tenant: TenantId, epoch: i64, is_older: impl Fn(&W) -> bool) -> (Vec<W>, Actions<W>) {
        let mut state = self.lock();
        let actions = state.budget.close_idle(|of, session| of == tenant && session.epoch < epoch);
        (state.budget.queue.remove_where(tenant, |_, waiter| is_older(waiter)), actions)
    }

    /// Closes a tenant's sessions that were opened before now: idle ones at once, busy ones when they are given back.
    pub(super) fn close_opened(&self, tenant: TenantId, now: Instant) -> Actions<W> {
        let mut state = self.lock();
        state.budget.account(tenant).reopened = Some(now);
        state.budget.close_idle(|of, session| of == tenant && session.opened <= now)
    }

    /// Closes all idle sessions and removes all waiters.
    pub(super) fn stop(&self) -> (Vec<W>, Actions<W>) {
        let mut state = self.lock();
        let actions = state.budget.close_idle(|_, _| true);
        (state.budget.queue.take_all(), actions)
    }

    /// Closes sessions that were idle or lived too long, and forgets tenants without connections.
    pub(super) fn reap(&self, now: Instant) -> Actions<W> {
        let limits = &self.context.limits;
        let mut state = self.lock();
        let actions = state.budget.close_idle(|_, session| session.expires <= now || session.last_used + limits.idle <= now);
        state.budget.forget_inactive(|breaker| breaker.is_idle(limits, now));
        actions
    }

    /// Sessions that are idle now must answer before they are used.
    pub(super) fn suspect(&self) {
        self.lock().suspected = Some(Instant::now());
    }

    /// Whether a session that was last used then must answer before it is used.
    pub(super) fn is_in_doubt(&self, last_used: Instant) -> bool {
        last_used.elapsed() > self.context.limits.check_after_idle || self.lock().suspected.is_some_and(|at| last_used <= at)
    }

    /// A connection begins to be opened; the number is for [`Server::end_opening`].
    pub(super) fn begin_opening(&self) -> u64 {
        self.lock().openings.begin(Instant::now())
    }

    pub(super) fn end_opening(&self, number: u64, opened: bool) {
        self.lock().openings.end(number, opened, Instant::now());
    }

    /// How long a request waits for a slot in all, as far as it is known by now.
    pub(super) fn patience(&self) -> Duration {
        self.lock().openings.patience(&self.context.limits, Instant::now())
    }

    /// Changes a tenant's breaker.
    pub(super) fn breaker<T>(&self, tenant: TenantId, change: impl FnOnce(&mut ConnectBreaker) -> T) -> T {
        change(&mut self.lock().budget.account(tenant).breaker)
    }

    pub(super) fn usage(&self) -> ServerUsage {
        let state = self.lock();
        let ((open, idle), waiting) = (state.budget.counts(), u32::try_from(state.budget.queue.len()).unwrap_or(u32::MAX));
        ServerUsage { server: self.name.clone(), open, idle, waiting, budget: self.context.limits.server_budget }
    }

    pub(super) fn by_tenant(&self) -> Vec<(TenantId, TenantUsage)> {
        self.lock().budget.by_tenant()
    }

    /// Must not be held across an await, nor while a slot or a connection is dropped: those take it themselves.
    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
