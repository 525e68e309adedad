//! Single-flight: one caller does the work for a key, and everybody who wants the same at that time waits for its result.
//!
//! Must not keep a result, and must not outlive its callers: work that nobody waits for any more is dropped.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::sync::oneshot;

/// The work under way, by key. Its results are cloned for each caller.
pub(crate) struct SingleFlight<K, R: Clone>(Mutex<HashMap<K, WeakShared<BoxFuture<'static, R>>>>);

impl<K, R: Clone> Default for SingleFlight<K, R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, R: Clone> SingleFlight<K, R> {
    /// The result of the work that is under way for `key`, or of `work`. It continues as long as one of its callers waits, whoever began it.
    pub(crate) async fn run(&self, key: &K, work: impl FnOnce() -> BoxFuture<'static, R>) -> R {
        let seat = self.join(key, work);
        seat.work.clone().await
    }

    /// Whoever comes from now on does not wait for the work of these keys. Those who wait already still get its result.
    pub(crate) fn detach(&self, is_detached: impl Fn(&K) -> bool) {
        self.lock().retain(|key, _| !is_detached(key));
    }

    fn join(&self, key: &K, work: impl FnOnce() -> BoxFuture<'static, R>) -> Seat<'_, K, R> {
        let mut flights = self.lock();
        // A result that is there already may be older than what the caller knows.
        let under_way = flights.get(key).and_then(WeakShared::upgrade).filter(|work| work.peek().is_none());
        let work = under_way.unwrap_or_else(|| {
            let work = work().shared();
            flights.extend(work.downgrade().map(|work| (key.clone(), work)));
            work
        });
        Seat { flights: self, key: key.clone(), work }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, WeakShared<BoxFuture<'static, R>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash, R: Clone + Send + 'static> SingleFlight<K, Option<R>> {
    /// For work that borrows from its caller: either the caller leads and does the work itself, or it waits for the one who leads.
    pub(crate) fn lead_or_wait(&self, key: &K) -> Role<'_, K, R> {
        let (mut leads, (sender, receiver)) = (false, oneshot::channel());
        let seat = self.join(key, || {
            leads = true;
            receiver.map(Result::ok).boxed()
        });
        if leads { Role::Leader(Leader { sender: Some(sender), seat }) } else { Role::Waiter(Waiter(seat)) }
    }
}

/// What one caller of [`SingleFlight::lead_or_wait`] has to do.
pub(crate) enum Role<'a, K: Clone + Eq + Hash, R: Clone> {
    /// Do the work.
    Leader(Leader<'a, K, R>),
    /// Wait for its result.
    Waiter(Waiter<'a, K, R>),
}

/// Does the work. Dropped without a result, it is followed by one of those who wait.
pub(crate) struct Leader<'a, K: Clone + Eq + Hash, R: Clone> {
    sender: Option<oneshot::Sender<R>>,
    seat: Seat<'a, K, Option<R>>,
}

impl<K: Clone + Eq + Hash, R: Clone> Leader<'_, K, R> {
    /// Gives the result to everybody who waits.
    pub(crate) fn share(mut self, result: R) {
        if let Some(sender) = self.sender.take() {
            // Without a waiter nobody receives it.
            let _ = sender.send(result);
        }
    }
}

impl<K: Clone + Eq + Hash, R: Clone> Drop for Leader<'_, K, R> {
    fn drop(&mut self) {
        drop(self.sender.take());
        // Nobody may join from here on: polled once, the work is seen to have ended when the seat is dropped.
        let _ = self.seat.work.clone().now_or_never();
    }
}

/// Waits for the leader's result.
pub(crate) struct Waiter<'a, K: Clone + Eq + Hash, R: Clone>(Seat<'a, K, Option<R>>);

impl<K: Clone + Eq + Hash, R: Clone> Waiter<'_, K, R> {
    /// The result, or nothing when the leader was dropped without one.
    pub(crate) async fn result(self) -> Option<R> {
        self.0.work.clone().await
    }
}

/// A caller's part in the work. Whoever leaves last, or after the work has ended, clears the key.
struct Seat<'a, K: Clone + Eq + Hash, R: Clone> {
    flights: &'a SingleFlight<K, R>,
    key: K,
    work: Shared<BoxFuture<'static, R>>,
}

impl<K: Clone + Eq + Hash, R: Clone> Drop for Seat<'_, K, R> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        let Some(current) = flights.get(&self.key).and_then(WeakShared::upgrade) else { return };
        // Ours and the one just upgraded are the last two, or nobody may join it any more.
        let is_last = current.ptr_eq(&self.work) && (current.strong_count() == Some(2) || current.peek().is_some());
        if is_last {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    struct Query {
        flights: SingleFlight<u8, usize>,
        begun: AtomicUsize,
        answer: Arc<Notify>,
    }

    impl Query {
        fn new() -> Self {
            Self { flights: SingleFlight::default(), begun: AtomicUsize::new(0), answer: Arc::default() }
        }

        async fn run(&self) -> usize {
            self.flights
                .run(&0, || {
                    let (number, answer) = (self.begun.fetch_add(1, Ordering::Relaxed), Arc::clone(&self.answer));
                    async move {
                        answer.notified().await;
                        number
                    }
                    .boxed()
                })
                .await
        }
    }

    fn leader(flights: &SingleFlight<u8, Option<u8>>, key: u8) -> Leader<'_, u8, u8> {
        match flights.lead_or_wait(&key) {
            Role::Leader(leader) => leader,
            Role::Waiter(_) => panic!("another caller leads"),
        }
    }

    fn waiter(flights: &SingleFlight<u8, Option<u8>>, key: u8) -> Waiter<'_, u8, u8> {
        match flights.lead_or_wait(&key) {
            Role::Leader(_) => panic!("nobody leads"),
            Role::Waiter(waiter) => waiter,
        }
    }

    #[tokio::test]
    async fn callers_of_one_moment_share_a_result_and_later_ones_begin_anew() {
        let query = Query::new();
        let answer = async {
            tokio::task::yield_now().await;
            query.answer.notify_one();
        };
        let all = futures::future::join_all((0..1000).map(|_| query.run()));
        assert_eq!(futures::join!(all, answer).0, vec![0; 1000]);
        assert!(query.flights.lock().is_empty(), "ended work is kept");
        query.answer.notify_one();
        assert_eq!(query.run().await, 1);
    }

    #[tokio::test]
    async fn a_caller_that_leaves_takes_nobody_along_and_the_last_one_ends_the_work() {
        let query = Query::new();
        let (mut first, mut second) = (Box::pin(query.run()), Box::pin(query.run()));
        assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(query.flights.lock().len(), 1);
        query.answer.notify_one();
        assert_eq!(second.await, 0);
        let mut third = Box::pin(query.run());
        assert!(futures::poll!(&mut third).is_pending());
        drop(third);
        assert!(query.flights.lock().is_empty(), "work that nobody waits for is kept");
    }

    #[tokio::test]
    async fn waiters_get_the_leaders_result_or_learn_that_it_left() {
        let flights = SingleFlight::default();
        let (first, waiting) = (leader(&flights, 1), waiter(&flights, 1));
        drop(leader(&flights, 2));
        first.share(7);
        let next = leader(&flights, 1);
        assert_eq!(waiting.result().await, Some(7));
        let waiting = waiter(&flights, 1);
        drop(next);
        let last = leader(&flights, 1);
        assert_eq!(waiting.result().await, None);
        drop(last);
        assert!(flights.lock().is_empty(), "ended work is kept");
    }

    #[tokio::test]
    async fn nobody_waits_for_work_that_was_detached_and_its_leader_does_not_end_the_next() {
        let flights = SingleFlight::default();
        let (old, waiting) = (leader(&flights, 1), waiter(&flights, 1));
        flights.detach(|&key| key == 1);
        let new = leader(&flights, 1);
        old.share(1);
        assert_eq!(waiting.result().await, Some(1));
        let waiting = waiter(&flights, 1);
        new.share(2);
        assert_eq!(waiting.result().await, Some(2));
    }
}
