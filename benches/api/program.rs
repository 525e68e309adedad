//! The processes that are measured: `dailycare api` as users run it, and the bare server. Killed when dropped.
//!
//! Must not measure.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::Outcome;
use crate::client::{self, Client};

const POLL: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_mins(1);

/// A running process that serves HTTP.
pub(crate) struct Program {
    child: Child,
    /// From its start until it took requests.
    pub(crate) start: Duration,
}

impl Program {
    /// Starts it and returns when `path` at `ready` is answered by 200. What it logs goes to `log`.
    pub(crate) async fn start(command: &mut Command, log: &Path, ready: SocketAddr, path: &str) -> Outcome<Self> {
        let file = File::create(log)?;
        let begun = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
        let mut program = Self { child, start: Duration::ZERO };
        let request = client::get(path, "");
        loop {
            let status = async { Client::connect(ready).await?.send(&request).await };
            if status.await.is_ok_and(|status| status == 200) {
                program.start = begun.elapsed();
                return Ok(program);
            }
            if program.child.try_wait()?.is_some() || begun.elapsed() > PATIENCE {
                return Err(format!("a server does not come up; its log: {}", std::fs::read_to_string(log)?).into());
            }
            sleep(POLL).await;
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address on loopback where nobody listens.
pub(crate) fn free() -> Outcome<SocketAddr> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
