//! What goes wrong meanwhile, again and again until it is told to stop; every fault is undone before its task ends.
//!
//! Must not judge: `judging` and `count` do.

use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use reqwest::StatusCode;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use testing::Random;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Arena;
use super::report::Fault;
use super::schools::Subject;

/// Within which a change of a school must be obeyed by every replica, also when the line that tells of it was cut just then: the poll's period, and time for a
/// machine that is busy with everything else.
const OBEYED: Duration = Duration::from_mins(1);

/// All of it, until `stop`.
pub(crate) async fn run(arena: &Arena, seed: u64, stop: &CancellationToken) {
    let random = |task: u64| Random::new(seed ^ (task << 32));
    tokio::join!(
        suspending(arena, random(1), stop),
        rotating(arena, random(2), stop),
        killing(arena, random(3), stop),
        troubling_redis(arena, random(4), stop)
    );
}

/// Waits for so many requests more, so that faults keep to the pace of what they disturb; false once it is time to end.
async fn requests(arena: &Arena, stop: &CancellationToken, more: u64) -> bool {
    let until = arena.sent.load(Ordering::Relaxed) + more;
    while arena.sent.load(Ordering::Relaxed) < until {
        if !pause(stop, 5).await {
            return false;
        }
    }
    true
}

/// False once it is time to end.
async fn pause(stop: &CancellationToken, milliseconds: u64) -> bool {
    stop.run_until_cancelled(sleep(Duration::from_millis(milliseconds))).await.is_some()
}

async fn suspending(arena: &Arena, mut random: Random, stop: &CancellationToken) {
    let platform = &arena.world.platform;
    while requests(arena, stop, random.below(400)).await {
        let subject = random.pick(&arena.subjects);
        let school = subject.school.lock().await;
        subject.advance();
        platform.suspend(&school).await.unwrap();
        obeyed(arena, subject, true).await;
        subject.advance();
        pause(stop, 200).await;
        subject.advance();
        platform.resume(&school).await.unwrap();
        obeyed(arena, subject, false).await;
        subject.advance();
        arena.findings.fault(Fault::Suspended, 1);
    }
}

/// Waits until every replica refuses the school's requests, or takes them again.
async fn obeyed(arena: &Arena, subject: &Subject, suspended: bool) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for replica in arena.replicas() {
        let url = format!("http://{}/api/v1/children?limit=1", replica.address);
        let polling = async {
            loop {
                let token = arena.signer.token(subject.admin, Some(subject.tenant), "SchoolAdmin");
                let answer = http.get(&url).bearer_auth(token).send().await.unwrap();
                if (answer.status() == StatusCode::FORBIDDEN) == suspended {
                    return;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(OBEYED, polling).await.is_err() {
            arena.findings.unexpected(|| format!("{}: suspended {suspended} was not obeyed within {OBEYED:?}", subject.marker));
        }
    }
}

async fn rotating(arena: &Arena, mut random: Random, stop: &CancellationToken) {
    while requests(arena, stop, random.below(200)).await {
        let mut school = random.pick(&arena.subjects).school.lock().await;
        arena.world.platform.rotate(&mut school).await.unwrap();
        arena.findings.fault(Fault::Rotated, 1);
    }
}

async fn killing(arena: &Arena, mut random: Random, stop: &CancellationToken) {
    let mut conn = PgConnection::connect(&arena.server().superuser_url("postgres")).await.unwrap();
    let kill = |of: &'static str, most: i64| sqlx::query(of).bind(most);
    let mut kills = 0;
    while requests(arena, stop, random.below(200)).await {
        let schools = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE '%canary%' AND usename LIKE '%canary%' ORDER BY random() LIMIT $1";
        let killed = kill(schools, 2).fetch_all(&mut conn).await.unwrap().len();
        arena.findings.fault(Fault::Killed, killed.try_into().unwrap_or_default());
        kills += 1;
        if kills % 10 == 0 {
            let master = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'api_login' ORDER BY random() LIMIT $1";
            let killed = kill(master, 2).fetch_all(&mut conn).await.unwrap().len();
            arena.findings.fault(Fault::CutFromMaster, killed.try_into().unwrap_or_default());
        }
    }
    conn.close().await.unwrap();
}

async fn troubling_redis(arena: &Arena, mut random: Random, stop: &CancellationToken) {
    let mut kills = 0;
    while requests(arena, stop, random.below(200)).await {
        let mut redis = arena.redis.lock().await;
        kills += 1;
        let (fault, times) = match kills % 6 {
            0 => {
                redis.pause().unwrap();
                pause(stop, 300).await;
                redis.resume().unwrap();
                (Fault::RedisFrozen, 1)
            }
            3 => {
                redis.kill().await.unwrap();
                pause(stop, 200).await;
                redis.start_again().await.unwrap();
                (Fault::RedisKilled, 1)
            }
            5 => {
                let mut conn = raw(&redis.url()).await;
                let _: () = redis::cmd("FLUSHALL").query_async(&mut conn).await.unwrap();
                (Fault::RedisFlushed, 1)
            }
            _ => (Fault::Poisoned, poison(&redis.url(), arena, &mut random).await),
        };
        arena.findings.fault(fault, times);
    }
}

async fn raw(url: &str) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
    Client::open(url).unwrap().get_multiplexed_async_connection_with_config(&config).await.unwrap()
}

/// Puts what lies under other schools' keys under this one's, name by name: values, stamps and generations as they are.
async fn poison(url: &str, arena: &Arena, random: &mut Random) -> u64 {
    let mut conn = raw(url).await;
    let victim = random.pick(&arena.subjects);
    let keys: Vec<String> = redis::cmd("KEYS").arg("tenant:*").query_async(&mut conn).await.unwrap();
    let mut poisoned = 0;
    for key in keys.iter().take(100) {
        let Some((_, rest)) = key.strip_prefix("tenant:").and_then(|rest| rest.split_once(':')) else { continue };
        let value: Option<Vec<u8>> = redis::cmd("GET").arg(key).query_async(&mut conn).await.unwrap();
        if let Some(value) = value {
            // Under the victim's users' names too, who are whom the cache is asked about.
            let swapped = arena.subjects.iter().fold(rest.to_owned(), |name, other| {
                name.replace(&other.admin.to_string(), &victim.admin.to_string())
                    .replace(&other.reader.to_string(), &victim.reader.to_string())
            });
            let place = format!("tenant:{}:{swapped}", victim.tenant);
            let _: () = redis::cmd("SET").arg(place).arg(value).arg("EX").arg(60).query_async(&mut conn).await.unwrap();
            poisoned += 1;
        }
    }
    poisoned
}
