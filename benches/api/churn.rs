//! Thousands of tenants in turn over a budget of connections that fits few of them: every request opens one and closes somebody else's.
//!
//! It runs through the pools alone, in this process. It measures whether the budget is kept and what replacing a connection at nearly every request costs.
//! A server of its own, whose databases are empty, because thousands of databases with a schema do not fit onto a small disk. Must not judge.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use domain::names::{DatabaseName, LoginName, SchoolCode, ServerName, TenantId};
use futures::{StreamExt as _, TryStreamExt as _};
use postgres::session::{Endpoint, Tls};
use provisioning::scram;
use registry::route::{PoolSettings, Route};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Row as _};
use tenancy::pools::{Limits, Pools, Target};
use testing::{Postgres, PostgresOptions, Version};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::print::{Table, count};
use crate::spread::Latency;
use crate::{Options, Outcome};

const BUDGET: u32 = 50;
/// More than the budget, so that somebody always waits.
const AT_ONCE: usize = 64;
/// Tenants that keep their connections, and requests of theirs at a time: never two for one tenant.
const FITTING: usize = 25;
/// Databases made at a time.
const MAKERS: usize = 4;
/// An empty database, with what the server writes to make it.
const DATABASE_MIB: u64 = 8;
/// What stays free.
const SPARE_MIB: u64 = 12 * 1024;

/// What was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Churn {
    tenants: usize,
    requested: usize,
    free_mib: u64,
    /// Each tenant in turn; then so few that each keeps its connection.
    over: Run,
    within: Run,
}

#[derive(Debug, Default, Serialize)]
struct Run {
    requests: usize,
    rate: f64,
    latency_ms: Latency,
    errors: usize,
    first_error: Option<String>,
    /// Sessions that PostgreSQL counted: the most of all samples, and how many samples there were.
    most: i64,
    samples: usize,
    opened: i64,
}

impl Churn {
    /// The budget held and nobody was refused.
    pub(crate) fn is_within_budget(&self) -> bool {
        let is_met = |run: &Run| run.errors == 0 && run.most <= i64::from(BUDGET);
        is_met(&self.over) && is_met(&self.within)
    }
}

pub(crate) async fn run(options: &Options) -> Outcome<Churn> {
    let free_mib = free_mib()?;
    let fits = usize::try_from(free_mib.saturating_sub(SPARE_MIB) / DATABASE_MIB)?;
    let tenants = options.tenants.min(fits).max(BUDGET as usize);
    let server = PostgresOptions::default().with("max_connections", "120").with("shared_buffers", "512MB").with("max_wal_size", "1GB");
    let server = Postgres::start(Version::V18, server).await?;
    let admin = PgPoolOptions::new().max_connections(8).connect(&server.superuser_url("postgres")).await?;
    let targets = make(&server, &admin, tenants).await?;
    enter(&targets).await?;
    let over = measure(&admin, &targets, AT_ONCE, 2 * tenants).await?;
    let within = measure(&admin, &targets[..FITTING], FITTING / 2, 4 * tenants).await?;
    Ok(Churn { tenants, requested: options.tenants, free_mib, over, within })
}

/// What is left on the disk that servers of tests are on.
fn free_mib() -> Outcome<u64> {
    let output = std::process::Command::new("df").args(["-m", "--output=avail"]).arg(std::env::temp_dir()).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().nth(1).ok_or("df says nothing")?.trim().parse()?)
}

/// Databases and logins, each of which may enter its own alone.
async fn make(server: &Postgres, admin: &PgPool, tenants: usize) -> Outcome<Vec<Arc<Target>>> {
    let password = SecretString::from(Uuid::new_v4().to_string());
    let verifier = scram::verifier(&password);
    let next = Arc::new(AtomicUsize::new(0));
    let mut work = JoinSet::new();
    for _ in 0..MAKERS {
        let (admin, next, verifier) = (admin.clone(), Arc::clone(&next), verifier.clone());
        work.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= tenants {
                    return Outcome::Ok(());
                }
                let (database, login) = names(number)?;
                let create = format!("CREATE DATABASE {database} TEMPLATE template0");
                sqlx::raw_sql(AssertSqlSafe(create)).execute(&admin).await?;
                let verifier = verifier.expose_secret();
                let allow = format!(
                    "CREATE ROLE {login} LOGIN PASSWORD '{verifier}'; REVOKE ALL ON DATABASE {database} FROM PUBLIC; GRANT CONNECT ON DATABASE {database} TO {login}"
                );
                sqlx::raw_sql(AssertSqlSafe(allow)).execute(&admin).await?;
            }
        });
    }
    while let Some(done) = work.join_next().await {
        done??;
    }
    sqlx::raw_sql("CHECKPOINT").execute(admin).await?;
    let endpoint = Endpoint { host: server.host().into(), port: server.port(), tls: Tls::Disable };
    let target = |number| {
        let (database, login) = names(number)?;
        let pool = PoolSettings { size: 100, connect_timeout_seconds: 30, command_timeout_seconds: 60, pooling: true };
        let route = Route { server: ServerName::parse("churn")?, endpoint: endpoint.clone(), database, login, pool };
        Outcome::Ok(Arc::new(Target::new(TenantId(Uuid::new_v4()), 1, &route, password.clone())))
    };
    (0..tenants).map(target).collect()
}

/// Each tenant once, few at a time: the first session in a new database builds its catalog's cache file, which no later one pays for.
async fn enter(targets: &[Arc<Target>]) -> Outcome {
    let pools = Pools::new(Limits { server_budget: 4, wait: Duration::from_secs(30), ..Limits::default() });
    let all = futures::stream::iter(0..targets.len()).map(|number| use_connection(&pools, targets, number)).buffer_unordered(MAKERS);
    all.try_collect::<Vec<()>>().await?;
    pools.drain(Duration::from_secs(10)).await;
    Ok(())
}

fn names(number: usize) -> Outcome<(DatabaseName, LoginName)> {
    let database = DatabaseName::of(&SchoolCode::parse(&format!("turno-{number}"))?);
    let login = LoginName::of(&database);
    Ok((database, login))
}

async fn measure(admin: &PgPool, targets: &[Arc<Target>], at_once: usize, requests: usize) -> Outcome<Run> {
    let pools = Pools::new(Limits { server_budget: BUDGET, ..Limits::default() });
    let (stop, opened) = (CancellationToken::new(), sessions(admin).await?);
    let sampler = tokio::spawn(sample(admin.clone(), stop.clone()));
    let (begun, next, mut work) = (Instant::now(), Arc::new(AtomicUsize::new(0)), JoinSet::new());
    let targets: Arc<[Arc<Target>]> = targets.into();
    for _ in 0..at_once {
        let (pools, targets, next) = (Arc::clone(&pools), Arc::clone(&targets), Arc::clone(&next));
        work.spawn(async move {
            let (mut latencies, mut errors) = (Vec::new(), Vec::new());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return (latencies, errors);
                }
                let since = Instant::now();
                match use_connection(&pools, &targets, number % targets.len()).await {
                    Ok(()) => latencies.push(since.elapsed().as_secs_f64() * 1e3),
                    Err(error) => errors.push(telemetry::logs::chain(&*error)),
                }
            }
        });
    }
    let (mut latencies, mut errors) = (Vec::new(), Vec::new());
    while let Some(done) = work.join_next().await {
        let (more, wrong) = done?;
        latencies.extend(more);
        errors.extend(wrong);
    }
    let rate = count(latencies.len()) / begun.elapsed().as_secs_f64();
    stop.cancel();
    let (most, taken) = sampler.await??;
    pools.drain(Duration::from_secs(10)).await;
    let (latency_ms, opened) = (Latency::of(latencies), sessions(admin).await? - opened);
    Ok(Run { requests, rate, latency_ms, errors: errors.len(), first_error: errors.pop(), most, samples: taken, opened })
}

/// One statement in a tenant's database, which must be that tenant's.
async fn use_connection(pools: &Arc<Pools>, targets: &[Arc<Target>], number: usize) -> Outcome {
    let mut conn = pools.connection(&targets[number]).await?;
    let found: String = sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut *conn).await?;
    conn.finish();
    if found == names(number)?.0.as_str() { Ok(()) } else { Err("a connection leads to another tenant's database".into()) }
}

/// What PostgreSQL itself counts, as often as it answers. A session that is still starting counts too.
async fn sample(admin: PgPool, stop: CancellationToken) -> Outcome<(i64, usize)> {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dailycare-api'";
    let (mut most, mut samples) = (0, 0);
    let mut conn = admin.acquire().await?;
    while !stop.is_cancelled() {
        let now: i64 = sqlx::query_scalar(count).fetch_one(&mut *conn).await?;
        (most, samples) = (most.max(now), samples + 1);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok((most, samples))
}

async fn sessions(admin: &PgPool) -> Outcome<i64> {
    let row =
        sqlx::query("SELECT sum(sessions)::int8 FROM pg_stat_database WHERE datname LIKE 'dailycare_tenant_%'").fetch_one(admin).await?;
    Ok(row.try_get(0)?)
}

pub(crate) fn print(out: &mut Table, churn: &Churn) {
    let Churn { tenants, requested, free_mib, over, within } = churn;
    let scaled =
        if tenants < requested { format!(" (of {requested} requested: {} GiB of disk were free)", free_mib / 1024) } else { String::new() };
    out.title(&format!("D  {tenants} tenants{scaled} in turn over {BUDGET} connections, {AT_ONCE} requests at a time; beside it {FITTING} tenants over the same"));
    out.head("", &["all", "that fit"]);
    let mut row = |name: &str, figure: fn(&Run) -> f64| out.row(name, &[figure(over), figure(within)]);
    row("requests", |run| count(run.requests));
    row("errors                                         (aim 0)", |run| count(run.errors));
    row("most sessions that PostgreSQL counted         (aim 50)", |run| f64::from(u32::try_from(run.most).unwrap_or(u32::MAX)));
    row("   in so many samples", |run| count(run.samples));
    row("sessions opened", |run| f64::from(u32::try_from(run.opened).unwrap_or(u32::MAX)));
    row("requests a second", |run| run.rate);
    row("p50, ms", |run| run.latency_ms.p50);
    row("p99, ms", |run| run.latency_ms.p99);
    if let Some(error) = over.first_error.as_ref().or(within.first_error.as_ref()) {
        out.line(&format!("   an error: {error}"));
    }
    out.verdict(churn.is_within_budget());
}
