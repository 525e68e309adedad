//! One server's connections: the ledger under its lock, and what the ledger says done outside of it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use domain::names::{ServerName, TenantId};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::connection::{Connection, Session};
use super::ledger::{Deed, Ledger};
use super::place::Place;
use super::{Error, ServerUsage, Shared, Target, TenantUsage};

/// See the module.
#[derive(Debug)]
pub(super) struct Server {
    name: ServerName,
    shared: Arc<Shared>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ledger: Ledger<Session, Waiter>,
    /// When a session of this server was last found dead, or the server away: what was idle then may be dead too.
    suspected: Option<Instant>,
}

/// Who waits, with the epoch that it asked for.
#[derive(Debug)]
struct Waiter {
    epoch: i64,
    answer: oneshot::Sender<Result<Granted, Error>>,
}

/// What a request gets.
#[derive(Debug)]
pub(super) enum Granted {
    /// A session that was used before.
    Session(Connection),
    /// Leave to open one.
    Place(Place),
}

/// What asking leads to.
pub(super) enum Entry {
    Session(Connection),
    Waiting(Waiting),
}

/// A place in the queue; dropping it leaves the queue.
pub(super) struct Waiting {
    server: Arc<Server>,
    tenant: TenantId,
    ticket: u64,
    answer: oneshot::Receiver<Result<Granted, Error>>,
}

impl Server {
    pub(super) fn new(name: ServerName, shared: Arc<Shared>) -> Self {
        let state = State { ledger: Ledger::new(shared.limits.server_budget), suspected: None };
        Self { name, shared, state: Mutex::new(state) }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// A session at once, or a place in the queue, which may be served already.
    pub(super) fn enter(self: &Arc<Self>, target: &Target) -> Result<Entry, Error> {
        let (limits, tenant, mut deeds) = (&self.shared.limits, target.tenant, Vec::new());
        let cap = limits.tenant_cap.min(target.size.into()).max(1);
        let mut state = self.lock();
        self.refuse_late(tenant, target.epoch)?;
        let ledger = &mut state.ledger;
        let mut found = None;
        while let Some(session) = ledger.take(tenant) {
            if session.epoch == target.epoch {
                found = Some(session);
                break;
            }
            // Its epoch has passed, and who raises it has not come by yet.
            deeds.push(ledger.close(tenant, session));
        }
        let entry = if let Some(session) = found {
            Ok(Entry::Session(Connection::new(session, Place::new(self, tenant))))
        } else {
            ledger.account(tenant).breaker.check(target.epoch, Instant::now()).and_then(|()| {
                if ledger.queue.line(tenant) >= (cap * limits.waiters_per_connection) as usize {
                    return Err(Error::Busy);
                }
                if ledger.queue.len() >= limits.server_waiters as usize {
                    return Err(Error::Exhausted { source: None });
                }
                let (sender, answer) = oneshot::channel();
                let ticket = ledger.wait(tenant, cap, Waiter { epoch: target.epoch, answer: sender });
                deeds.extend(ledger.serve());
                Ok(Entry::Waiting(Waiting { server: Arc::clone(self), tenant, ticket, answer }))
            })
        };
        drop(state);
        self.perform(deeds);
        entry
    }

    /// The tenant's idle session that it used last, if nobody waits.
    pub(super) fn idle(self: &Arc<Self>, target: &Target) -> Option<Connection> {
        let (tenant, mut deeds) = (target.tenant, Vec::new());
        let mut state = self.lock();
        let usable = state.ledger.queue.len() == 0 && self.refuse_late(tenant, target.epoch).is_ok();
        let session = if usable { state.ledger.take(tenant) } else { None };
        let found = match session {
            Some(session) if session.epoch == target.epoch => Some(session),
            Some(passed) => {
                deeds.push(state.ledger.close(tenant, passed));
                None
            }
            None => None,
        };
        drop(state);
        self.perform(deeds);
        found.map(|session| Connection::new(session, Place::new(self, tenant)))
    }

    /// Takes a session back that is as it was when it was handed out, or closes it when it is not to be used again.
    pub(super) fn give_back(self: &Arc<Self>, mut session: Session, place: Place) {
        let (tenant, now) = (place.tenant(), Instant::now());
        let mut state = self.lock();
        let keep = session.pooling && !session.dirty && now < session.expires && self.refuse_late(tenant, session.epoch).is_ok();
        session.since = now;
        let ledger = &mut state.ledger;
        let deeds = if keep { ledger.give_back(tenant, session) } else { vec![ledger.close(tenant, session)] };
        drop(state);
        place.left_in_ledger();
        self.perform(deeds);
    }

    pub(super) fn vacated(self: &Arc<Self>, tenant: TenantId, closing: bool) {
        let deeds = self.lock().ledger.vacated(tenant, closing);
        self.perform(deeds);
    }

    /// The checks that hold for whoever asks, waits or gives back.
    pub(super) fn refuse_late(&self, tenant: TenantId, epoch: i64) -> Result<(), Error> {
        if self.shared.stopping.load(Ordering::SeqCst) {
            return Err(Error::Stopping);
        }
        if self.shared.epochs.is_stale(tenant, epoch) { Err(Error::Stale) } else { Ok(()) }
    }

    pub(super) fn close_older(self: &Arc<Self>, tenant: TenantId, epoch: i64) {
        let mut state = self.lock();
        let deeds = state.ledger.withdraw(|of, session| of == tenant && session.epoch < epoch);
        let waiters = state.ledger.queue.withdraw(tenant, |_, waiter| waiter.epoch < epoch);
        drop(state);
        refuse(waiters, || Error::Stale);
        self.perform(deeds);
    }

    pub(super) fn stop(self: &Arc<Self>) {
        let mut state = self.lock();
        let deeds = state.ledger.withdraw(|_, _| true);
        let waiters = state.ledger.queue.clear();
        drop(state);
        refuse(waiters, || Error::Stopping);
        self.perform(deeds);
    }

    pub(super) fn reap(self: &Arc<Self>, now: Instant) {
        let limits = &self.shared.limits;
        let mut state = self.lock();
        let ledger = &mut state.ledger;
        let deeds = ledger.withdraw(|_, session| session.expires <= now || session.since + limits.idle <= now);
        let queue = &ledger.queue;
        ledger.tenants.retain(|&tenant, account| account.open > 0 || queue.line(tenant) > 0 || !account.breaker.is_quiet(limits, now));
        drop(state);
        self.perform(deeds);
    }

    /// What is idle now must answer before it is used.
    pub(super) fn suspect(&self) {
        self.lock().suspected = Some(Instant::now());
    }

    /// A session that was idle since then must answer before it is used.
    pub(super) fn doubts(&self, since: Instant) -> bool {
        since.elapsed() > self.shared.limits.check_after_idle || self.lock().suspected.is_some_and(|at| since <= at)
    }

    /// Changes a tenant's breaker.
    pub(super) fn breaker<T>(&self, tenant: TenantId, change: impl FnOnce(&mut super::breaker::Breaker) -> T) -> T {
        change(&mut self.lock().ledger.account(tenant).breaker)
    }

    pub(super) fn usage(&self) -> ServerUsage {
        let state = self.lock();
        let ((open, idle), waiting) = (state.ledger.counts(), u32::try_from(state.ledger.queue.len()).unwrap_or(u32::MAX));
        ServerUsage { server: self.name.clone(), open, idle, waiting, budget: self.shared.limits.server_budget }
    }

    pub(super) fn by_tenant(&self) -> Vec<(TenantId, TenantUsage)> {
        let state = self.lock();
        state.ledger.tenants.iter().map(|(&tenant, account)| (tenant, account.usage())).filter(|(_, usage)| usage.open > 0).collect()
    }

    /// Never held across an await, nor while a place or a connection is dropped: those take it themselves.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn perform(self: &Arc<Self>, deeds: Vec<Deed<Session, Waiter>>) {
        for deed in deeds {
            match deed {
                // Who has gone meanwhile drops the grant, which gives it back.
                Deed::Open(tenant, waiter) => drop(waiter.answer.send(Ok(Granted::Place(Place::new(self, tenant))))),
                Deed::Hand(tenant, waiter, session) => {
                    drop(waiter.answer.send(Ok(Granted::Session(Connection::new(session, Place::new(self, tenant))))));
                }
                Deed::Close(tenant, session) => {
                    let place = Place::closing(self, tenant);
                    // Without a runtime the socket is closed here and now.
                    if let Ok(runtime) = Handle::try_current() {
                        runtime.spawn(place.close(session.connection, None));
                    } else {
                        drop(session);
                    }
                }
            }
        }
    }
}

fn refuse(waiters: Vec<Waiter>, why: impl Fn() -> Error) {
    for waiter in waiters {
        // Nobody waits for the answer any more.
        let _ = waiter.answer.send(Err(why()));
    }
}

impl Waiting {
    /// Waits for its turn.
    pub(super) async fn granted(mut self) -> Result<Granted, Error> {
        match tokio::time::timeout(self.server.shared.limits.wait, &mut self.answer).await {
            Ok(Ok(answer)) => answer,
            // The sender is dropped unused only with the server.
            Ok(Err(_)) => Err(Error::Stopping),
            Err(_) => Err(Error::Exhausted { source: None }),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.server.lock().ledger.queue.leave(self.tenant, self.ticket);
    }
}
