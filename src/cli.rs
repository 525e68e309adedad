//! The command line: one binary, a subcommand for each job. Only this module prints and exits.
//!
//! Must not decide anything about schools or servers.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

mod accounts;
mod plan;
mod platform_admin;
mod school_admin;
mod server;

use std::process::ExitCode;

use api::identity::SigningKeys;
use api::{router, run};
use clap::{Parser, Subcommand};
use operator::controller;
use operator::crd::print;
use provisioning::master::keyring::Keyring;
use secrecy::ExposeSecret as _;
use telemetry::logs::{self, Format};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::SealingArgs;
use crate::args::api::ApiArgs;
use crate::args::operator::{CommonArgs, OperatorArgs};

/// One isolated PostgreSQL database per school, declared by one Kubernetes School.
#[derive(Debug, Parser)]
#[command(name = "dailycare", version)]
pub(crate) struct Cli {
    /// Format of log records.
    #[arg(long, global = true, env = "DAILYCARE_LOG_FORMAT", default_value = "human")]
    log_format: Format,
    /// Log filter, in the syntax of tracing's `EnvFilter`; a target is a crate's short name, such as `operator=debug` or `api=debug`.
    #[arg(long, global = true, env = "DAILYCARE_LOG", default_value = "info,kube_runtime=warn,sqlx=warn,sqlx::postgres::notice=off")]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the operator.
    Operator(Box<OperatorArgs>),
    /// Runs the companion API.
    Api(Box<ApiArgs>),
    /// Prints what is observed of an object, the next action and why; changes nothing.
    Plan {
        #[command(flatten)]
        common: CommonArgs,
        #[command(flatten)]
        target: plan::Target,
    },
    /// Creates and removes accounts of the platform's staff and resets their passwords, with the operator's access.
    PlatformAdmin(platform_admin::PlatformAdminArgs),
    /// Gives a school's administrator who lost the password a temporary one, with the operator's access.
    SchoolAdmin(school_admin::SchoolAdminArgs),
    /// Work on a `DatabaseServer` that the operator leaves to a person.
    Server(server::ServerArgs),
    /// Prints the custom resource definitions, ready for kubectl apply -f -.
    Crd,
    /// Prints the API's OpenAPI document.
    Openapi,
    /// Prints the contents of a new sealing key file.
    SealingKey {
        /// The key's id, stored with everything that it seals.
        #[arg(default_value = "k1")]
        id: String,
    },
    /// Prints the API's opening key file, derived from the operator's sealing keys. It opens the schools' credentials; the migrator's passwords cannot be derived
    /// from it.
    OpeningKeys(SealingArgs),
    /// Prints the contents of a new signing key file.
    SigningKey {
        /// The key's id, part of every token that it signs.
        #[arg(default_value = "k1")]
        id: String,
    },
}

/// Runs the command line.
#[must_use]
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let _logs = match logs::start(cli.log_format, &cli.log) {
        Ok(logs) => logs,
        Err(error) => return failure(&error),
    };
    // Every TLS connection of the process uses the one provider; a second installation is refused and changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(cli.command)),
        Err(error) => failure(&error),
    }
}

async fn run(command: Command) -> ExitCode {
    match command {
        Command::Operator(args) => Box::pin(operator(&args)).await,
        Command::Api(args) => Box::pin(api(&args)).await,
        Command::Plan { common, target } => match Box::pin(plan::run(&common, &target)).await {
            Ok(text) => printed(&text),
            Err(error) => failure(&*error),
        },
        Command::PlatformAdmin(account) => match Box::pin(platform_admin::run(&account)).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure(&*error),
        },
        Command::SchoolAdmin(account) => match Box::pin(school_admin::run(&account)).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure(&*error),
        },
        Command::Server(args) => match Box::pin(server::run(&args)).await {
            Ok(text) => printed(&text),
            Err(error) => failure(&*error),
        },
        Command::Crd => match print::all_yaml() {
            Ok(yaml) => printed(&yaml),
            Err(error) => failure(&error),
        },
        Command::Openapi => printed(&router::text()),
        Command::SealingKey { id } => match Keyring::generate_file(&id).and_then(|file| Keyring::parse(&file).map(|_| file)) {
            Ok(file) => printed(file.expose_secret()),
            Err(error) => failure(&error),
        },
        Command::OpeningKeys(sealing) => opening_keys(&sealing).await,
        Command::SigningKey { id } => match SigningKeys::generate_file(&id).and_then(|file| SigningKeys::parse(&file).map(|_| file)) {
            Ok(file) => printed(file.expose_secret()),
            Err(error) => failure(&error),
        },
    }
}

async fn opening_keys(sealing: &SealingArgs) -> ExitCode {
    let keys = match sealing.keys().await {
        Ok(keys) => keys,
        Err(error) => return failure(&error),
    };
    match Keyring::opening_file(&keys) {
        Ok(file) => printed(file.expose_secret()),
        Err(error) => failure(&error),
    }
}

/// Cancelled by the first SIGTERM or SIGINT.
fn stop_by_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        termination().await;
        tracing::info!("stopping");
        stopping.cancel();
    });
    stop
}

async fn api(args: &ApiArgs) -> ExitCode {
    let metrics = match api::metrics::install() {
        Ok(metrics) => metrics,
        Err(error) => return failure(&error),
    };
    let settings = match args.settings().await {
        Ok(settings) => settings,
        Err(error) => return ended("the API ends", &error),
    };
    match run::start(settings, metrics, stop_by_signal()).await {
        Ok(started) => {
            started.ended().await;
            ExitCode::SUCCESS
        }
        Err(error) => ended("the API ends", &error),
    }
}

async fn operator(args: &OperatorArgs) -> ExitCode {
    let settings = match args.settings().await {
        Ok(settings) => settings,
        Err(error) => return ended("the operator ends", &error),
    };
    let read_access = async || args.master_access().await;
    match Box::pin(controller::run::run(settings, read_access, stop_by_signal())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ended("the operator ends", &error),
    }
}

/// The end of a program that runs in a cluster: a log record, in the format that the logs have.
fn ended(what: &'static str, error: &dyn std::error::Error) -> ExitCode {
    tracing::error!(error = logs::chain(error), "{what}");
    ExitCode::FAILURE
}

/// SIGTERM or SIGINT. Where a handler cannot be installed, the signal ends the process as it always does.
async fn termination() {
    let (Ok(mut term), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn printed(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

fn failure(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    eprintln!("dailycare: {}", logs::chain(error));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
