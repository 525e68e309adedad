//! The operator as users run it: the release program, as its own ServiceAccount, with a leader Lease.
//!
//! Must not measure.

use std::fs::OpenOptions;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::Outcome;
use crate::environment::{Environment, SYSTEM};

const POLL: Duration = Duration::from_millis(20);
/// The first start builds a template on each server.
const PATIENCE: Duration = Duration::from_mins(2);

/// A running operator; killed when dropped.
pub(crate) struct Operator {
    child: Child,
    port: u16,
}

impl Operator {
    /// Starts it and returns when it leads and knows both servers.
    pub(crate) async fn start(environment: &Environment) -> Outcome<Self> {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let log = OpenOptions::new().create(true).append(true).open(environment.files.path().join("operator.log"))?;
        let mut command = Command::new(&environment.operator);
        command.arg("operator").env_clear().env("KUBECONFIG", &environment.operator_kubeconfig).env("DAILYCARE_NAMESPACE", SYSTEM);
        command.env("DAILYCARE_MASTER_URL_FILE", environment.files.path().join("master"));
        command.env("DAILYCARE_SEALING_KEY_FILE", environment.files.path().join("keys"));
        command.env("DAILYCARE_HTTP_ADDRESS", format!("127.0.0.1:{port}"));
        // For profiling: what a person sets for this program is meant for the operator.
        command.envs(std::env::vars().filter(|(name, _)| ["DAILYCARE_LOG", "DAILYCARE_CONCURRENCY"].contains(&name.as_str())));
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut operator = Self { child, port };
        let deadline = Instant::now() + PATIENCE;
        while !operator.is_ready().await {
            if let Some(status) = operator.child.try_wait()? {
                return Err(format!("the operator ended ({status}); its log: {}", said(environment)).into());
            }
            if Instant::now() > deadline {
                return Err(format!("the operator is not ready; its log: {}", said(environment)).into());
            }
            sleep(POLL).await;
        }
        Ok(operator)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it in order.
    pub(crate) async fn stop(mut self) -> Outcome {
        let status = Command::new("sh").args(["-c", r#"kill -s TERM "$1""#, "kill"]).arg(self.pid().to_string()).status()?;
        if !status.success() {
            return Err("the operator had ended already".into());
        }
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err("the operator does not end".into());
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits until it has looked at this many Schools.
    pub(crate) async fn has_reconciled(&self, schools: usize) -> Outcome {
        const METRIC: &str = "dailycare_operator_reconcile_duration_seconds_count{kind=\"School\"} ";
        let deadline = Instant::now() + PATIENCE;
        loop {
            let page = self.get("/metrics").await?;
            let reconciled = page.lines().find_map(|line| line.strip_prefix(METRIC)?.trim().parse::<usize>().ok()).unwrap_or_default();
            if reconciled >= schools {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("the operator has looked at {reconciled} of {schools} Schools only").into());
            }
            sleep(POLL).await;
        }
    }

    async fn is_ready(&self) -> bool {
        // Ready means that it leads; a server it has looked at is up or down, one it has not is not in its metrics.
        let ready = self.get("/readyz").await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.0 200"));
        let up = async || self.get("/metrics").await.is_ok_and(|page| page.matches("dailycare_operator_server_up{server=").count() == 2);
        ready && up().await
    }

    async fn get(&self, path: &str) -> Outcome<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(environment: &Environment) -> String {
    std::fs::read_to_string(environment.files.path().join("operator.log")).unwrap_or_default()
}
