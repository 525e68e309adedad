//! A data directory prepared once per version and machine user, so that a fresh server costs a copy and not an `initdb`.
//!
//! All copies share the superuser's password. It was drawn at random on this machine and lies beside the template, readable by its
//! owner only; who can read it can read the servers' files too. Must not change a template that stands: another run may be copying it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Version;
use crate::account::Account;
use crate::command::{argv, run};
use crate::error::Doing;
use crate::random::random_token;
use crate::{Result, programs};

/// Grows when the way in which a template is made changes.
const RECIPE: u32 = 1;

/// Fills `directory/data` with a copy of the template in `cache` unless it has data already. Returns the superuser's password.
///
/// # Errors
/// When the programs are not installed or the template cannot be made or copied.
pub(super) async fn instantiate(version: Version, account: &Account, cache: &Path, directory: &Path) -> Result<String> {
    let (data, password) = (directory.join("data"), directory.join("password"));
    if !data.join("PG_VERSION").exists() {
        let template = template(version, account, cache).await?;
        account.own(directory)?;
        // Moved into place when complete: an interrupted copy must not pass for data.
        let copy = directory.join("data.copy");
        run(argv!["rm", "-rf", copy]).await?;
        run(account.run(argv!["cp", "-R", "-p", template.join("data"), copy])).await?;
        run(argv!["install", "-m", "0600", template.join("password"), password]).await?;
        fs::rename(&copy, &data).doing(|| format!("create {}", data.display()))?;
    }
    fs::read_to_string(&password).doing(|| format!("read {}", password.display()))
}

/// The template of the version that is installed now, made when it is missing.
async fn template(version: Version, account: &Account, cache: &Path) -> Result<PathBuf> {
    let bin = programs::postgres_bin(version.name())?;
    let exact = run(argv![bin.join("postgres"), "--version"]).await?;
    let exact = exact.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit())).unwrap_or_default();
    let user = if matches!(account, Account::Own) { "own" } else { "other" };
    let name = format!("template-{exact}-{user}-{RECIPE}");
    let target = cache.join(&name);
    fs::create_dir_all(cache).doing(|| format!("create {}", cache.display()))?;
    let lock_path = cache.join(format!(".lock-{name}"));
    let lock = File::create(&lock_path).doing(|| format!("create {}", lock_path.display()))?;
    // Another test or process may be making it; that takes a second or two.
    let locking = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
    let _held = locking.await.map_err(std::io::Error::other).flatten().doing(|| format!("lock {}", lock_path.display()))?;
    if !target.exists() {
        let making = cache.join(format!(".making-{name}"));
        run(argv!["rm", "-rf", making]).await?;
        initialize(&bin, account, &making).await?;
        fs::rename(&making, &target).doing(|| format!("create {}", target.display()))?;
    }
    Ok(target)
}

async fn initialize(bin: &Path, account: &Account, directory: &Path) -> Result<()> {
    DirBuilder::new().mode(0o700).create(directory).doing(|| format!("create {}", directory.display()))?;
    account.own(directory)?;
    let (data, password) = (directory.join("data"), directory.join("password"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&password).doing(|| "create password".into())?;
    file.write_all(random_token()?.as_bytes()).doing(|| "write password".into())?;
    account.own(&password)?;
    run(account.run(argv![
        bin.join("initdb"),
        "--pgdata",
        data,
        "--username=postgres",
        "--pwfile",
        password,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-instructions",
    ]))
    .await?;
    let configuration = data.join("postgresql.conf");
    let mut file = OpenOptions::new().append(true).open(&configuration).doing(|| "open postgresql.conf".into())?;
    file.write_all(b"include_if_exists = 'private.conf'\n").doing(|| "write postgresql.conf".into())
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    #[tokio::test]
    async fn servers_that_start_at_once_on_a_fresh_machine_share_one_template() {
        let machine = tempfile::tempdir().unwrap();
        let account = Account::unprivileged().unwrap();
        let directories = ["ash", "elm", "fir", "oak"].map(|name| machine.path().join(name));
        let starts = directories.iter().map(async |directory| {
            fs::create_dir(directory).unwrap();
            instantiate(Version::V18, &account, &machine.path().join("cache"), directory).await.unwrap()
        });
        let passwords = join_all(starts).await;
        assert!(passwords.iter().all(|password| password.len() == 32 && *password == passwords[0]));
        assert!(directories.iter().all(|directory| directory.join("data/PG_VERSION").exists()));
    }
}
