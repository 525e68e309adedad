//! One question at a time for each key: whoever asks the same while it is being asked waits for the same answer.
//!
//! Must not keep answers, and must not outlive the callers: a question that nobody waits for any more is dropped.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};

type Flight<A> = Shared<BoxFuture<'static, A>>;

pub(super) struct Flights<K, A: Clone>(Mutex<HashMap<K, WeakShared<BoxFuture<'static, A>>>>);

impl<K: Clone + Eq + Hash, A: Clone> Flights<K, A> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Joins the question that is being asked for `key`, or asks it.
    pub(super) async fn join(&self, key: &K, ask: impl FnOnce() -> BoxFuture<'static, A>) -> A {
        let seat = self.seat(key, ask);
        seat.flight.clone().await
    }

    fn seat<'a>(&'a self, key: &'a K, ask: impl FnOnce() -> BoxFuture<'static, A>) -> Seat<'a, K, A> {
        let mut flights = self.lock();
        // An answer that is there already may be older than what its asker saw.
        let under_way = flights.get(key).and_then(WeakShared::upgrade).filter(|flight| flight.peek().is_none());
        let flight = under_way.unwrap_or_else(|| {
            let flight = ask().shared();
            flights.extend(flight.downgrade().map(|flight| (key.clone(), flight)));
            flight
        });
        Seat { flights: self, key, flight }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, WeakShared<BoxFuture<'static, A>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller's place. Whoever leaves last, answered or not, clears the key.
struct Seat<'a, K: Clone + Eq + Hash, A: Clone> {
    flights: &'a Flights<K, A>,
    key: &'a K,
    flight: Flight<A>,
}

impl<K: Clone + Eq + Hash, A: Clone> Drop for Seat<'_, K, A> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        let Some(current) = flights.get(self.key).and_then(WeakShared::upgrade) else { return };
        // Ours and the one just upgraded are the last two, or nobody may join it any more.
        let last = current.ptr_eq(&self.flight) && (current.strong_count() == Some(2) || current.peek().is_some());
        if last {
            flights.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    struct Question {
        flights: Flights<u8, usize>,
        asked: AtomicUsize,
        answer: Arc<Notify>,
    }

    impl Question {
        fn new() -> Self {
            Self { flights: Flights::new(), asked: AtomicUsize::new(0), answer: Arc::default() }
        }

        async fn ask(&self) -> usize {
            self.flights
                .join(&0, || {
                    let (number, answer) = (self.asked.fetch_add(1, Ordering::Relaxed), Arc::clone(&self.answer));
                    async move {
                        answer.notified().await;
                        number
                    }
                    .boxed()
                })
                .await
        }
    }

    #[tokio::test]
    async fn callers_of_one_moment_share_an_answer_and_later_ones_ask_anew() {
        let question = Question::new();
        let answer = async {
            tokio::task::yield_now().await;
            question.answer.notify_one();
        };
        let all = futures::future::join_all((0..1000).map(|_| question.ask()));
        assert_eq!(futures::join!(all, answer).0, vec![0; 1000]);
        assert!(question.flights.lock().is_empty(), "an answered question is kept");
        question.answer.notify_one();
        assert_eq!(question.ask().await, 1);
    }

    #[tokio::test]
    async fn a_caller_that_leaves_takes_nobody_along_and_the_last_one_ends_the_question() {
        let question = Question::new();
        let (mut first, mut second) = (Box::pin(question.ask()), Box::pin(question.ask()));
        assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(question.flights.lock().len(), 1);
        question.answer.notify_one();
        assert_eq!(second.await, 0);
        let mut third = Box::pin(question.ask());
        assert!(futures::poll!(&mut third).is_pending());
        drop(third);
        assert!(question.flights.lock().is_empty(), "a question that nobody waits for is kept");
    }
}
