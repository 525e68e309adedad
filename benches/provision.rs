//! `make bench`: what the operator costs beside the least that the same result can cost, from one run on durable servers of its own.
//!
//! Measures and prints; judges no time, because a machine's speed is none of its business. It fails when something that was deleted is
//! still there, when a write happens at rest, or when the operator finds anything to correct in what the floor made.
//! Must not measure anything itself: each phase does.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program's output is for people")]

#[path = "provision/audit.rs"]
mod audit;
#[path = "provision/board.rs"]
mod board;
#[path = "provision/environment.rs"]
mod environment;
#[path = "provision/floor.rs"]
mod floor;
#[path = "provision/leaks.rs"]
mod leaks;
#[path = "provision/operator.rs"]
mod operator;
#[path = "provision/phases.rs"]
mod phases;
#[path = "provision/print.rs"]
mod print;
#[path = "provision/processes.rs"]
mod processes;
#[path = "provision/schools.rs"]
mod schools;
#[path = "provision/spread.rs"]
mod spread;
#[path = "provision/statements.rs"]
mod statements;
#[path = "provision/usage.rs"]
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use registry::password;

use crate::environment::Environment;
use crate::phases::Report;

/// What went wrong; the bench ends with it.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures the operator against the floor.
#[derive(Parser)]
struct Options {
    /// Schools applied at once.
    #[arg(long, default_value_t = 100)]
    schools: usize,
    /// How often the operator and the floor are measured, in turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Schools applied one after the other, cold and from a staged database.
    #[arg(long, default_value_t = 20)]
    singles: usize,
    /// Seconds at rest.
    #[arg(long, default_value_t = 20)]
    rest: u64,
    /// The operator's program, built as users get it. By default the one that `cargo build --release` made beside this one.
    #[arg(long)]
    operator: Option<PathBuf>,
    /// How the result is printed.
    #[arg(short, long, env = "BENCH_OUTPUT", default_value = "table")]
    output: Format,
    /// Where the operator's log and the API server's audit log are copied to, for profiling.
    #[arg(long)]
    keep: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match Box::pin(run(&options)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {}", telemetry::logs::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Outcome {
    let begun = Instant::now();
    let progress = |what: &str| eprintln!("{:6.1} s  {what}", begun.elapsed().as_secs_f64());
    progress("starting Kubernetes and two PostgreSQL servers with fsync on");
    let mut environment = Environment::start(options.operator.clone()).await?;
    let measured = Box::pin(measure(&mut environment, options, progress)).await;
    // Of a run that failed above all.
    if let Some(folder) = &options.keep {
        environment.keep(folder)?;
    }
    let report = measured?;
    match options.output {
        Format::Table => println!("{}", print::table(&report)),
        Format::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    report.judgement()
}

async fn measure(environment: &mut Environment, options: &Options, progress: impl Fn(&str)) -> Outcome<Report> {
    let mut report = Report::new(environment, options.schools);
    report.hash_ms = hash_ms().await?;
    progress("warming up: ten schools by the operator, ten by the floor");
    Box::pin(phases::warm_up(environment)).await?;
    for round in 1..=options.rounds {
        let last = round == options.rounds;
        progress(&format!("round {round} of {}: the operator, then the floor, then its SQL alone", options.rounds));
        let rest = last.then_some(options.rest);
        report.rounds.push(Box::pin(phases::round(environment, round, options.schools, rest, &mut report.rest)).await?);
        let line = report.rounds.last().map_or(String::new(), print::line);
        progress(&line);
    }
    progress("one School at a time, cold and from a staged database");
    report.singles = Some(Box::pin(phases::singles(environment, options.singles)).await?);
    progress("a server dies in the middle");
    report.recovery = Some(Box::pin(phases::recovery(environment, options.schools)).await?);
    Ok(report)
}

/// One password hash on an otherwise idle core, in milliseconds.
async fn hash_ms() -> Outcome<f64> {
    const HASHES: u32 = 20;
    let password = password::generate_temporary_password()?;
    let started = Instant::now();
    for _ in 0..HASHES {
        password::hash_argon2id(&password).await?;
    }
    Ok(started.elapsed().as_secs_f64() * 1000.0 / f64::from(HASHES))
}
