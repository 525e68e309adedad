//! `make torture-api`: the isolation torture of `crates/api/tests/api/isolation.rs` at length, on servers of its own.
//!
//! Ends with a report, and with a failure when anything of one school's was in an answer or database of another's, an answer was not one that its request may
//! get, a row was lost or doubled, or the run could not have shown it. Must not hold the torture itself: `api-testing` does.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program's output is for people")]

use std::process::ExitCode;

use api_testing::torture::{self, Plan};
use clap::{Parser, ValueEnum};

/// Tortures two replicas of the API.
#[derive(Parser)]
struct Options {
    /// Requests.
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
    /// Schools.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(2..=500))]
    tenants: u16,
    /// Requests at a time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1000))]
    clients: u16,
    /// What is asked when; another one each time unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// How the result is printed.
    #[arg(short, long, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Options { requests, tenants, clients, seed, output } = Options::parse();
    let seed = seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    let report = Box::pin(torture::run(Plan { tenants: tenants.into(), requests, clients: clients.into(), progress: true, seed })).await;
    match output {
        Format::Text => println!("{report}"),
        Format::Json => println!("{:#}", serde_json::json!(report)),
    }
    match report.verdict() {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            eprintln!("torture-api: {}", wrong.join("; "));
            ExitCode::FAILURE
        }
    }
}
