//! The running API held to its own document by schemathesis: requests that fit it, and requests that nearly do, thousands of them.
//!
//! `make fuzz-api` asks for many more of them than the test does.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use api::settings::Settings;
use api_testing::{Client, World, connections};
use serde_json::json;
use testing::{Version, schemathesis};

/// Cases of an operation in one phase; `MAX_EXAMPLES` says otherwise.
const EXAMPLES: &str = "6";

/// Connections for all that a fuzzer asks at once, and tokens that outlive it.
fn roomy(settings: &mut Settings) {
    connections(settings, 16);
    settings.identity.access_life = Duration::from_hours(1);
}

/// Where an administrator may take its own account or rights away, after which it is refused everything else.
const ACCOUNTS: &str = "^/api/v1/(users|roles)";

#[tokio::test]
async fn a_school_administrator_meets_no_fault_and_nothing_that_the_document_does_not_say() {
    let world = World::start(Version::V18, roomy).await;
    let school = world.school("norte").await;
    let admin = school.user("SchoolAdmin").await;
    for name in ["Inês Conceição", "Rui"] {
        assert_eq!(admin.post("/children", json!({ "full_name": name })).await.status, 201);
    }
    fuzz(&world, &admin, "norte", &["--exclude-tag", "platform", "--exclude-path-regex", ACCOUNTS]).await;
}

#[tokio::test]
async fn nor_does_one_who_manages_accounts_and_rules_until_its_own_is_gone() {
    let world = World::start(Version::V18, roomy).await;
    let school = world.school("norte").await;
    school.user("Teacher").await;
    fuzz(&world, &school.user("SchoolAdmin").await, "norte", &["--include-path-regex", ACCOUNTS]).await;
}

#[tokio::test]
async fn the_platforms_staff_meets_no_fault_and_nothing_that_the_document_does_not_say() {
    let world = World::start(Version::V18, roomy).await;
    let _school = world.school("norte").await;
    fuzz(&world, &world.staff().await, "norte", &["--include-tag", "platform"]).await;
}

/// Panics with the fuzzer's report when it finds anything. `SHOW=1` lets it speak while it works.
async fn fuzz(world: &World, client: &Client, tenant: &str, which: &[&str]) {
    let files = tempfile::tempdir().unwrap();
    let report = files.path().join("report");
    let dev = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev");
    let config = dev.join("schemathesis.toml");
    let examples = std::env::var("MAX_EXAMPLES").unwrap_or_else(|_| EXAMPLES.to_owned());
    let base = format!("http://{}", world.api.address);
    // One worker: the `ast` of Python 3.11, which it uses, is not to be used by two threads at once.
    let mut command = Command::new(schemathesis().unwrap());
    command.arg("--config-file").arg(config).args(["run", "--no-color", "--max-examples", &examples, "--url", &base]);
    command.args(which).arg(format!("{base}/openapi.json")).env("DAILYCARE_FUZZ_TOKEN", &client.token);
    let surroundings = [("DAILYCARE_FUZZ_TENANT", tenant), ("NO_PROXY", "*"), ("PYTHONUNBUFFERED", "1"), ("PYTHONDONTWRITEBYTECODE", "1")];
    command.current_dir(files.path()).envs(surroundings).env("SCHEMATHESIS_HOOKS", dev.join("schemathesis_hooks.py")).stdin(Stdio::null());
    if std::env::var_os("SHOW").is_none() {
        let file = File::create(&report).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
    }
    let ended = tokio::task::spawn_blocking(move || command.status()).await.unwrap().unwrap();
    assert!(ended.success(), "{ended}\n{}", std::fs::read_to_string(report).unwrap_or_default());
}
