//! The leader Lease between real contenders on a real API server.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use operator::kubernetes::lease::{Contender, Held, Timing, identity};
use serde_json::json;
use testing::{ControlPlane, until};
use tokio_util::sync::CancellationToken;

use crate::{client_of, fresh_namespace};

const NAME: &str = "dailycare-operator";

/// Quick tries, and a deadline that a busy machine does not miss.
const PATIENT: Timing =
    Timing { duration: Duration::from_mins(1), renew_deadline: Duration::from_secs(50), retry: Duration::from_millis(50) };

fn contender(client: &Client, namespace: &str, identity: &str, timing: Timing) -> Contender {
    Contender::new(client.clone(), namespace, NAME, identity, timing)
}

async fn acquire(client: &Client, namespace: &str, identity: &str, timing: Timing) -> Held {
    contender(client, namespace, identity, timing).acquire(&CancellationToken::new()).await.unwrap()
}

async fn spec(leases: &Api<Lease>) -> LeaseSpec {
    leases.get(NAME).await.unwrap().spec.unwrap()
}

async fn holder(leases: &Api<Lease>) -> String {
    spec(leases).await.holder_identity.unwrap()
}

#[tokio::test]
async fn of_two_contenders_one_leads_and_the_other_follows_at_once_when_the_lease_is_given_back() {
    let (client, namespace) = fresh_namespace().await;
    let leases = Api::<Lease>::namespaced(client.clone(), &namespace);
    let (a, b) = (acquire(&client, &namespace, "a", PATIENT), acquire(&client, &namespace, "b", PATIENT));
    tokio::pin!(a, b);
    let (leader, mut other) = tokio::select! { held = &mut a => (held, b), held = &mut b => (held, a) };
    let first = holder(&leases).await;
    let renewed = spec(&leases).await.renew_time;
    tokio::select! {
        _ = &mut other => panic!("two lead"),
        () = until("the leader renews", async || spec(&leases).await.renew_time != renewed) => {}
    }
    assert!(leader.is_valid());

    leader.release().await;
    let follower = other.await;
    assert_ne!(holder(&leases).await, first);
    assert_eq!(spec(&leases).await.lease_transitions, Some(1));
    follower.release().await;
    assert_eq!(holder(&leases).await, "");
}

#[tokio::test]
async fn a_lease_whose_holder_died_is_taken_after_its_term_and_not_before() {
    let (client, namespace) = fresh_namespace().await;
    let leases = Api::<Lease>::namespaced(client.clone(), &namespace);
    let term = Duration::from_secs(2);
    let brief = Timing { duration: term, renew_deadline: Duration::from_secs(1), ..PATIENT };
    drop(acquire(&client, &namespace, "dead", brief).await);
    let since = tokio::time::Instant::now();
    let successor = acquire(&client, &namespace, "successor", PATIENT).await;
    assert!(since.elapsed() >= term);
    assert_eq!(holder(&leases).await, "successor");
    successor.release().await;
}

#[tokio::test]
async fn a_leader_whose_lease_another_took_knows_that_it_is_lost() {
    let (client, namespace) = fresh_namespace().await;
    let leases = Api::<Lease>::namespaced(client.clone(), &namespace);
    let held = acquire(&client, &namespace, "a", PATIENT).await;
    let usurp = json!({"spec": {"holderIdentity": "b"}});
    leases.patch(NAME, &PatchParams::default(), &Patch::Merge(usurp)).await.unwrap();
    held.lost().await;
    assert!(!held.is_valid());
    assert_eq!(holder(&leases).await, "b");
    held.release().await;
    assert_eq!(holder(&leases).await, "b");
}

#[tokio::test]
async fn a_lease_that_somebody_edited_or_deleted_is_kept_by_its_holder() {
    let (client, namespace) = fresh_namespace().await;
    let leases = Api::<Lease>::namespaced(client.clone(), &namespace);
    let held = acquire(&client, &namespace, "a", PATIENT).await;
    let uid = leases.get(NAME).await.unwrap().metadata.uid;
    leases.patch(NAME, &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": {"team": "a"}}}))).await.unwrap();
    let renewed = spec(&leases).await.renew_time;
    until("the edited lease is renewed", async || spec(&leases).await.renew_time != renewed).await;
    leases.delete(NAME, &DeleteParams::default()).await.unwrap();
    let made_anew = async || leases.get_opt(NAME).await.unwrap().is_some_and(|lease| lease.metadata.uid != uid);
    until("the lease is made anew", made_anew).await;
    assert!(held.is_valid());
    held.release().await;
}

#[tokio::test]
async fn a_leader_that_cannot_reach_the_api_server_knows_in_time_that_its_lease_is_lost() {
    let plane = ControlPlane::private().await.unwrap();
    let client = client_of(plane.kubeconfig()).await;
    let timing = Timing { duration: Duration::from_secs(3), renew_deadline: Duration::from_secs(2), ..PATIENT };
    let held = acquire(&client, "default", "a", timing).await;
    plane.apiserver().pause().unwrap();
    held.lost().await;
    assert!(!held.is_valid());
    plane.apiserver().resume().unwrap();
}

#[tokio::test]
async fn a_standby_that_is_told_to_stop_stops() {
    let (client, namespace) = fresh_namespace().await;
    let leader = acquire(&client, &namespace, "a", PATIENT).await;
    let stop = CancellationToken::new();
    let (standby, ()) = tokio::join!(contender(&client, &namespace, "b", PATIENT).acquire(&stop), async { stop.cancel() });
    assert!(standby.is_none());
    leader.release().await;
}

#[test]
fn two_processes_on_one_host_have_different_identities() {
    let (a, b) = (identity("pod-1").unwrap(), identity("pod-1").unwrap());
    assert!(a.starts_with("pod-1_"));
    assert_ne!(a, b);
}
