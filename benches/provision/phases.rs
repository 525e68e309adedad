//! The phases, in the order in which they run, and what each found.
//!
//! Must not print.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kube::Api;
use kube::api::ListParams;
use operator::crd::DatabaseServer;
use provisioning::server::stage;
use serde::Serialize;
use tokio::time::sleep;

use crate::audit::{self, Calls};
use crate::environment::Environment;
use crate::leaks::Leaks;
use crate::operator::Operator;
use crate::processes::Memory;
use crate::spread::Latency;
use crate::usage::Usage;
use crate::{Outcome, floor, schools};

/// Schools made before anything is measured.
const WARM_UP: usize = 10;
/// How long the server is away.
const OUTAGE: Duration = Duration::from_secs(5);

/// Everything measured.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) schools: usize,
    pub(crate) servers: Vec<String>,
    pub(crate) cores: usize,
    /// Of one Argon2id hash, on an otherwise idle core.
    pub(crate) hash_ms: f64,
    pub(crate) rounds: Vec<Round>,
    pub(crate) rest: Option<Rest>,
    pub(crate) singles: Option<Singles>,
    pub(crate) recovery: Option<Recovery>,
}

/// One turn of operator, deletion, floor and SQL alone.
#[derive(Serialize)]
pub(crate) struct Round {
    pub(crate) operator: Bulk,
    pub(crate) memory: Growth,
    /// The operator's calls to the API server, by kind.
    pub(crate) calls: Calls,
    /// Seconds to delete all Schools with everything that belongs to them.
    pub(crate) delete: f64,
    pub(crate) leaks: Leaks,
    pub(crate) floor: Bulk,
    /// Seconds of the floor's SQL alone.
    pub(crate) sql: f64,
    /// Seconds of a bare `DROP DATABASE` for each of its databases.
    pub(crate) drop: f64,
}

/// All Schools, from the start of the apply until the last is Ready.
#[derive(Serialize)]
pub(crate) struct Bulk {
    pub(crate) wall: f64,
    /// Seconds until the last School was created, of that.
    pub(crate) apply: f64,
    pub(crate) latency: Latency,
    pub(crate) cpu: Usage,
    pub(crate) connections: i64,
    pub(crate) transactions: i64,
}

/// The operator's resident memory in MiB.
#[derive(Serialize)]
pub(crate) struct Growth {
    pub(crate) start: f64,
    pub(crate) peak: f64,
    pub(crate) end: f64,
}

/// All Schools Ready and nothing to do.
#[derive(Serialize)]
pub(crate) struct Rest {
    pub(crate) seconds: f64,
    pub(crate) writes: Calls,
    pub(crate) reads: u64,
    /// Of one core, in percent.
    pub(crate) cpu_percent: f64,
    pub(crate) connections: i64,
    pub(crate) transactions: i64,
}

/// One School at a time.
#[derive(Serialize)]
pub(crate) struct Singles {
    pub(crate) cold: Latency,
    /// A staged database lies ready on each server.
    pub(crate) staged: Latency,
}

/// A server that is killed while Schools are made on it.
#[derive(Serialize)]
pub(crate) struct Recovery {
    pub(crate) outage: f64,
    pub(crate) ready_before: usize,
    /// Seconds from the server's return until all Schools are Ready.
    pub(crate) after: f64,
}

impl Report {
    pub(crate) fn new(environment: &Environment, schools: usize) -> Self {
        let servers = environment.servers.iter().map(|server| server.version().name().to_owned()).collect();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { schools, servers, cores, hash_ms: 0.0, rounds: Vec::new(), rest: None, singles: None, recovery: None }
    }

    /// Leaks and corrections end the bench where they are found; what is left to judge is the rest.
    pub(crate) fn judgement(&self) -> Outcome {
        match &self.rest {
            Some(rest) if !rest.writes.is_empty() => Err(format!("writes at rest: {:?}", rest.writes).into()),
            _ => Ok(()),
        }
    }
}

/// Caches, templates and code pages are warm afterwards, for both sides.
pub(crate) async fn warm_up(environment: &Environment) -> Outcome {
    let operator = Operator::start(environment).await?;
    let codes = schools::codes("warm-o", WARM_UP);
    schools::apply(&environment.schools(), &codes, drop).await?;
    environment.board.ready(&codes).await?;
    delete_all(environment, &codes).await?;
    operator.stop().await?;
    let codes = schools::codes("warm-f", WARM_UP);
    floor::provision(environment, &codes).await?;
    adopt(environment, &codes).await
}

/// See [`Round`]. With `rest`, the operator is also watched doing nothing.
pub(crate) async fn round(
    environment: &Environment,
    number: usize,
    count: usize,
    rest: Option<u64>,
    found: &mut Option<Rest>,
) -> Outcome<Round> {
    let codes = schools::codes(&format!("op{number}"), count);
    let operator = Operator::start(environment).await?;
    environment.checkpoint().await?;
    let (before, start) = (Memory::of(operator.pid())?, audit::end(&environment.plane.audit_log())?);
    let bulk =
        measured(environment, Some(operator.pid()), &codes, async || schools::apply(&environment.schools(), &codes, drop).await).await?;
    let after = Memory::of(operator.pid())?;
    let calls = audit::calls(&environment.plane.audit_log(), start)?;
    if let Some(seconds) = rest {
        *found = Some(resting(environment, &operator, count, seconds).await?);
    }
    let delete = delete_all(environment, &codes).await?;
    operator.stop().await?;
    let leaks = Leaks::none(environment).await?;

    let codes = schools::codes(&format!("floor{number}"), count);
    environment.checkpoint().await?;
    let floor = measured(environment, None, &codes, async || floor::provision(environment, &codes).await).await?;
    adopt(environment, &codes).await?;
    environment.checkpoint().await?;
    let (sql, drop) = floor::sql_alone(environment, &schools::codes(&format!("sql{number}"), count)).await?;
    Leaks::none(environment).await?;
    let memory = Growth { start: before.now, peak: after.peak, end: after.now };
    Ok(Round { operator: bulk, memory, calls, delete, leaks, floor, sql, drop })
}

async fn measured(
    environment: &Environment,
    operator: Option<u32>,
    codes: &[String],
    provision: impl AsyncFnOnce() -> Outcome<HashMap<String, Instant>>,
) -> Outcome<Bulk> {
    let (connections, transactions) = environment.counters().await?;
    let before = Usage::now(environment, operator)?;
    let begun = Instant::now();
    let begins = provision().await?;
    let ready = environment.board.ready(codes).await?;
    let cpu = Usage::now(environment, operator)? - before;
    let (connections_after, transactions_after) = environment.counters().await?;
    let last = ready.iter().max().ok_or("no School was applied")?;
    let latencies = codes.iter().zip(&ready).filter_map(|(code, ready)| Some(ready.duration_since(*begins.get(code)?).as_secs_f64()));
    Ok(Bulk {
        wall: last.duration_since(begun).as_secs_f64(),
        apply: begins.values().max().map_or(0.0, |begin| begin.duration_since(begun).as_secs_f64()),
        latency: Latency::of(latencies),
        cpu,
        connections: connections_after - connections,
        transactions: transactions_after - transactions,
    })
}

/// Deletes Schools and waits until they are gone; seconds.
async fn delete_all(environment: &Environment, codes: &[String]) -> Outcome<f64> {
    let begun = Instant::now();
    schools::delete(&environment.schools(), codes).await?;
    Ok(environment.board.empty().await?.duration_since(begun).as_secs_f64())
}

/// The proof that the floor's result is the operator's: the operator looks at all of it and corrects nothing. Then it deletes it.
async fn adopt(environment: &Environment, codes: &[String]) -> Outcome {
    let start = audit::end(&environment.plane.audit_log())?;
    let operator = Operator::start(environment).await?;
    operator.has_reconciled(codes.len()).await?;
    let writes = audit::writes(&audit::calls(&environment.plane.audit_log(), start)?);
    let corrected: Vec<_> = writes.keys().filter(|kind| kind.contains(" schools") || kind.contains(" secrets")).collect();
    if !corrected.is_empty() {
        return Err(format!("the floor left something for the operator to do: {writes:?}").into());
    }
    delete_all(environment, codes).await?;
    operator.stop().await
}

async fn resting(environment: &Environment, operator: &Operator, count: usize, seconds: u64) -> Outcome<Rest> {
    // The servers' status counts the Schools, a little later.
    let servers = Api::<DatabaseServer>::all(environment.person.clone());
    let allocated = |server: &DatabaseServer| server.status.as_ref().and_then(|status| status.allocated?.schools).unwrap_or_default();
    while servers.list(&ListParams::default()).await?.iter().map(allocated).sum::<u32>() as usize != count {
        sleep(Duration::from_millis(200)).await;
    }
    let (start, before) = (audit::end(&environment.plane.audit_log())?, Usage::now(environment, Some(operator.pid()))?);
    let (connections, transactions) = environment.counters().await?;
    let begun = Instant::now();
    sleep(Duration::from_secs(seconds)).await;
    let took = begun.elapsed().as_secs_f64();
    let used = Usage::now(environment, Some(operator.pid()))? - before;
    let (connections_after, transactions_after) = environment.counters().await?;
    let calls = audit::calls(&environment.plane.audit_log(), start)?;
    let writes = audit::writes(&calls);
    let reads = calls.values().sum::<u64>() - writes.values().sum::<u64>();
    let cpu_percent = used.operator / took * 100.0;
    let (connections, transactions) = (connections_after - connections, transactions_after - transactions);
    Ok(Rest { seconds: took, writes, reads, cpu_percent, connections, transactions })
}

/// See [`Singles`].
pub(crate) async fn singles(environment: &Environment, count: usize) -> Outcome<Singles> {
    let operator = Operator::start(environment).await?;
    let (cold, staged) = (schools::codes("cold", count), schools::codes("staged", count));
    let cold_latency = one_by_one(environment, &cold, async || Ok(())).await?;
    let connections = environment.connections()?;
    let digest = environment.migrations.digest();
    let stage_ahead = async || {
        for (_, connection) in &connections {
            let mut conn = connection.pool().acquire().await?;
            if stage::spares(&mut conn, digest).await? == 0 {
                stage::stage(connection.pool(), digest).await?;
            }
        }
        Ok(())
    };
    let staged_latency = one_by_one(environment, &staged, stage_ahead).await?;
    delete_all(environment, &[cold, staged].concat()).await?;
    operator.stop().await?;
    Leaks::none(environment).await?;
    Ok(Singles { cold: cold_latency, staged: staged_latency })
}

async fn one_by_one(environment: &Environment, codes: &[String], before_each: impl AsyncFn() -> Outcome) -> Outcome<Latency> {
    let mut latencies = Vec::new();
    for code in codes {
        before_each().await?;
        let one = std::slice::from_ref(code);
        let begun = Instant::now();
        schools::apply(&environment.schools(), one, drop).await?;
        let ready = environment.board.ready(one).await?;
        latencies.extend(ready.iter().map(|ready| ready.duration_since(begun).as_secs_f64()));
    }
    Ok(Latency::of(latencies))
}

/// See [`Recovery`].
pub(crate) async fn recovery(environment: &mut Environment, count: usize) -> Outcome<Recovery> {
    let operator = Operator::start(environment).await?;
    let codes = schools::codes("outage", count);
    let api = environment.schools();
    let outage = async {
        environment.board.some_ready(count / 5).await?;
        environment.servers[1].kill9().await?;
        sleep(OUTAGE).await;
        Ok(())
    };
    let applying = schools::apply(&api, &codes, drop);
    futures::future::try_join(applying, outage).await?;
    let ready_before = environment.board.some_ready(0).await?;
    environment.servers[1].start_again().await?;
    let back = Instant::now();
    let ready = environment.board.ready(&codes).await?;
    let last = ready.iter().max().ok_or("no School was applied")?;
    let after = last.saturating_duration_since(back).as_secs_f64();
    delete_all(environment, &codes).await?;
    operator.stop().await?;
    Leaks::none(environment).await?;
    Ok(Recovery { outage: OUTAGE.as_secs_f64(), ready_before, after })
}
