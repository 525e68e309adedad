//! Events for people who run `kubectl describe`.
//!
//! Best effort: publishing must never delay or fail a reconcile.

mod recent;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::recent::Recent;
use super::{FIELD_MANAGER, within};

/// The same event about the same object is published once in this time.
pub const QUIET: Duration = Duration::from_mins(10);

/// Events that may wait to be sent; more than that are dropped.
const QUEUE: usize = 512;

/// Time to send what is still queued when the program stops.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// The API server's bounds, in bytes.
const MAX_NOTE: usize = 1024;

/// `type` of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// For the record.
    Normal,
    /// Something needs attention.
    Warning,
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `Normal` or `Warning`.
    pub severity: Severity,
    /// Why, in one `CamelCase` word of at most 128 characters.
    pub reason: &'static str,
    /// What was done or tried, in one `CamelCase` word of at most 128 characters.
    pub action: &'static str,
    /// A sentence for a person; cut to 1 kB.
    pub note: String,
}

/// Takes events and returns at once. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Event>,
    recent: Arc<Mutex<Recent>>,
    instance: Arc<str>,
}

/// Sends what a [`Recorder`] takes.
pub struct Publisher {
    client: Client,
    queue: mpsc::Receiver<Event>,
}

/// A recorder and the publisher behind it. `instance` names this process, usually its pod.
#[must_use]
pub fn recorder(client: Client, instance: &str) -> (Recorder, Publisher) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let recorder = Recorder { queue: sender, recent: Arc::default(), instance: instance.into() };
    (recorder, Publisher { client, queue: receiver })
}

impl Recorder {
    /// Publishes `notice` about an object, unless the same was published within [`QUIET`] or the queue is full.
    pub fn publish(&self, regarding: &ObjectReference, notice: &Notice) {
        let key = key_of(regarding, notice);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if !recent.is_new(key, Instant::now()) {
            return;
        }
        if self.queue.try_send(event(regarding, notice, &self.instance, key, Timestamp::now())).is_ok() {
            recent.published(key, Instant::now());
        } else {
            tracing::debug!(reason = notice.reason, "event dropped: the queue is full or closed");
        }
    }
}

impl Publisher {
    /// Sends events until `stop`, then for a moment longer what is still queued.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(Some(event)) = stop.run_until_cancelled(self.queue.recv()).await {
            send(&self.client, &event).await;
        }
        self.queue.close();
        let rest = async {
            while let Some(event) = self.queue.recv().await {
                send(&self.client, &event).await;
            }
        };
        if tokio::time::timeout(FLUSH_TIME, rest).await.is_err() {
            tracing::debug!("events dropped: stopping");
        }
    }
}

async fn send(client: &Client, event: &Event) {
    let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match within("sending an event", Api::namespaced(client.clone(), namespace).create(&parameters, event)).await {
        Ok(_) => {}
        // An earlier leader published it.
        Err(error) if error.is_already_exists() => {}
        Err(error) => tracing::debug!(reason = event.reason, error = error.message(), "event not sent"),
    }
}

fn key_of(regarding: &ObjectReference, notice: &Notice) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&regarding.uid, notice.severity, notice.reason, notice.action, &notice.note).hash(&mut hasher);
    hasher.finish()
}

/// The event's name follows from what it says and when, in steps of [`QUIET`]: a restarted operator that publishes the same finds it published.
fn event(regarding: &ObjectReference, notice: &Notice, instance: &str, key: u64, now: Timestamp) -> Event {
    let interval = now.as_second().unsigned_abs() / QUIET.as_secs();
    let name = format!("{}.{key:016x}{interval:x}", regarding.name.as_deref().unwrap_or_default());
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            // Events about cluster-scoped objects live in `default`; the API server refuses any other place.
            namespace: Some(regarding.namespace.clone().unwrap_or_else(|| "default".to_owned())),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        regarding: Some(regarding.clone()),
        type_: Some(format!("{:?}", notice.severity)),
        reason: Some(notice.reason.to_owned()),
        action: Some(notice.action.to_owned()),
        note: Some(notice.note[..notice.note.floor_char_boundary(MAX_NOTE)].to_owned()),
        reporting_controller: Some("dailycare.io/operator".to_owned()),
        reporting_instance: Some(instance.to_owned()),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(uid: &str) -> ObjectReference {
        ObjectReference { name: Some("northside".to_owned()), uid: Some(uid.to_owned()), ..ObjectReference::default() }
    }

    fn notice(note: &str) -> Notice {
        Notice { severity: Severity::Warning, reason: "NameConflict", action: "ReserveTenant", note: note.to_owned() }
    }

    fn idle_client() -> Client {
        super::super::client::client(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap()
    }

    #[tokio::test]
    async fn the_same_words_about_the_same_object_are_queued_once() {
        let (recorder, publisher) = recorder(idle_client(), "pod-1");
        for _ in 0..3 {
            recorder.publish(&about("a"), &notice("taken"));
        }
        recorder.publish(&about("b"), &notice("taken"));
        recorder.publish(&about("a"), &notice("still taken"));
        assert_eq!(publisher.queue.len(), 3);
    }

    #[tokio::test]
    async fn a_full_queue_drops_events_and_does_not_remember_them_as_told() {
        let (recorder, mut publisher) = recorder(idle_client(), "pod-1");
        for i in 0..=QUEUE {
            recorder.publish(&about("a"), &notice(&i.to_string()));
        }
        assert_eq!(publisher.queue.len(), QUEUE);
        publisher.queue.try_recv().unwrap();
        recorder.publish(&about("a"), &notice(&QUEUE.to_string()));
        assert_eq!(publisher.queue.len(), QUEUE);
    }

    #[test]
    fn a_long_note_is_cut_at_a_character_and_within_the_bound() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let event = event(&about("a"), &notice(&"é".repeat(600)), "pod-1", 7, now);
        assert_eq!(event.note.unwrap().len(), MAX_NOTE);
    }
}
