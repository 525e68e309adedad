//! What Redis saves where it is used: the documents that the API keeps there, and a user's first request, whose rights are read from the school's
//! database whatever Redis does. Each without Redis, with it, and with a Redis that is gone.
//!
//! Must not judge.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sqlx::Connection as _;
use testing::{Redis, School};

use crate::client::{Client, Crowd, Request, get};
use crate::fixture::{Api, Fixture, UNLIMITED, child_path};
use crate::print::{Table, count};
use crate::spread::Latency;
use crate::{Options, Outcome};

const CONNECTIONS: usize = 4;

/// Documents that are kept in Redis, served or not by this build: the API's own description says.
const KEPT: [&str; 2] = ["/api/v1/settings", "/api/v1/classes"];

const SETTLE: Duration = Duration::from_millis(400);
const POLL: Duration = Duration::from_millis(5);

/// One kind of request, three times.
#[derive(Debug, Serialize)]
pub(crate) struct Cached {
    what: String,
    off: Side,
    on: Side,
    down: Side,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Side {
    latency_ms: Latency,
    transactions_per_request: f64,
}

pub(crate) async fn run(fixture: &Fixture, options: &Options) -> Outcome<Vec<Cached>> {
    let (school, children) = fixture.school("cache", 30).await?;
    let mut redis = Redis::start(&[]).await?;
    let url = redis.url();
    let with_redis = [&UNLIMITED[..], &["--redis-url", &url]].concat();
    // A user's first request asks for its rights in the school's database, on all three sides; the next ones within seconds find them in memory.
    let mut kinds = vec![("one child, a user's first request".to_owned(), first_requests(fixture, &school, children[0], options.users))];
    let off = fixture.api(&UNLIMITED).await?;
    let document = described(&off).await?;
    for path in KEPT.into_iter().filter(|path| document.contains(&format!("\"{path}\""))) {
        let request = get(path, &fixture.signer.token(school.tenant.id));
        kinds.push((path.to_owned(), vec![request; options.users].into()));
    }
    let mut sides: Vec<[Side; 3]> = vec![[Side::default(); 3]; kinds.len()];
    for (at, (_, requests)) in kinds.iter().enumerate() {
        sides[at][0] = measure(fixture, &off, &school, requests).await?;
    }
    drop(off);
    let filling = fixture.api(&with_redis).await?;
    for (_, requests) in &kinds {
        Crowd::connect(filling.address, CONNECTIONS).await?.once(requests).await?;
    }
    // Another replica: nothing in its memory, everything in Redis.
    drop(filling);
    let on = fixture.api(&with_redis).await?;
    for (at, (_, requests)) in kinds.iter().enumerate() {
        sides[at][1] = measure(fixture, &on, &school, requests).await?;
    }
    drop(on);
    let down = fixture.api(&with_redis).await?;
    redis.stop().await?;
    for (at, (_, requests)) in kinds.iter().enumerate() {
        sides[at][2] = measure(fixture, &down, &school, requests).await?;
    }
    Ok(kinds.into_iter().zip(sides).map(|((what, _), [off, on, down])| Cached { what, off, on, down }).collect())
}

fn first_requests(fixture: &Fixture, school: &School, child: uuid::Uuid, users: usize) -> Arc<[Request]> {
    (0..users).map(|_| get(&child_path(child), &fixture.signer.token(school.tenant.id))).collect()
}

async fn described(api: &Api) -> Outcome<String> {
    let mut client = Client::connect(api.address).await?;
    client.send(&get("/openapi.json", "")).await?;
    Ok(client.answer())
}

async fn measure(fixture: &Fixture, api: &Api, school: &School, requests: &Arc<[Request]>) -> Outcome<Side> {
    let mut crowd = Crowd::connect(api.address, CONNECTIONS).await?;
    let before = transactions(fixture, school).await?;
    // Whoever comes first finds the sessions gone that were ended for the count.
    let stranger = get("/api/v1/children?limit=1", &fixture.signer.token(school.tenant.id));
    crowd.once(&vec![stranger; CONNECTIONS].into()).await?;
    let load = crowd.once(requests).await?;
    if load.others > 0 {
        return Err(format!("{} requests were not answered by 200", load.others).into());
    }
    // For the audit's batches, which are transactions too.
    tokio::time::sleep(SETTLE).await;
    let transactions = transactions(fixture, school).await? - before;
    let each = f64::from(u32::try_from(transactions)?) / count(load.latencies.len());
    Ok(Side { latency_ms: Latency::of(load.latencies), transactions_per_request: each })
}

/// In the school's database so far. A session tells its counters when it ends, and otherwise when it likes: so all of them are ended.
async fn transactions(fixture: &Fixture, school: &School) -> Outcome<i64> {
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1";
    let query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1";
    let (database, mut conn) =
        (school.objects.database.as_str(), sqlx::PgConnection::connect(&fixture.platform.server.superuser_url("postgres")).await?);
    while sqlx::query_scalar::<_, i64>(end).bind(database).fetch_one(&mut conn).await? > 0 {
        tokio::time::sleep(POLL).await;
    }
    let found = sqlx::query_scalar(query).bind(database).fetch_one(&mut conn).await?;
    conn.close().await?;
    Ok(found)
}

pub(crate) fn print(out: &mut Table, cached: &[Cached]) {
    out.title("G  Redis, where it is used");
    for Cached { what, off, on, down } in cached {
        out.head(what, &["off", "on", "down", "on/off", "down/off"]);
        let mut row = |name: &str, of: fn(&Side) -> f64| {
            out.row(name, &[of(off), of(on), of(down), of(on) / of(off), of(down) / of(off)]);
        };
        row("transactions in the school's database / request", |side| side.transactions_per_request);
        row("p50, ms", |side| side.latency_ms.p50);
        row("p99, ms", |side| side.latency_ms.p99);
    }
}
