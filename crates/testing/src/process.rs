//! A server's process: started, found again, paused, killed, stopped. It knows nothing about what the server is.
//!
//! A [`Lifetime::Test`] process is the child of a shell that holds the read end of a pipe whose write end only this process has. The
//! kernel closes that when this process ends, however it ends, and the shell then ends the server. (PDEATHSIG would follow the
//! *thread* that started the server, and async runtimes end threads as they like.)
//! A [`Lifetime::Detached`] process is recorded in a file together with its start time, so that whoever stops it later never hits
//! a process that has got the same id since. Must not signal a process that it did not start.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::error::{Doing, Error};
use super::{Lifetime, Result};

const POLL: Duration = Duration::from_millis(10);
/// How much of a log belongs into an error message.
const TAIL_LINES: usize = 25;

/// `$1` log, `$2` the signal that ends the server when the holder of the pipe is gone, then the server's command line.
/// The server's id is the first line of output; the exit status is the server's.
/// HUP is ignored because the kernel sends it to a group that is orphaned while one of its processes is paused.
const SUPERVISOR: &str = r#"
trap '' HUP
log=$1 signal=$2; shift 2
exec 3<&0
"$@" </dev/null >>"$log" 2>&1 3<&- &
server=$!
echo "$server"
exec >/dev/null 2>&1
(
  read -r nothing <&3
  kill -s CONT "$server"; kill -s "$signal" "$server"
  tries=0
  while kill -0 "$server" && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -s KILL "$server"
) &
watcher=$!
wait "$server"
status=$?
kill "$watcher"
exit "$status"
"#;

/// How a server is started.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) name: &'static str,
    pub(super) argv: Vec<OsString>,
    /// Where the server's output is appended.
    pub(super) log: PathBuf,
    /// Where a detached process is recorded.
    pub(super) record: PathBuf,
    pub(super) lifetime: Lifetime,
    /// Ends the server in order. A test's control plane has nothing worth keeping and gets KILL.
    pub(super) stop: &'static str,
    /// Ends the server when this process dies.
    pub(super) abandon: &'static str,
}

/// A running server, or one that was running.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    id: ProcessId,
    /// The child of this process: the supervising shell, or the detached server when this process started it.
    child: Option<Child>,
}

/// A process id together with what tells it from a later process with the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProcessId {
    pub(super) pid: u32,
    /// Clock ticks between the machine's start and the process's.
    pub(super) started: u64,
}

impl ProcessId {
    /// Whether this very process runs; one that has ended and waits for its parent does not.
    pub(super) fn is_alive(self) -> bool {
        process_id(self.pid).is_ok_and(|now| now == self)
    }
}

impl Process {
    /// Starts the server. That it runs does not mean that it is ready: see [`Process::until`].
    pub(super) fn start(launch: Launch) -> Result<Self> {
        let (id, child) = spawn(&launch)?;
        if launch.lifetime == Lifetime::Detached {
            let record = format!("{} {}\n", id.pid, id.started);
            fs::write(&launch.record, record).doing(|| format!("write {}", launch.record.display()))?;
        }
        Ok(Self { launch, id, child: Some(child) })
    }

    /// The detached server that an earlier process started, when it still runs.
    pub(super) fn find(launch: Launch) -> Option<Self> {
        let record = fs::read_to_string(&launch.record).ok()?;
        let (pid, started) = record.trim_end().split_once(' ')?;
        let id = ProcessId { pid: pid.parse().ok()?, started: started.parse().ok()? };
        id.is_alive().then_some(Self { launch, id, child: None })
    }

    /// The server's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.id.pid
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.id.is_alive()
    }

    /// Stops the clock of this one process: connections stay open and nothing answers.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pause(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets it go on after [`Process::pause`].
    ///
    /// # Errors
    /// When it has ended.
    pub fn resume(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// Ends it as a power cut would, and returns when it is gone.
    ///
    /// # Errors
    /// [`Error::NotStopped`] when it is not gone after seconds.
    pub async fn kill(&mut self) -> Result<()> {
        if self.is_alive() {
            let _ = self.signal("KILL");
        }
        if self.gone_within(Duration::from_secs(10)).await { Ok(()) } else { Err(self.not_stopped()) }
    }

    /// Ends it in order, or by force when it does not within `patience`.
    pub(super) async fn stop(&mut self, patience: Duration) -> Result<()> {
        if self.is_alive() {
            // It may end by itself between the two calls, which is what is wanted.
            let _ = self.signal("CONT").and_then(|()| self.signal(self.launch.stop));
        }
        if !self.gone_within(patience).await {
            self.kill().await?;
        }
        let _ = fs::remove_file(&self.launch.record);
        Ok(())
    }

    /// Waits until it has ended, by itself or because it was told to, and returns its exit status as a shell tells it (128 and the number of the
    /// signal that ended it); none for a process that is not our child.
    pub(super) async fn ended(&mut self, patience: Duration) -> Result<Option<i32>> {
        if !self.gone_within(patience).await {
            return Err(self.not_stopped());
        }
        Ok(self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()).and_then(|status| status.code()))
    }

    /// Starts it again with the same command line; it must have ended.
    pub(super) fn start_again(&mut self) -> Result<()> {
        *self = Self::start(self.launch.clone())?;
        Ok(())
    }

    /// Waits until `ready` says so, for at most `patience`.
    ///
    /// # Errors
    /// [`Error::NotStarted`] with the end of the log when it ends or does not get ready in time.
    pub(super) async fn until(&mut self, what: &str, patience: Duration, mut ready: impl AsyncFnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + patience;
        while !ready().await {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                return Err(self.not_started(format!("it ended ({status}) before {what}")));
            }
            if Instant::now() > deadline {
                return Err(self.not_started(format!("not {what} within {} s", patience.as_secs())));
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    fn not_started(&self, why: String) -> Error {
        Error::NotStarted { name: self.launch.name, why, log: self.launch.log.clone(), tail: tail(&self.launch.log) }
    }

    fn not_stopped(&self) -> Error {
        Error::NotStopped { name: self.launch.name, pid: self.id.pid }
    }

    fn signal(&self, signal: &str) -> Result<()> {
        if self.is_alive() && signal_process(self.id.pid, signal) { Ok(()) } else { Err(self.not_stopped()) }
    }

    async fn gone_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        // The supervisor is waited for too: it ends after the server, and a child that is never waited for stays in the process table.
        while self.is_alive() || self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None))) {
            if Instant::now() > deadline {
                return false;
            }
            sleep(POLL).await;
        }
        true
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let (Lifetime::Test, Some(child)) = (self.launch.lifetime, self.child.as_mut()) {
            // Closing the pipe is the order to end the server; waiting (which closes it) keeps the data directory until then.
            let _ = child.wait();
        }
    }
}

/// Sends `signal` to `pid`; false when there is no such process. The shell has `kill` built in; minimal machines lack the program.
pub(super) fn signal_process(pid: u32, signal: &str) -> bool {
    let command = ["-c", r#"kill -s "$1" "$2""#, "kill", signal];
    let status = Command::new("sh").args(command).arg(pid.to_string()).stdin(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The identity of a process that runs now. One that has ended but whose parent has not noticed is `NotFound`.
pub(super) fn process_id(pid: u32) -> io::Result<ProcessId> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in parentheses and may hold anything; what follows is numbered from 3 in proc(5).
    let mut fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ended = fields.next().is_none_or(|state| matches!(state, "Z" | "X"));
    let started = fields.nth(18).and_then(|ticks| ticks.parse().ok());
    started.filter(|_| !ended).map(|started| ProcessId { pid, started }).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn spawn(launch: &Launch) -> Result<(ProcessId, Child)> {
    let doing = || format!("start {}", launch.name);
    // Of its own process group: Ctrl-C in the terminal is for the tests, which then end the server in their way.
    let (pid, child) = match launch.lifetime {
        Lifetime::Test => {
            let mut shell = Command::new("sh");
            shell.args(["-c", SUPERVISOR, "supervisor"]).arg(&launch.log).arg(launch.abandon).args(&launch.argv);
            let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn().doing(doing)?;
            let mut line = String::new();
            if let Some(output) = child.stdout.take() {
                BufReader::new(output).read_line(&mut line).doing(doing)?;
            }
            (line.trim().parse().map_err(io::Error::other).doing(doing)?, child)
        }
        Lifetime::Detached => {
            let log = || -> io::Result<File> { OpenOptions::new().create(true).append(true).open(&launch.log) };
            let mut server = Command::new(launch.argv.first().cloned().unwrap_or_default());
            server.args(launch.argv.iter().skip(1)).stdin(Stdio::null()).stdout(log().doing(doing)?).stderr(log().doing(doing)?);
            let child = server.process_group(0).spawn().doing(doing)?;
            (child.id(), child)
        }
    };
    // One that has ended already is reported by whoever waits for it, with its log, which says more than "no such process".
    let id = process_id(pid).unwrap_or(ProcessId { pid, started: 0 });
    Ok((id, child))
}

fn tail(log: &PathBuf) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
