//! `make bench-api`: what the API costs beside the same handler without it, and whether its bounds hold, from one run on servers of its own.
//!
//! Prints each budget and whether it is met. Judges no time, because a machine's speed is none of its business; it fails when an answer is wrong, a request
//! is refused that should not be, or more connections are open than the budget allows. Must not measure anything itself: each phase does.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program's output is for people")]

#[path = "api/bare.rs"]
mod bare;
#[path = "api/cached.rs"]
mod cached;
#[path = "api/change.rs"]
mod change;
#[path = "api/churn.rs"]
mod churn;
#[path = "api/client.rs"]
mod client;
#[path = "api/fixture.rs"]
mod fixture;
#[path = "api/fleet.rs"]
mod fleet;
#[path = "api/neighbour.rs"]
mod neighbour;
#[path = "api/print.rs"]
mod print;
#[path = "provision/processes.rs"]
mod processes;
#[path = "api/program.rs"]
mod program;
#[path = "api/sides.rs"]
mod sides;
#[path = "provision/spread.rs"]
mod spread;
#[path = "api/tokens.rs"]
mod tokens;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::fixture::Fixture;
use crate::print::Table;

/// What went wrong; the bench ends with it.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures the API.
#[derive(Parser)]
struct Options {
    /// What is measured; everything unless given.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// How often each side of the comparison is measured.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Milliseconds of one measurement.
    #[arg(long, default_value_t = 1000)]
    slice: u64,
    /// Tenants in the registry.
    #[arg(long, default_value_t = 10_000)]
    fleet: usize,
    /// Tenants in turn over few connections; fewer when the disk does not hold their databases.
    #[arg(long, env = "TENANTS", default_value_t = 2000)]
    tenants: usize,
    /// How often the quiet school is heard alone and beside the noisy one.
    #[arg(long, default_value_t = 2)]
    noise_rounds: usize,
    /// Seconds of each.
    #[arg(long, default_value_t = 6)]
    noise: u64,
    /// Changes of a route, there and back.
    #[arg(long, default_value_t = 200)]
    changes: usize,
    /// Requests of each kind to which the cache matters.
    #[arg(long, default_value_t = 2000)]
    users: usize,
    /// The product's program, built as users get it. By default the one that `cargo build --release` made beside this one.
    #[arg(long)]
    api: Option<PathBuf>,
    /// How the result is printed.
    #[arg(short, long, env = "BENCH_OUTPUT", default_value = "table")]
    output: Format,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Sides,
    Fleet,
    Churn,
    Neighbour,
    Change,
    Cached,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Subcommand)]
enum Role {
    /// The server that the API is measured against; started by this program itself.
    #[command(name = bare::Bare::NAME, hide = true)]
    Bare(bare::Bare),
}

impl Options {
    fn slice(&self) -> Duration {
        Duration::from_millis(self.slice)
    }

    fn noise(&self) -> Duration {
        Duration::from_secs(self.noise)
    }

    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// Everything that was measured.
#[derive(Default, Serialize)]
struct Report {
    cores: usize,
    sides: Vec<sides::Round>,
    fleet: Option<fleet::Fleet>,
    churn: Option<churn::Churn>,
    neighbour: Vec<neighbour::Noise>,
    change: Option<change::Change>,
    cached: Vec<cached::Cached>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let done = match &options.role {
        Some(Role::Bare(bare)) => bare::serve(bare).await,
        None => Box::pin(run(&options)).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {}", telemetry::logs::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Outcome {
    let report = Box::pin(measure(options)).await?;
    match options.output {
        Format::Table => println!("{}", report.table()),
        Format::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    match report.churn {
        Some(churn) if !churn.is_within_budget() => Err("the budget of connections did not hold, or a request failed".into()),
        _ => Ok(()),
    }
}

async fn measure(options: &Options) -> Outcome<Report> {
    let begun = Instant::now();
    let progress = |what: &str| eprintln!("{:6.1} s  {what}", begun.elapsed().as_secs_f64());
    let cores = std::thread::available_parallelism()?.get();
    let mut report = Report { cores, ..Report::default() };
    progress("starting PostgreSQL with fsync on, and the master database");
    let fixture = Fixture::start(options.api.clone()).await?;
    if options.wants(Part::Sides) {
        progress("a child read through the API and by the bare handler, in turn");
        report.sides = Box::pin(sides::run(&fixture, options)).await?;
    }
    if options.wants(Part::Fleet) {
        progress("many registered tenants");
        report.fleet = Some(Box::pin(fleet::run(&fixture, options)).await?);
    }
    if options.wants(Part::Neighbour) {
        progress("a noisy neighbour");
        report.neighbour = Box::pin(neighbour::run(&fixture, options)).await?;
    }
    if options.wants(Part::Change) {
        progress("changes of a route");
        report.change = Some(Box::pin(change::run(&fixture, options)).await?);
    }
    if options.wants(Part::Cached) {
        progress("Redis off, on and down");
        report.cached = Box::pin(cached::run(&fixture, options)).await?;
    }
    drop(fixture);
    if options.wants(Part::Churn) {
        progress("many tenants in turn over few connections: making their databases first");
        report.churn = Some(Box::pin(churn::run(options)).await?);
    }
    progress("done");
    Ok(report)
}

impl Report {
    fn table(&self) -> String {
        let mut out = Table::default();
        out.line(&format!("The API on PostgreSQL 18, {} cores for all parts, the load included", self.cores));
        if !self.sides.is_empty() {
            sides::print(&mut out, &self.sides);
        }
        if let Some(fleet) = &self.fleet {
            fleet::print(&mut out, fleet);
        }
        if let Some(churn) = &self.churn {
            churn::print(&mut out, churn);
        }
        if !self.neighbour.is_empty() {
            neighbour::print(&mut out, &self.neighbour);
        }
        if let Some(change) = &self.change {
            change::print(&mut out, change);
        }
        if !self.cached.is_empty() {
            cached::print(&mut out, &self.cached);
        }
        out.0
    }
}
