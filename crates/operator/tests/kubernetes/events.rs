//! Events: told once, whoever tells, and never in the way.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client, Resource as _};
use operator::kubernetes::events::{Notice, Recorder, Severity, recorder};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{fresh_namespace, school};

fn notice(note: &str) -> Notice {
    Notice { severity: Severity::Warning, reason: "NameConflict", action: "ReserveTenant", note: note.to_owned() }
}

/// One operator process' events. Ending it waits until all are sent.
struct Process {
    recorder: Recorder,
    stop: CancellationToken,
    publisher: JoinHandle<()>,
}

impl Process {
    fn start(client: &Client, instance: &str) -> Self {
        let (recorder, publisher) = recorder(client.clone(), instance);
        let stop = CancellationToken::new();
        let publisher = tokio::spawn(publisher.run(stop.clone()));
        Self { recorder, stop, publisher }
    }

    async fn end(self) {
        self.stop.cancel();
        self.publisher.await.unwrap();
    }
}

async fn notes(client: &Client, namespace: &str, about: &ObjectReference) -> Vec<String> {
    let events = Api::<Event>::namespaced(client.clone(), namespace).list(&ListParams::default()).await.unwrap();
    let about = |event: &Event| event.regarding.as_ref().is_some_and(|regarding| regarding.uid == about.uid);
    let mut notes: Vec<_> = events.items.into_iter().filter(about).filter_map(|event| event.note).collect();
    notes.sort();
    notes
}

#[tokio::test]
async fn the_same_event_is_told_once_also_by_the_next_leader() {
    let (client, namespace) = fresh_namespace().await;
    let about = school(&client, &namespace, "northside").await.object_ref(&());
    for instance in ["pod-1", "pod-2"] {
        let process = Process::start(&client, instance);
        for _ in 0..3 {
            process.recorder.publish(&about, &notice("the code is taken"));
        }
        process.recorder.publish(&about, &notice(&format!("{instance} leads")));
        process.end().await;
    }
    assert_eq!(notes(&client, &namespace, &about).await, ["pod-1 leads", "pod-2 leads", "the code is taken"]);
}

#[tokio::test]
async fn an_event_about_a_cluster_scoped_object_is_kept_in_the_default_namespace() {
    let (client, name) = fresh_namespace().await;
    let namespaces = Api::<k8s_openapi::api::core::v1::Namespace>::all(client.clone());
    let about = namespaces.get(&name).await.unwrap().object_ref(&());
    let process = Process::start(&client, "pod-1");
    process.recorder.publish(&about, &notice("seen"));
    process.end().await;
    assert_eq!(notes(&client, "default", &about).await, ["seen"]);
}

#[tokio::test]
async fn an_event_that_is_refused_does_not_keep_the_next_one_from_being_told() {
    let (client, namespace) = fresh_namespace().await;
    let about = school(&client, &namespace, "northside").await.object_ref(&());
    let nowhere = ObjectReference { namespace: Some("nowhere".to_owned()), ..about.clone() };
    let process = Process::start(&client, "pod-1");
    process.recorder.publish(&nowhere, &notice("lost"));
    process.recorder.publish(&about, &notice("told"));
    process.end().await;
    assert_eq!(notes(&client, &namespace, &about).await, ["told"]);
}
