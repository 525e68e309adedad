//! What a test started ends with it, even when the test process is killed. The killed process is this test binary, run again.

use std::process::Stdio;
use std::{env, fs};

use testing::{ControlPlane, Postgres, PostgresOptions, Version, until};
use tokio::process::Command;

use crate::runs;

/// Where the process that is going to be killed writes the process ids of its servers.
const VARIABLE: &str = "DAILYCARE_SUPPORT_ABANDON";

#[tokio::test]
async fn servers_end_with_the_process_that_started_them_even_when_that_is_killed() {
    if let Some(path) = env::var_os(VARIABLE) {
        let plane = ControlPlane::private().await.unwrap();
        let server = Postgres::start(Version::V18, PostgresOptions::default()).await.unwrap();
        server.pause().unwrap();
        let pids = plane.pids().into_iter().chain([server.pid()]).map(|pid| pid.to_string()).collect::<Vec<_>>();
        fs::write(path, pids.join(" ") + "\n").unwrap();
        return std::future::pending().await;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pids");
    let name = "abandoned::servers_end_with_the_process_that_started_them_even_when_that_is_killed";
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name]).env(VARIABLE, &path).stdout(Stdio::null()).stderr(Stdio::null());
    let mut starter = command.kill_on_drop(true).spawn().unwrap();
    until("the servers are up", async || {
        assert!(starter.try_wait().unwrap().is_none(), "the process that holds them could not start them");
        fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    let pids: Vec<u32> = fs::read_to_string(&path).unwrap().split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.iter().filter(|pid| runs(**pid)).count(), 4);
    starter.kill().await.unwrap();
    for pid in pids {
        until("the orphaned server has ended", async || !runs(pid)).await;
    }
}
