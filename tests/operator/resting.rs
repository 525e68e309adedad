//! At rest nothing is written: not to Kubernetes, not to a server, not to the registry, and not by a restart either.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use testing::{PATIENCE, PostgresOptions};
use tokio::time::Instant;

use crate::world::{Setup, World, run};

const SCHOOLS: usize = 12;
/// Reconciles of each School during the rest.
const RESYNCS: usize = 4;

/// How long the rest lasts at least. `make rest-operator` gives a minute, so that servers are observed and Schools counted several times too; in
/// `make test` the rest ends after a few resyncs.
fn rest() -> Duration {
    let seconds = std::env::var("DAILYCARE_TEST_REST_SECONDS").map_or(0, |seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds)
}

#[test]
fn at_rest_and_over_a_restart_nothing_is_written_anywhere() {
    run(async {
        // Autovacuum takes transaction numbers too, and nobody else shall.
        let quiet = || PostgresOptions::default().with("log_statement", "all").with("autovacuum", "off");
        let arguments = ["--resync", "1", "--log", "info,operator=debug"].map(ToOwned::to_owned).to_vec();
        let mut world = World::new(Setup { pg18: quiet(), pg15: quiet(), arguments, ..Setup::default() }).await;
        let namespace = world.fresh_namespace().await;
        for number in 0..SCHOOLS {
            let tier = if number.is_multiple_of(2) { "standard" } else { "premium" };
            world.apply_school(&namespace, &format!("calm-{number}"), json!({"placement": {"tier": tier}})).await;
        }
        for number in 0..SCHOOLS {
            world.ready(&namespace, &format!("calm-{number}")).await;
        }
        all_is_written(&world).await;
        let mut watch = Watch::begin(&world).await;
        let enough = settled_reconciles(&world) + RESYNCS * SCHOOLS;
        let until = Instant::now() + rest();
        watch.over(&world, || settled_reconciles(&world) >= enough && Instant::now() >= until).await;
        watch.assert_nothing_was_written(&world, "at rest").await;

        world.operator.kill9().await.unwrap();
        world.start_operator(&[]);
        rested(&world, SCHOOLS).await;
        watch.assert_nothing_was_written(&world, "a restart").await;
    });
}

/// Waits for the last writes: the number of schools in each server's status, an Event for each School, and what follows from either.
async fn all_is_written(world: &World) {
    for server in ["pg-18", "pg-15"] {
        let counted = async || {
            let status = world.servers().get(server).await.unwrap().status.unwrap_or_default();
            status.allocated.and_then(|allocated| allocated.schools).is_some_and(|schools| schools as usize == SCHOOLS / 2)
        };
        world.until(&format!("{server} counts its schools"), counted).await;
    }
    let events = Api::<Event>::all(world.client.clone());
    let reported = async || {
        let ready = events.list(&ListParams::default().fields("reason=Ready")).await.unwrap();
        ready.iter().filter(|event| event.regarding.as_ref().is_some_and(|about| about.kind.as_deref() == Some("School"))).count()
            >= SCHOOLS
    };
    world.until("an Event reports each School", reported).await;
    rested(world, 2 * SCHOOLS).await;
}

/// How many reconciles of a School ended with nothing to do, since the operator started.
fn settled_reconciles(world: &World) -> usize {
    let settled = |line: &&str| line.contains(r#"kind="School""#) && line.contains("nothing to execute plan=Settled");
    world.operator.log().lines().filter(settled).count()
}

/// Waits for as many more reconciles that ended so.
async fn rested(world: &World, more: usize) {
    let enough = settled_reconciles(world) + more;
    world.until("Schools were reconciled", async || settled_reconciles(world) >= enough).await;
}

/// Where every record stood, so that what was added later can be read.
struct Watch {
    audit: u64,
    logs: [u64; 2],
    servers: [PgConnection; 2],
    registry: PgConnection,
    /// The next transaction number of each server: nothing that writes goes without taking one.
    transactions: [String; 2],
    rows: Vec<(String, i64, i64)>,
}

impl Watch {
    async fn begin(world: &World) -> Self {
        let mut servers = [World::superuser(&world.pg18, "postgres").await, World::superuser(&world.pg15, "postgres").await];
        let mut registry = World::superuser(&world.pg18, "dailycare_master").await;
        let [first, second] = &mut servers;
        let transactions = [next_transaction(first).await, next_transaction(second).await];
        let rows = rows(&mut registry).await;
        let length = |path: &Path| fs::metadata(path).unwrap().len();
        let logs = [length(world.pg18.log_path()), length(world.pg15.log_path())];
        Self { audit: length(&world.plane.audit_log()), logs, servers, registry, transactions, rows }
    }

    /// Waits for the end of the rest, and meanwhile asserts that nobody is connected to a school's database.
    async fn over(&mut self, world: &World, ended: impl Fn() -> bool) {
        let deadline = Instant::now() + rest() + PATIENCE;
        while !ended() {
            for server in &mut self.servers {
                let query = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'dailycare\\_tenant\\_%'";
                let connected: i64 = sqlx::query_scalar(query).fetch_one(server).await.unwrap();
                assert_eq!(connected, 0, "connections to schools at rest");
            }
            assert!(world.operator.process().is_alive() && Instant::now() < deadline, "{}", world.log_tail());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn assert_nothing_was_written(&mut self, world: &World, when: &str) {
        let (writes, reads) = requests(&since(&world.plane.audit_log(), self.audit));
        assert!(writes.is_empty(), "{when}: {writes:#?}");
        assert!(reads >= SCHOOLS, "{when}: the audit log knows of {reads} reads only: it does not show the operator's requests");
        for (log, offset) in [world.pg18.log_path(), world.pg15.log_path()].into_iter().zip(self.logs) {
            let text = since(log, offset);
            let (reads, others) = statements(&text);
            assert!(others.is_empty(), "{when}: {others:#?}");
            assert!(reads > 0, "{when}: the server's log shows no statement at all");
        }
        for (server, before) in self.servers.iter_mut().zip(&self.transactions) {
            assert_eq!(&next_transaction(server).await, before, "{when}: a transaction wrote");
        }
        assert_eq!(rows(&mut self.registry).await, self.rows, "{when}: epoch or change_seq moved");
    }
}

/// Everything after the first `offset` bytes.
fn since(path: &Path, offset: u64) -> String {
    let (mut file, mut text) = (fs::File::open(path).unwrap(), String::new());
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

/// The operator's requests in an audit log: those that write, and the number of the others.
fn requests(log: &str) -> (Vec<String>, usize) {
    let events = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ours = events.filter(|event| event["userAgent"].as_str().is_some_and(|agent| agent.starts_with("dailycare/")));
    let (reads, writes): (Vec<_>, Vec<_>) = ours.partition(|event| matches!(event["verb"].as_str(), Some("get" | "list" | "watch")));
    (writes.iter().map(|event| format!("{} {}", event["verb"], event["requestURI"])).collect(), reads.len())
}

/// What a session that is held open is left with after each use: nothing.
const CLEANING: &str = "BEGIN; ROLLBACK; SELECT PG_ADVISORY_UNLOCK_ALL(); RESET ALL";

/// The number of statements that only look, and all others.
fn statements(log: &str) -> (usize, Vec<&str>) {
    let sent = log.lines().filter_map(|line| {
        let (_, rest) = line.split_once("LOG:  ")?;
        rest.strip_prefix("statement: ").or_else(|| rest.strip_prefix("execute ")?.split_once(": ").map(|(_, text)| text))
    });
    let is_read = |text: &&str| {
        let text = text.trim_start().to_ascii_uppercase();
        (text.starts_with("SELECT") || text.starts_with("LISTEN ") || text == CLEANING || text.is_empty()) && !text.contains("FOR UPDATE")
    };
    let (reads, others): (Vec<_>, Vec<_>) = sent.partition(is_read);
    (reads.len(), others)
}

async fn next_transaction(server: &mut PgConnection) -> String {
    let query = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text";
    sqlx::query_scalar(query).fetch_one(server).await.unwrap()
}

async fn rows(registry: &mut PgConnection) -> Vec<(String, i64, i64)> {
    let query = "SELECT code::text, epoch::int8, change_seq::int8 FROM registry.tenants ORDER BY code";
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(query).fetch_all(registry).await.unwrap();
    assert_eq!(rows.len(), SCHOOLS);
    rows
}
