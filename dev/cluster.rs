//! The local cluster of a clone: what `make cluster`, `make cluster-down`, `make cluster-status` and `make env` run.
//!
//! Its state is in `.dev/` of the clone. It starts and stops its own processes only, and an existing cluster or server is used only
//! when it is named for this purpose: a `KUBECONFIG` that happens to be in the environment may be anybody's production.
//! Must not stop a process that it did not start.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program's output is for people and for the shell")]

mod samples;

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use api::identity::SigningKeys;
use clap::{Args, Parser, Subcommand};
use futures::future::{try_join, try_join3};
use kube::config::{KubeConfigOptions, Kubeconfig};
use postgres::url::Target;
use provisioning::master::keyring::Keyring;
use registry::password;
use samples::Servers;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use testing::{ControlPlane, Lifetime, Postgres, PostgresOptions, Redis, Version, kubectl, psql};

/// The operator's records, on the newer of the two servers.
const MASTER_DATABASE: &str = "dailycare_master";
/// The login of the API, which the operator makes.
const API_LOGIN: &str = "dailycare_api_login";
/// For one attempt to reach an existing cluster or server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// A Kubernetes control plane, two PostgreSQL servers and a Redis for this clone, without containers.
#[derive(Parser)]
struct Cli {
    /// Where state, data and logs lie.
    #[arg(long, default_value = ".dev", global = true)]
    directory: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts what does not run yet.
    Up(Existing),
    /// Stops what `up` started, and nothing else.
    Down {
        /// Removes the data too.
        #[arg(long)]
        purge: bool,
    },
    /// Says what runs and where its log is.
    Status,
    /// Prints the exports for a shell.
    Env,
}

/// What is used instead of being started.
#[derive(Args)]
struct Existing {
    /// The kubeconfig of an existing cluster; no control plane is started.
    #[arg(long, env = "DAILYCARE_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// The URL of an existing PostgreSQL server, with sslmode, as a login that may create databases and roles; no server is started.
    #[arg(long, env = "DAILYCARE_PG_URL", hide_env_values = true)]
    pg_url: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { directory, command } = Cli::parse();
    let outcome = match command {
        Command::Up(existing) => up(&directory, &existing).await,
        Command::Down { purge } => down(&directory, purge).await,
        Command::Status => {
            status(&directory);
            Ok(())
        }
        Command::Env => exports(&directory),
    };
    if let Err(error) = outcome {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        eprintln!("{text}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn up(directory: &Path, existing: &Existing) -> Outcome {
    let begun = Instant::now();
    fs::create_dir_all(directory)?;
    let directory = directory.canonicalize()?;
    let _alone = lock(&directory)?;
    let (plane, servers, redis) = try_join3(kubernetes(&directory, existing), postgresql(&directory, existing), redis(&directory)).await?;
    let master = with_database(servers.newest(), MASTER_DATABASE);
    let once = |name: &str, make: &dyn Fn() -> Outcome<SecretString>| -> Outcome<String> {
        let path = directory.join(name);
        if !path.exists() {
            write_private(&path, make()?.expose_secret())?;
        }
        Ok(path.display().to_string())
    };
    let sealing = once("sealing-key", &|| Ok(Keyring::generate_file("k1")?))?;
    let opening = directory.join("opening-keys");
    write_private(&opening, Keyring::opening_file(&fs::read_to_string(&sealing)?.into())?.expose_secret())?;
    let signing = once("signing-key", &|| Ok(SigningKeys::generate_file("s1")?))?;
    let api_password = once("api-password", &|| Ok(password::generate_login_password()?))?;
    let (api, cache) = (directory.join("api-url"), directory.join("redis-url"));
    // The servers' ports may have changed.
    write_private(&api, &with_login(&master, API_LOGIN, &fs::read_to_string(api_password)?))?;
    write_private(&cache, &redis)?;
    samples::write(&directory.join("samples"), &servers)?;
    let mut variables = vec![
        ("KUBECONFIG", plane.display().to_string()),
        ("DAILYCARE_MASTER_URL", master),
        ("DAILYCARE_SEALING_KEY_FILE", sealing),
        ("DAILYCARE_OPENING_KEY_FILE", opening.display().to_string()),
        ("DAILYCARE_API_URL_FILE", api.display().to_string()),
        ("DAILYCARE_SIGNING_KEY_FILE", signing),
        ("DAILYCARE_REDIS_URL_FILE", cache.display().to_string()),
        ("DAILYCARE_HTTP_ADDRESS", "127.0.0.1:0".to_owned()),
    ];
    if let Servers::Two { standard, premium } = &servers {
        variables.extend([("DAILYCARE_PG18_URL", standard.clone()), ("DAILYCARE_PG15_URL", premium.clone())]);
    }
    write_private(&directory.join("env"), &environment(&variables)?)?;
    println!("the cluster is up after {:.1} s; for this shell: eval \"$(make -s env)\"", begun.elapsed().as_secs_f32());
    Ok(())
}

/// The kubeconfig of the existing cluster, or of the own one, which is started when it does not run.
async fn kubernetes(directory: &Path, existing: &Existing) -> Outcome<PathBuf> {
    if let Some(path) = &existing.kubeconfig {
        let version =
            tokio::time::timeout(CONNECT_TIMEOUT, existing_version(path)).await.map_err(|_| "the existing cluster does not answer")??;
        println!("kubernetes     {version} (existing, by {})", path.display());
        return Ok(path.canonicalize()?);
    }
    let begun = Instant::now();
    let plane = ControlPlane::start(&directory.join("control-plane"), Lifetime::Detached).await?;
    let path = directory.join("kubeconfig");
    write_private(&path, &fs::read_to_string(plane.kubeconfig())?)?;
    println!("kubernetes     ready after {:.1} s", begun.elapsed().as_secs_f32());
    Ok(path)
}

async fn existing_version(kubeconfig: &Path) -> Outcome<String> {
    let config = kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig)?, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?.apiserver_version().await?.git_version)
}

/// The existing server, or the own ones, which are started when they do not run.
async fn postgresql(directory: &Path, existing: &Existing) -> Outcome<Servers> {
    let Some(url) = &existing.pg_url else {
        let (newer, older) = try_join(server(directory, Version::V18), server(directory, Version::V15)).await?;
        return Ok(Servers::Two { standard: newer, premium: older });
    };
    // Only the operator's own reader knows what the operator will accept.
    Target::parse(&url.as_str().into())?;
    let options = url.parse::<PgConnectOptions>()?.disable_statement_logging();
    let mut connection =
        tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await.map_err(|_| "the existing server does not answer")??;
    let number: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
    println!("postgresql     {number} (existing, {}:{})", options.get_host(), options.get_port());
    Ok(Servers::One(url.clone()))
}

/// The URL of the own server of that version.
async fn server(directory: &Path, version: Version) -> Outcome<String> {
    let begun = Instant::now();
    let options = PostgresOptions {
        lifetime: Lifetime::Detached,
        directory: Some(directory.join(version.name())),
        fsync: true,
        ..PostgresOptions::default()
    };
    let server = Postgres::start(version, options).await?;
    println!("{}  ready after {:.1} s", version.name(), begun.elapsed().as_secs_f32());
    Ok(format!("{}?sslmode=disable", server.superuser_url("postgres")))
}

/// The URL of the own Redis, which every API of this clone uses; an existing one is not asked for, because nothing is kept in it.
async fn redis(directory: &Path) -> Outcome<String> {
    let begun = Instant::now();
    let server = Redis::start_detached(&directory.join("redis")).await?;
    println!("redis          ready after {:.1} s", begun.elapsed().as_secs_f32());
    Ok(server.url())
}

async fn down(directory: &Path, purge: bool) -> Outcome {
    let Ok(directory) = directory.canonicalize() else {
        println!("there is no local cluster");
        return Ok(());
    };
    let _alone = lock(&directory)?;
    let mut stopped = Vec::new();
    if ControlPlane::stop_detached(&directory.join("control-plane")).await? {
        stopped.push("kubernetes");
    }
    for version in Version::ALL {
        if Postgres::stop_detached(version, &directory.join(version.name())).await? {
            stopped.push(version.name());
        }
    }
    if Redis::stop_detached(&directory.join("redis")).await? {
        stopped.push("redis");
    }
    println!("stopped: {}", if stopped.is_empty() { "nothing ran".to_owned() } else { stopped.join(", ") });
    if purge {
        fs::remove_dir_all(&directory)?;
        println!("removed: {}", directory.display());
    } else {
        // Its addresses lead nowhere now.
        let _ = fs::remove_file(directory.join("env"));
    }
    Ok(())
}

fn status(directory: &Path) {
    let plane = directory.join("control-plane");
    let programs = ControlPlane::detached(&plane).map(|(name, pid)| (name, pid, plane.join(format!("{name}.log"))));
    let servers = Version::ALL.map(|version| {
        let own = directory.join(version.name());
        (version.name(), Postgres::detached(version, &own), own.join("log"))
    });
    let own = directory.join("redis");
    let redis = ("redis", Redis::detached(&own), own.join("log"));
    for (name, pid, log) in programs.into_iter().chain(servers).chain([redis]) {
        let state = pid.map_or_else(|| "stopped".to_owned(), |pid| format!("process {pid}"));
        println!("{name:<24} {state:<16} {}", log.display());
    }
}

fn exports(directory: &Path) -> Outcome {
    let text = fs::read_to_string(directory.join("env")).map_err(|_| "the local cluster is not up: `make cluster` starts it")?;
    print!("{text}");
    Ok(())
}

fn environment(variables: &[(&str, String)]) -> Outcome<String> {
    let mut text = String::new();
    for (name, value) in variables {
        writeln!(text, "export {name}={}", quoted(value))?;
    }
    // This program is in examples/ of the directory where cargo puts the operator.
    let own = env::current_exe()?.ancestors().nth(2).map(Path::to_owned);
    let programs = [kubectl()?, psql()?].into_iter().filter_map(|path| path.parent().map(Path::to_owned));
    let path = env::join_paths(own.into_iter().chain(programs))?;
    writeln!(text, "export PATH={}:\"$PATH\"", quoted(&path.to_string_lossy()))?;
    Ok(text)
}

/// The URL with its path, and nothing else, replaced: what its owner wrote about TLS and the like stays.
fn with_database(url: &str, database: &str) -> String {
    let (address, parameters) = url.find('?').map_or((url, ""), |at| url.split_at(at));
    let authority = address.find("://").map_or(0, |at| at + 3);
    let end = address[authority..].find('/').map_or(address.len(), |at| authority + at);
    format!("{}/{database}{parameters}", &address[..end])
}

/// The URL with another login and its password, which needs no encoding.
fn with_login(url: &str, username: &str, password: &str) -> String {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find(['/', '?']).map_or(url.len(), |at| authority + at);
    let host = url[authority..end].rfind('@').map_or(authority, |at| authority + at + 1);
    format!("{}{username}:{password}@{}", &url[..authority], &url[host..])
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// Held until it is dropped: two runs at once would start everything twice.
fn lock(directory: &Path) -> Outcome<File> {
    let file = File::create(directory.join("lock"))?;
    file.lock()?;
    Ok(file)
}

/// Written with credentials in it, so for its owner only.
fn write_private(path: &Path, text: &str) -> Outcome {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
