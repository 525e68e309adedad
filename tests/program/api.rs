//! The product's own program as `dailycare api`: ended under load as Kubernetes ends it, with a log of everything.

use std::fs::File;
use std::io::{BufRead as _, BufReader, PipeReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api_testing::{Client, PASSWORD, World, world};
use futures::future::join_all;
use secrecy::ExposeSecret as _;
use serde_json::json;
use testing::{Platform, eventually, until};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use uuid::Uuid;

const LONG: Duration = Duration::from_mins(1);

struct Process {
    child: Child,
    log: tempfile::TempDir,
}

impl Process {
    fn start(world: &World, flags: &[&str]) -> Self {
        let log = tempfile::tempdir().unwrap();
        let file = File::create(log.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dailycare"));
        command
            .args(arguments(&world.platform, world.files.path(), flags))
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .kill_on_drop(true);
        Self { child: command.spawn().unwrap(), log }
    }

    fn log(&self) -> String {
        read(&self.log.path().join("log"))
    }

    /// Where it serves, once it does.
    async fn ready(&self) -> SocketAddr {
        let address = eventually(async || {
            let log = self.log();
            let line = log.lines().find(|line| line.contains("listening") && line.contains("http_address="))?;
            let address = line.split_whitespace().find_map(|word| word.strip_prefix("address="))?;
            log.contains(" ready").then(|| address.parse().unwrap())
        });
        address.await.unwrap_or_else(|| panic!("not ready: {:.2000}", self.log()))
    }

    /// As Kubernetes ends a container.
    async fn terminate(&self) {
        let kill = Command::new("sh").args(["-c", "kill -s TERM $0", &self.child.id().unwrap().to_string()]).status();
        assert!(kill.await.unwrap().success());
    }
}

/// The command line of an API on this platform.
fn arguments(platform: &Platform, files: &Path, flags: &[&str]) -> Vec<String> {
    let path = |name: &str| files.join(name).display().to_string();
    let (opening, signing, url) = (path("opening-keys"), path("signing-keys"), platform.api_url());
    let ours = ["api", "--master-url", &url, "--opening-key-file", &opening, "--signing-key-file", &signing];
    let bounds = ["--address", "127.0.0.1:0", "--http-address", "127.0.0.1:0", "--grace-seconds", "0"];
    let patience = ["--tenant-rate", "1000000", "--tenant-burst", "1000000", "--connection-wait-milliseconds", "30000"];
    ours.iter().chain(&bounds).chain(&patience).chain(flags).map(|&word| word.to_owned()).collect()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

/// What the program prints and how it ends; it is ended after a while anyway.
async fn run(arguments: &[&str], variables: &[(&str, &Path)]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dailycare"));
    command.args(arguments).envs(variables.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    timeout(LONG, command.output()).await.unwrap_or_else(|_| panic!("{arguments:?} goes on")).unwrap()
}

#[tokio::test]
async fn the_api_is_printed_keys_of_its_own_and_neither_program_starts_with_the_others() {
    let world = world().await;
    let files = tempfile::tempdir().unwrap();
    let (sealing, opening) = (files.path().join("sealing"), files.path().join("opening"));
    std::fs::write(&sealing, world.platform.sealing_keys.expose_secret()).unwrap();
    let printed = run(&["--log", "trace", "opening-keys"], &[("DAILYCARE_SEALING_KEY_FILE", &sealing)]).await;
    let output = [printed.stdout.as_slice(), &printed.stderr].concat();
    assert_eq!(String::from_utf8(output).unwrap(), world.platform.opening_keys.expose_secret());
    std::fs::write(&opening, printed.stdout).unwrap();

    let mut arguments = arguments(&world.platform, world.files.path(), &[]);
    let flag = arguments.iter().position(|word| word == "--opening-key-file").unwrap();
    arguments[flag + 1] = sealing.display().to_string();
    let api = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    let operator = ["operator", "--master-url", "postgres://x:x@127.0.0.1:1/x", "--sealing-key-file", opening.to_str().unwrap()];
    for (arguments, advice) in [(api.as_slice(), "dailycare opening-keys"), (&operator, "dailycare sealing-key")] {
        let output = run(arguments, &[]).await;
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!output.status.success() && text.contains(advice), "{text}");
        for keys in [&world.platform.sealing_keys, &world.platform.opening_keys] {
            assert!(!text.contains(keys.expose_secret().trim().rsplit_once(':').unwrap().1), "{text}");
        }
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_neither_requests_nor_probes_nor_the_end() {
    let world = world().await;
    let north = world.school("norte").await;
    let (email, user) = north.account("SchoolAdmin").await;
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dailycare"));
    command.args(arguments(&world.platform, world.files.path(), &["--log", "trace"])).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(writer).kill_on_drop(true).spawn().unwrap();
    drop(command);
    // The pipe stays open, and nobody reads on once the program is ready.
    let (_reader, address, probes) = timeout(LONG, tokio::task::spawn_blocking(|| read_until_ready(reader))).await.unwrap().unwrap();

    let ana = Client::log_in(address, &email, user).await;
    let probe = async |path: &str| {
        let answer = reqwest::get(format!("http://{probes}/{path}")).await.unwrap();
        assert!(answer.status().is_success(), "{path}");
        answer.text().await.unwrap()
    };
    until("records that are lost", async || {
        for _ in 0..50 {
            assert_eq!(ana.get("/children").await.status, 200);
        }
        let metrics = probe("metrics").await;
        let lost = metrics.lines().find_map(|line| line.strip_prefix("dailycare_api_log_records_lost_total ")).unwrap().to_owned();
        lost.parse::<u64>().unwrap() > 0
    })
    .await;
    assert_eq!(ana.get("/children").await.status, 200);
    probe("healthz").await;
    probe("readyz").await;
    let kill = Command::new("sh").args(["-c", "kill -s TERM $0", &child.id().unwrap().to_string()]).status();
    assert!(kill.await.unwrap().success());
    assert!(timeout(LONG, child.wait()).await.unwrap().unwrap().success());
}

/// Where it serves, and where its probes are.
fn read_until_ready(reader: PipeReader) -> (BufReader<PipeReader>, SocketAddr, SocketAddr) {
    let (mut reader, mut addresses, mut line) = (BufReader::new(reader), None, String::new());
    loop {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "it ended");
        let word = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)).map(|address| address.parse().unwrap());
        if line.contains("listening") {
            addresses = word("address=").zip(word("http_address=")).or(addresses);
        }
        if let (Some((address, probes)), true) = (addresses, line.contains(" ready")) {
            return (reader, address, probes);
        }
    }
}

/// What one client was answered until nobody answered any more.
#[derive(Default)]
struct Acknowledged {
    made: Vec<String>,
    reads: usize,
}

async fn load(address: SocketAddr, token: &str, all: &AtomicUsize) -> Acknowledged {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{address}/api/v1/children");
    let mut acknowledged = Acknowledged::default();
    loop {
        let name = format!("Canary {}", Uuid::new_v4());
        let Ok(made) = http.post(&url).bearer_auth(token).json(&json!({ "full_name": name })).send().await else { return acknowledged };
        if made.status() == 201 {
            acknowledged.made.push(name);
            all.fetch_add(1, Ordering::Relaxed);
        }
        let Ok(found) = http.get(format!("{url}?limit=1")).bearer_auth(token).send().await else { return acknowledged };
        acknowledged.reads += usize::from(found.status() == 200);
    }
}

#[tokio::test]
async fn a_process_ended_under_load_loses_nothing_acknowledged_and_logs_no_secret() {
    let world = world().await;
    let north = world.school("norte").await;
    let (email, user) = north.account("SchoolAdmin").await;
    let mut process = Process::start(&world, &["--log", "trace"]);
    let address = process.ready().await;
    let ana = Client::log_in(address, &email, user).await;
    let wrong = ana.anonymous().post("/auth/login", json!({ "email": email, "password": "canary-wrong-password" })).await;
    assert_eq!(wrong.code(), "INVALID_CREDENTIALS");

    let all = AtomicUsize::new(0);
    let ending = async {
        until("forty children are made", async || all.load(Ordering::Relaxed) >= 40).await;
        process.terminate().await;
    };
    let (answers, ()) = tokio::join!(join_all((0..8).map(|_| load(address, &ana.token, &all))), ending);
    let status = timeout(LONG, process.child.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");

    let made: Vec<&String> = answers.iter().flat_map(|answer| &answer.made).collect();
    let rows: Vec<String> = north.scalar("SELECT array_agg(full_name) FROM app.children").await;
    for name in &made {
        assert_eq!(rows.iter().filter(|row| row == name).count(), 1, "{name} was acknowledged");
    }
    let records = async |action: &str| {
        north.scalar::<i64>(&format!("SELECT count(*) FROM app.access_audit WHERE success AND action = 'children:{action}'")).await
    };
    assert_eq!(usize::try_from(records("create").await).unwrap(), rows.len());
    let reads: usize = answers.iter().map(|answer| answer.reads).sum();
    assert!(usize::try_from(records("read").await).unwrap() >= reads, "{reads} reads were answered");

    let log = process.log();
    assert!(log.contains("stopped"), "{log:.2000}");
    let url = world.platform.api_url();
    let password = url.split([':', '@']).nth(2).unwrap();
    let sealing = world.platform.sealing_keys.expose_secret().trim().split_once(':').unwrap().1.to_owned();
    let opening = world.platform.opening_keys.expose_secret().trim().rsplit_once(':').unwrap().1.to_owned();
    let signing = world.signing_keys().trim().split_once(':').unwrap().1.to_owned();
    for secret in [PASSWORD, "canary-wrong-password", password, &sealing, &opening, &signing, &ana.token, "Canary "] {
        assert!(!log.contains(secret), "the log tells {:.8}…: {:?}", secret, log.lines().find(|line| line.contains(secret)));
    }
}
