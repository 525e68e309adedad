//! Which Schools are Ready and which are gone, as a watch shows it. The same watch runs in every phase, so that it costs each the same.
//!
//! Must not write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use operator::crd::School;
use tokio::sync::Notify;

use crate::Outcome;

/// For a hundred Schools, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_mins(5);

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// When each School that exists was first seen Ready.
    schools: Mutex<HashMap<String, Option<Instant>>>,
    changed: Notify,
}

impl Board {
    /// Watches all Schools of a namespace until the program ends.
    pub(crate) fn watch(client: Client, namespace: &str) -> Self {
        let board = Self::default();
        let events = watcher(Api::<School>::namespaced(client, namespace), watcher::Config::default()).default_backoff();
        let conditions = board.clone();
        tokio::spawn(events.for_each(move |event| {
            if let Ok(event) = event {
                conditions.note(event);
            }
            std::future::ready(())
        }));
        board
    }

    fn note(&self, event: watcher::Event<School>) {
        match event {
            watcher::Event::Apply(school) | watcher::Event::InitApply(school) => {
                let mut schools = self.schools();
                let ready_at = schools.entry(school.name_any()).or_default();
                if ready_at.is_none() && is_ready(&school) {
                    *ready_at = Some(Instant::now());
                }
            }
            watcher::Event::Delete(school) => {
                self.schools().remove(&school.name_any());
            }
            watcher::Event::Init | watcher::Event::InitDone => {}
        }
        self.0.changed.notify_waiters();
    }

    /// When each of `names` was Ready, once all are.
    pub(crate) async fn ready(&self, names: &[String]) -> Outcome<Vec<Instant>> {
        self.until("Ready", || {
            let schools = self.schools();
            names.iter().map(|name| schools.get(name).copied().flatten()).collect()
        })
        .await
    }

    /// How many Schools are Ready, once it is at least `enough`.
    pub(crate) async fn some_ready(&self, enough: usize) -> Outcome<usize> {
        let ready = || self.schools().values().filter(|ready_at| ready_at.is_some()).count();
        self.until("Ready", || Some(ready()).filter(|count| *count >= enough)).await
    }

    /// When no School is left.
    pub(crate) async fn empty(&self) -> Outcome<Instant> {
        self.until("gone", || self.schools().is_empty().then(Instant::now)).await
    }

    async fn until<T>(&self, what: &str, observe: impl Fn() -> Option<T>) -> Outcome<T> {
        let waiting = async {
            loop {
                let changed = self.0.changed.notified();
                if let Some(found) = observe() {
                    return found;
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.map_err(|_| {
            let schools = self.schools();
            let (unready, seconds) = (schools.iter().filter(|(_, ready_at)| ready_at.is_none()), PATIENCE.as_secs());
            let named: Vec<_> = unready.map(|(name, _)| name.as_str()).take(3).collect();
            format!("not all Schools are {what} after {seconds} s: {} exist, not Ready are {}, …", schools.len(), named.join(", ")).into()
        })
    }

    fn schools(&self) -> MutexGuard<'_, HashMap<String, Option<Instant>>> {
        self.0.schools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_ready(school: &School) -> bool {
    let status = school.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
