//! The operator is killed, stopped and doubled while twenty Schools come, close and go; whatever happens, everything ends as desired.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::TryStreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use operator::crd::School;
use postgres::schema::Migrations;
use serde_json::{Value, json};
use testing::{Operator, Random, seed};
use tokio::task::JoinHandle;

use crate::oracle::Oracle;
use crate::world::{SYSTEM, Setup, World, conditions, run};

const SCHOOLS: usize = 20;
const KILLS: u32 = 25;

/// What is desired of a School in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExpectedEnd {
    Active,
    Suspended,
    Retained,
    Dropped,
}

/// Twenty Schools: a quarter of them each, spread over both servers.
fn expected_ends() -> Vec<(String, ExpectedEnd)> {
    let end = |number| {
        [ExpectedEnd::Active, ExpectedEnd::Active, ExpectedEnd::Suspended, ExpectedEnd::Retained, ExpectedEnd::Dropped][number % 5]
    };
    (0..SCHOOLS).map(|number| (format!("school-{number}"), end(number))).collect()
}

async fn apply(world: &World, namespace: &str, code: &str, end: ExpectedEnd, state: &str) {
    let tier = if code.bytes().last().is_some_and(|last| last.is_multiple_of(2)) { "standard" } else { "premium" };
    let policy = if end == ExpectedEnd::Dropped { "Delete" } else { "Retain" };
    world.apply_school(namespace, code, json!({"placement": {"tier": tier}, "deletionPolicy": policy, "state": state})).await;
}

/// Requests the desired end of a School, whatever its state is now.
async fn request_end(world: &World, namespace: &str, code: &str, end: ExpectedEnd) {
    match end {
        ExpectedEnd::Active => {}
        ExpectedEnd::Suspended => apply(world, namespace, code, end, "Suspended").await,
        ExpectedEnd::Retained | ExpectedEnd::Dropped => {
            drop(world.schools(namespace).delete(code, &DeleteParams::default()).await.unwrap());
        }
    }
}

async fn apply_all(world: &World, namespace: &str, schools: &[(String, ExpectedEnd)]) {
    for (code, end) in schools {
        apply(world, namespace, code, *end, "Active").await;
    }
}

/// Waits until every School is as desired, and looks for leaks. One that was `served` must have left what its policy keeps.
async fn assert_as_desired(world: &World, namespace: &str, schools: &[(String, ExpectedEnd)], served: impl Fn(&str) -> bool) {
    let mut oracle = Oracle::of(world, Migrations::tenant().unwrap().target()).await;
    assert_each_as_desired(world, &mut oracle, namespace, schools, served).await;
}

async fn assert_each_as_desired(
    world: &World,
    oracle: &mut Oracle,
    namespace: &str,
    schools: &[(String, ExpectedEnd)],
    served: impl Fn(&str) -> bool,
) {
    for (code, end) in schools {
        let api = world.schools(namespace);
        match end {
            ExpectedEnd::Active => drop(world.ready(namespace, code).await),
            ExpectedEnd::Suspended => drop(world.school_when(namespace, code, "Ready", "True", "Suspended").await),
            ExpectedEnd::Retained | ExpectedEnd::Dropped => {
                world.until(&format!("{code} is gone"), async || api.get_opt(code).await.unwrap().is_none()).await;
            }
        }
    }
    for (code, end) in schools {
        let secrets = Api::<Secret>::namespaced(world.client.clone(), namespace);
        let gone = async || {
            matches!(end, ExpectedEnd::Active | ExpectedEnd::Suspended) || secrets.get_opt(&format!("{code}-db")).await.unwrap().is_none()
        };
        world.until(&format!("{code}'s Secret has followed it"), gone).await;
        let state = oracle.state(namespace, code).await;
        let rows: Vec<_> = state.rows.iter().map(|row| row.0.as_str()).collect();
        let (row, databases) = match end {
            ExpectedEnd::Active => ("active", 1),
            ExpectedEnd::Suspended => ("suspended", 1),
            ExpectedEnd::Retained => ("retained", 1),
            ExpectedEnd::Dropped => ("deleted", 0),
        };
        // One that never served may have gone before it had a database, and then nothing is kept, or before it had a row.
        let gone = matches!(end, ExpectedEnd::Retained | ExpectedEnd::Dropped) && !served(code) && matches!(rows[..], [] | ["deleted"]);
        let (rows, row, databases) = if gone { (vec![], None, 0) } else { (rows, Some(row), databases) };
        assert_eq!(rows, Vec::from_iter(row), "{code}");
        assert_eq!((state.databases.len(), state.logins), (databases, databases), "{code}");
        assert_eq!(state.enters, *end == ExpectedEnd::Active, "{code}");
    }
    oracle.assert_nothing_leaked().await;
    world.assert_statuses_are_true(namespace).await;
}

/// The part of a [`History`] that says that a School was Ready.
const SERVED: &str = "served";

/// Everything that a School ever said of its identity, and that a Secret ever held.
#[derive(Default)]
struct History(BTreeMap<(String, String), BTreeSet<String>>);

impl History {
    /// Watches from now on.
    fn keep(client: &Client, namespace: &str) -> (Arc<Mutex<Self>>, JoinHandle<()>) {
        let history = Arc::new(Mutex::new(Self::default()));
        let (ids, passwords) = (Arc::clone(&history), Arc::clone(&history));
        let schools = watcher(Api::<School>::namespaced(client.clone(), namespace), watcher::Config::default());
        let schools = schools.default_backoff().applied_objects().try_for_each(move |school| {
            let status = serde_json::to_value(school.status.clone().unwrap_or_default()).unwrap();
            let ready = conditions(Some(&school)).iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
            let mut ids = ids.lock().unwrap();
            if ready {
                ids.note(school.name_any(), SERVED, "");
            }
            for path in ["/tenantId", "/placement/serverName", "/database/name"] {
                if let Some(value) = status.pointer(path).and_then(Value::as_str) {
                    ids.note(school.name_any(), path, value);
                }
            }
            std::future::ready(Ok(()))
        });
        let ours = watcher::Config::default().labels("app.kubernetes.io/part-of=dailycare");
        let secrets = watcher(Api::<Secret>::namespaced(client.clone(), namespace), ours);
        let secrets = secrets.default_backoff().applied_objects().try_for_each(move |secret| {
            let password = secret.data.as_ref().unwrap()["password"].0.clone();
            passwords.lock().unwrap().note(
                secret.labels()["dailycare.io/school"].clone(),
                &secret.name_any(),
                &String::from_utf8(password).unwrap(),
            );
            std::future::ready(Ok(()))
        });
        let watching = tokio::spawn(async { drop(tokio::join!(schools, secrets)) });
        (history, watching)
    }

    fn note(&mut self, school: String, part: &str, value: &str) {
        self.0.entry((school, part.to_owned())).or_default().insert(value.to_owned());
    }

    /// Nothing had a second value.
    fn assert_constant(&self, schools: usize) {
        assert!(self.0.len() >= schools * 3, "the watch has seen {} facts only", self.0.len());
        for ((school, part), values) in &self.0 {
            assert_eq!(values.len(), 1, "{part} of School {school} changed");
        }
    }

    /// The School was Ready once.
    fn served(&self, school: &str) -> bool {
        self.0.contains_key(&(school.to_owned(), SERVED.to_owned()))
    }
}

#[test]
fn an_operator_killed_again_and_again_leaves_twenty_schools_as_asked_and_nothing_else() {
    run(async {
        let mut world = World::new(Setup::default()).await;
        let namespace = world.fresh_namespace().await;
        let (history, watching) = History::keep(&world.client, &namespace);
        let seed = seed();
        println!("DAILYCARE_TEST_SEED={seed}");
        let (mut random, schools, mut interrupted) = (Random::new(seed), expected_ends(), 0);
        let mut remaining = schools.iter().rev().collect::<Vec<_>>();
        apply_all(&world, &namespace, &schools).await;
        for kill in 0..KILLS {
            // Each life begins to work only after some hundred milliseconds, so the moment counts from when it first does something, or from a
            // while after its start when there is nothing to do.
            let operator = &world.operator;
            let busy = async {
                while !operator.log().contains("executed action=") {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let _ = tokio::time::timeout(Duration::from_secs(2), busy).await;
            tokio::time::sleep(Duration::from_millis(20 + random.below(381))).await;
            world.operator.kill9().await.unwrap();
            interrupted += u32::from(world.operator.log().contains("executed action="));
            if kill >= 3
                && let Some((code, end)) = remaining.pop()
            {
                request_end(&world, &namespace, code, *end).await;
            }
            world.start_operator(&[]);
        }
        for (code, end) in remaining {
            request_end(&world, &namespace, code, *end).await;
        }
        assert!(interrupted >= KILLS / 3, "only {interrupted} kills hit an operator at work");
        assert_as_desired(&world, &namespace, &schools, |code| history.lock().unwrap().served(code)).await;
        watching.abort();
        history.lock().unwrap().assert_constant(SCHOOLS / 2);
    });
}

#[test]
fn two_operators_without_a_lease_double_nothing() {
    run(async {
        let world = World::new(Setup::default()).await;
        let mut second = Operator::start(&world.options).unwrap();
        world.until("the second operator works", async || second.log().contains("listening")).await;
        let namespace = world.fresh_namespace().await;
        let (history, watching) = History::keep(&world.client, &namespace);
        let schools = expected_ends();
        apply_all(&world, &namespace, &schools).await;
        for (code, _) in &schools {
            world.ready(&namespace, code).await;
        }
        for (code, end) in &schools {
            request_end(&world, &namespace, code, *end).await;
        }
        let mut oracle = Oracle::of(&world, Migrations::tenant().unwrap().target()).await;
        oracle.operators = 2;
        assert_each_as_desired(&world, &mut oracle, &namespace, &schools, |_| true).await;
        watching.abort();
        history.lock().unwrap().assert_constant(SCHOOLS);
        let created = secrets_created(&world, &namespace);
        assert_eq!(created.len(), 2 * SCHOOLS, "{created:?}");
        assert!(created.values().all(|times| *times == 1), "{created:?}");
        assert!(world.operator.log().contains("executed action=") && second.log().contains("executed action="), "only one of them worked");
        second.stop().await.unwrap();
    });
}

/// How often each Secret of a namespace was created, by the API server's own records.
fn secrets_created(world: &World, namespace: &str) -> BTreeMap<String, u32> {
    let mut created = BTreeMap::new();
    for line in std::fs::read_to_string(world.plane.audit_log()).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let object = &event["objectRef"];
        if event["verb"] == "create"
            && object["resource"] == "secrets"
            && object["namespace"] == namespace
            && event["responseStatus"]["code"] == 201
        {
            *created.entry(object["name"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    created
}

#[test]
fn an_operator_told_to_stop_in_the_middle_ends_well_and_its_successor_finishes() {
    run(async {
        let mut world = World::new(Setup::default()).await;
        let namespace = world.fresh_namespace().await;
        let schools = expected_ends();
        apply_all(&world, &namespace, &schools).await;
        world.until("a first School has its database", async || world.operator.log().contains("claim_database")).await;
        world.operator.stop().await.unwrap();
        assert_eq!(world.operator.ended().await.unwrap(), Some(0), "{}", world.log_tail());
        assert!(!world.operator.log().contains("stopping although"), "reconciles did not end within the grace period");
        for (code, end) in &schools {
            request_end(&world, &namespace, code, *end).await;
        }
        world.start_operator(&[]);
        assert_as_desired(&world, &namespace, &schools, |_| false).await;
    });
}

#[test]
fn of_two_operators_one_leads_and_the_other_follows_when_it_loses_the_lease() {
    run(async {
        let mut world = World::new(Setup::default()).await;
        let namespace = world.fresh_namespace().await;
        world.operator.stop().await.unwrap();
        world.options.arguments.retain(|argument| argument != "--no-leader-election");
        let mut first = named(&world, "first");
        leads(&world, "first").await;
        let mut second = named(&world, "second");
        serves(&world, &namespace, "under-first").await;
        assert!(!second.log().contains("executed action="), "a standby worked");
        first.kill9().await.unwrap();
        leads(&world, "second").await;
        serves(&world, &namespace, "under-second").await;

        let mut third = named(&world, "third");
        world.until("the third stands by", async || third.log().contains("listening")).await;
        second.stop().await.unwrap();
        assert_eq!(second.ended().await.unwrap(), Some(0));
        assert!(second.log().contains("lease given back"), "its successor had to wait for the lease to run out");
        leads(&world, "third").await;
        serves(&world, &namespace, "under-third").await;

        let thief = Patch::Merge(json!({"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 1}}));
        leases(&world).patch("dailycare-operator", &PatchParams::default(), &thief).await.unwrap();
        assert_eq!(third.ended().await.unwrap(), Some(1), "an operator that lost its lease must exit with failure");
        assert!(third.log().contains("the leader Lease was lost"));
        let mut fourth = named(&world, "fourth");
        leads(&world, "fourth").await;
        serves(&world, &namespace, "under-fourth").await;
        fourth.stop().await.unwrap();
    });
}

/// Another operator with this world's settings, under a name that the Lease shows.
fn named(world: &World, name: &str) -> Operator {
    let mut options = world.options.clone();
    options.arguments.extend(["--instance".to_owned(), name.to_owned()]);
    Operator::start(&options).unwrap()
}

fn leases(world: &World) -> Api<Lease> {
    Api::namespaced(world.client.clone(), SYSTEM)
}

async fn leads(world: &World, name: &str) {
    let is_leader = async || {
        let lease = leases(world).get_opt("dailycare-operator").await.unwrap();
        let leader = lease.and_then(|lease| lease.spec?.holder_identity);
        leader.is_some_and(|leader| leader.starts_with(&format!("{name}_")))
    };
    world.until(&format!("{name} leads"), is_leader).await;
}

async fn serves(world: &World, namespace: &str, code: &str) {
    apply(world, namespace, code, ExpectedEnd::Active, "Active").await;
    world.ready(namespace, code).await;
}
