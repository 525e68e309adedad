//! The isolation torture: many schools, two replicas, everything that can go wrong at once, and every byte that is answered searched for what belongs to
//! another school. `isolation.rs` runs a bounded part; `make torture-api` (`dev/torture_api.rs`) the same at length.
//!
//! Must not judge times: what is judged is whose bytes are in an answer, which answer a request may get, and what the databases hold in the end.

#![allow(clippy::print_stderr, reason = "a long run tells a person how far it is")]

mod chaos;
mod client;
mod count;
mod oracle;
mod report;
mod schools;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use api::settings::Settings;
use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use testing::{Postgres, PostgresOptions, Redis, Version};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use self::client::Client;
use self::oracle::Oracle;
use self::report::Findings;
pub use self::report::Report;
use self::schools::Subject;
use crate::running::Running;
use crate::tokens::Signer;
use crate::world::{World, cached_in};

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Schools.
    pub tenants: usize,
    /// Requests in all.
    pub requests: u64,
    /// Requests at a time.
    pub clients: usize,
    /// A line every few seconds on standard error.
    pub progress: bool,
    /// What decides what is asked when.
    pub seed: u64,
}

/// Connections of each of the two replicas: far fewer than schools, so that every school that is asked for takes another's place.
const BUDGET: u32 = 12;

/// What everybody who takes part shares.
pub(crate) struct Arena {
    pub(crate) world: World,
    pub(crate) replica: Running,
    pub(crate) redis: Mutex<Redis>,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) oracle: Oracle,
    pub(crate) signer: Signer,
    pub(crate) findings: Findings,
    /// Paths of lists and reports that the API's own document names.
    pub(crate) paths: Vec<String>,
    /// Requests so far.
    pub(crate) sent: AtomicU64,
}

impl Arena {
    /// Servers, two replicas, schools with their canaries.
    async fn prepare(plan: &Plan) -> Self {
        let redis = Redis::start(&[]).await.unwrap();
        let url = redis.url();
        let change = |settings: &mut Settings| {
            cached_in(&url)(settings);
            settings.pools.server_budget = BUDGET;
            settings.pools.wait = Duration::from_secs(2);
        };
        let options = PostgresOptions::default().with("max_connections", "100").with("log_connections", "off");
        let world = World::over(Version::V18, options, change).await;
        let replica = world.replica(change).await;
        let (world_ref, seed) = (&world, plan.seed);
        let made = stream::iter(0..plan.tenants).map(|index| Subject::create(world_ref, index, seed)).buffered(4);
        let subjects: Vec<Subject> = made.collect().await;
        let oracle = Oracle::new(subjects.iter().map(|subject| subject.marker.clone()).collect());
        for subject in &subjects {
            subject.ids().into_iter().for_each(|id| oracle.learn(subject.index, id));
        }
        let signer = Signer::new(&world.signing_keys());
        let paths = client::documented(&world.api).await;
        Self {
            world,
            replica,
            redis: Mutex::new(redis),
            subjects,
            oracle,
            signer,
            findings: Findings::default(),
            paths,
            sent: AtomicU64::new(0),
        }
    }

    pub(crate) fn server(&self) -> &Postgres {
        &self.world.platform.server
    }

    /// Both replicas.
    pub(crate) fn replicas(&self) -> [&Running; 2] {
        [&self.world.api, &self.replica]
    }
}

/// Runs it, and says what was found.
pub async fn run(plan: Plan) -> Report {
    let began = Instant::now();
    let arena = Arc::new(Arena::prepare(&plan).await);
    let prepared = began.elapsed();
    if plan.progress {
        let metrics = arena.replicas().map(|replica| format!("http://{}/metrics", replica.http_address)).join(" ");
        eprintln!("{:7.1} s  {} schools, seed {}, two replicas: {metrics}", prepared.as_secs_f64(), plan.tenants, plan.seed);
    }
    let stop = CancellationToken::new();
    let progress = plan.progress.then(|| tokio::spawn(report_progress(Arc::clone(&arena), plan, began)));
    let clients = (0..plan.clients).map(|number| {
        let arena = Arc::clone(&arena);
        tokio::spawn(async move {
            let mut client = Client::new(&arena, plan.seed.wrapping_add(1 + number as u64));
            // On a machine that asks faster than faults can be made, until each was made.
            let over = |sent| sent >= plan.requests && (sent >= 10 * plan.requests || arena.findings.every_fault());
            while !over(arena.sent.fetch_add(1, Ordering::Relaxed)) {
                client.send_one().await;
            }
        })
    });
    let sending = async {
        for ended in join_all(clients.collect::<Vec<_>>()).await {
            ended.unwrap();
        }
        stop.cancel();
    };
    tokio::join!(sending, chaos::run(&arena, plan.seed, &stop));
    if let Some(progress) = progress {
        progress.abort();
        let _ = progress.await;
    }
    settle(&arena, plan.seed).await;
    let arena = Arc::into_inner(arena).unwrap();
    let rows = conclude(arena, &plan).await;
    rows.finish(&plan, prepared, began.elapsed())
}

/// Everything whose outcome is unknown is asked for again, as clients do, until it is known.
async fn settle(arena: &Arena, seed: u64) {
    let arena_ref = arena;
    let settling = arena.subjects.iter().map(|subject| async move { Client::new(arena_ref, seed ^ 0x5e77).settle(subject).await });
    stream::iter(settling).buffer_unordered(4).collect::<Vec<()>>().await;
}

/// Stops both replicas in order, and then looks at every database.
async fn conclude(arena: Arena, plan: &Plan) -> report::Tally {
    let Arena { world, replica, subjects, oracle, findings, .. } = arena;
    let (platform, api) = world.into_parts();
    replica.stop().await;
    api.stop().await;
    let counts = stream::iter(&subjects).map(|subject| count::check(&platform, subject, &oracle, &findings)).buffer_unordered(4);
    let rows: u64 = counts.collect::<Vec<u64>>().await.into_iter().sum();
    let sessions = count::sessions(&platform).await;
    debug_assert_eq!(subjects.len(), plan.tenants);
    findings.tally(rows, sessions)
}

async fn report_progress(arena: Arc<Arena>, plan: Plan, began: Instant) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    loop {
        ticks.tick().await;
        eprintln!("{:7.1} s  {}", began.elapsed().as_secs_f64(), arena.findings.line(plan.requests));
    }
}
