//! Programs that do their work and end: openssl, initdb, cp. Servers are [`super::Process`]es instead.
//!
//! Must not start a server.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::Result;
use super::error::{Doing, Error};

/// None of these takes more than a few seconds on an idle machine; a test run is not one.
const DEADLINE: Duration = Duration::from_mins(2);

/// Runs `argv` to its end and returns what it printed.
///
/// # Errors
/// [`Error::Command`] with what it said on stderr when it fails; [`Error::Io`] when it cannot be run or takes too long.
pub(super) async fn run(argv: Vec<OsString>) -> Result<String> {
    run_within(DEADLINE, argv).await
}

/// The same for a program that takes longer.
///
/// # Errors
/// As [`run`].
pub(super) async fn run_within(deadline: Duration, argv: Vec<OsString>) -> Result<String> {
    let program = argv.first().map(|first| first.to_string_lossy().into_owned()).unwrap_or_default();
    let mut command = Command::new(&program);
    // A message in another language, or a time zone that initdb would copy into its settings, has no place in a test.
    command.args(argv.into_iter().skip(1)).env("LC_ALL", "C.UTF-8").env("TZ", "UTC").current_dir("/");
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(deadline, output).await.unwrap_or_else(|elapsed| Err(elapsed.into())).doing(|| format!("run {program}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Command { program, status: output.status, stderr: String::from_utf8_lossy(&output.stderr).trim_end().to_owned() })
}

/// An argument list out of things that are not all of one type.
macro_rules! argv {
    ($($argument:expr),* $(,)?) => { vec![$(::std::ffi::OsString::from(&$argument)),*] };
}
pub(super) use argv;
