//! Upgrading a private server in place with the real `pg_upgrade`, as hosted services do.
//!
//! Must not upgrade a server that runs.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use super::template::initialize_data;
use super::{Postgres, Version, launch};
use crate::account::Account;
use crate::command::{argv, run, run_within};
use crate::error::Doing;
use crate::{Lifetime, Process, Result, programs};

/// `pg_upgrade` dumps and restores every database's catalogs, twice as slowly on a loaded machine as it likes.
const DEADLINE: Duration = Duration::from_mins(15);

impl Postgres {
    /// Upgrades the server, which was stopped, to a newer version: its data, its passwords and its port stay, its system identifier does not. Starts it.
    ///
    /// # Errors
    /// When `pg_upgrade` refuses; then with what it printed.
    pub async fn upgrade(&mut self, to: Version) -> Result<()> {
        let account = Account::unprivileged()?;
        let directory = self.data.parent().unwrap_or(&self.data).to_owned();
        let (new, old) = (directory.join("data.new"), directory.join("data.old"));
        let (before, after) = (programs::postgres_bin(self.version.name())?, programs::postgres_bin(to.name())?);
        let password = directory.join("password.own");
        run(argv!["install", "-m", "0600", directory.join("password"), password]).await?;
        account.own(&password)?;
        initialize_data(&after, &account, &new, &password, &["--no-data-checksums"]).await?;
        let pass = directory.join("pgpass");
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&pass).doing(|| "create pgpass".into())?;
        writeln!(file, "*:*:*:postgres:{}", self.password).doing(|| "write pgpass".into())?;
        account.own(&pass)?;
        let variable = format!("PGPASSFILE={}", pass.display());
        // It writes a script where it runs.
        run_within(
            DEADLINE,
            account.run(argv![
                "env",
                "-C",
                directory,
                variable,
                after.join("pg_upgrade"),
                "--old-bindir",
                before,
                "--new-bindir",
                after,
                "--old-datadir",
                self.data,
                "--new-datadir",
                new,
                "--username=postgres",
                "--socketdir",
                directory,
            ]),
        )
        .await?;
        run(account.run(argv!["cp", "-p", self.data.join("private.conf"), self.data.join("pg_hba.conf"), new])).await?;
        fs::rename(&self.data, &old).and_then(|()| fs::rename(&new, &self.data)).doing(|| "put the new data in place".into())?;
        self.version = to;
        let program = after.join("postgres");
        self.process = Process::start(launch(to, &directory, Lifetime::Test, account.run(argv![program, "-D", self.data])))?;
        self.until_ready().await
    }
}
