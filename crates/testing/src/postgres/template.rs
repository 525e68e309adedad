//! Data directories prepared once per machine, so that a fresh server costs a copy: one for each version and machine user instead of an `initdb`, and
//! one for each recipe of a test kit, such as a migrated master database, instead of the same statements in every test.
//!
//! All copies share the superuser's password, but each has a system identifier of its own. The password was drawn at random on this machine and lies beside
//! the template, readable by its owner only; who can read it can read the servers' files too. Must not change a template that stands: another run may be
//! copying it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Version;
use crate::account::Account;
use crate::command::{argv, run};
use crate::error::Doing;
use crate::random::random_token;
use crate::{Result, programs};

/// Grows when the way in which a template is made changes.
const RECIPE: u32 = 1;

/// A recipe's directories that nobody has used for this long are removed when another is made, which each build of a test program does.
const UNUSED: Duration = Duration::from_hours(2);
/// In a recipe's directory: what it returned when it was followed.
const NOTES: &str = "notes";

/// Fills `directory/data` with a copy of `template`, or of the empty one in `cache`, unless it has data already. Returns the superuser's password.
///
/// # Errors
/// When the programs are not installed or the template cannot be made or copied.
pub(super) async fn instantiate(
    version: Version,
    account: &Account,
    cache: &Path,
    template: Option<&Path>,
    directory: &Path,
) -> Result<String> {
    let (data, password) = (directory.join("data"), directory.join("password"));
    if !data.join("PG_VERSION").exists() {
        let template = match template {
            Some(template) => template.to_owned(),
            None => empty(version, account, cache).await?,
        };
        account.own(directory)?;
        // Moved into place when complete: an interrupted copy must not pass for data.
        let copy = directory.join("data.copy");
        run(argv!["rm", "-rf", copy]).await?;
        // Half of a fresh server is a file of the write-ahead log with hardly anything in it.
        run(account.run(argv!["cp", "-R", "-p", "--sparse=always", template.join("data"), copy])).await?;
        run(argv!["install", "-m", "0600", template.join("password"), password]).await?;
        super::identity::renew(&copy)?;
        fs::rename(&copy, &data).doing(|| format!("create {}", data.display()))?;
    }
    fs::read_to_string(&password).doing(|| format!("read {}", password.display()))
}

/// The directory of a recipe of this build of this program, and its notes. Where it is missing, `prepare` fills the `data` of the directory that it is
/// given, leaves no server running there, and returns the notes.
///
/// # Errors
/// When it cannot be made or read.
pub(super) async fn prepared(
    version: Version,
    cache: &Path,
    name: &str,
    prepare: impl AsyncFnOnce(&Path) -> Result<String>,
) -> Result<(PathBuf, String)> {
    let family = format!("prepared-{name}-{}-", exact(version).await?);
    let target = cache.join(format!("{family}{}", build()?));
    make_once(cache, &target, async |making| {
        forget_unused(cache, &family);
        fs::create_dir(making).doing(|| format!("create {}", making.display()))?;
        let notes = prepare(making).await?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(making.join(NOTES)).doing(|| "create notes".into())?;
        file.write_all(notes.as_bytes()).doing(|| "write notes".into())
    })
    .await?;
    let notes = target.join(NOTES);
    // Says that it is in use.
    let touched = File::options().append(true).open(&notes).and_then(|file| file.set_modified(SystemTime::now()));
    touched.doing(|| format!("touch {}", notes.display()))?;
    let text = fs::read_to_string(&notes).doing(|| format!("read {}", notes.display()))?;
    Ok((target, text))
}

/// The template without anything in it, of the version that is installed now.
async fn empty(version: Version, account: &Account, cache: &Path) -> Result<PathBuf> {
    let bin = programs::postgres_bin(version.name())?;
    let user = if matches!(account, Account::Own) { "own" } else { "other" };
    let target = cache.join(format!("template-{}-{user}-{RECIPE}", exact(version).await?));
    make_once(cache, &target, async |making| initialize(&bin, account, making).await).await?;
    Ok(target)
}

/// What tells this build of this program from others: any change of the product's code may change what it prepares.
fn build() -> Result<String> {
    let program = std::env::current_exe().and_then(fs::metadata).doing(|| "read this program's file".into())?;
    let age = program.modified().doing(|| "read this program's age".into())?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(format!("{:x}-{:x}", age.as_nanos(), program.len()))
}

/// The installed server's version, such as `18.6`.
async fn exact(version: Version) -> Result<String> {
    let text = run(argv![programs::postgres_bin(version.name())?.join("postgres"), "--version"]).await?;
    Ok(text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit())).unwrap_or_default().to_owned())
}

/// Makes `target` unless it is there: `make` fills another directory, which is moved into place when complete.
async fn make_once(cache: &Path, target: &Path, make: impl AsyncFnOnce(&Path) -> Result<()>) -> Result<()> {
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    fs::create_dir_all(cache).doing(|| format!("create {}", cache.display()))?;
    let lock_path = cache.join(format!(".lock-{name}"));
    let lock = File::create(&lock_path).doing(|| format!("create {}", lock_path.display()))?;
    // Another test or process may be making it; that takes seconds.
    let locking = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
    let _held = locking.await.map_err(std::io::Error::other).flatten().doing(|| format!("lock {}", lock_path.display()))?;
    if !target.exists() {
        let making = cache.join(format!(".making-{name}"));
        run(argv!["rm", "-rf", making]).await?;
        make(&making).await?;
        fs::rename(&making, target).doing(|| format!("create {}", target.display()))?;
    }
    Ok(())
}

/// Removes the directories of a recipe that nobody has used for long. Only disk space is at stake, so a failure does not matter.
fn forget_unused(cache: &Path, family: &str) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let used = fs::metadata(entry.path().join(NOTES)).and_then(|notes| notes.modified());
        let unused = used.is_ok_and(|used| used.elapsed().is_ok_and(|age| age > UNUSED));
        if unused && entry.file_name().to_string_lossy().starts_with(family) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

async fn initialize(bin: &Path, account: &Account, directory: &Path) -> Result<()> {
    DirBuilder::new().mode(0o700).create(directory).doing(|| format!("create {}", directory.display()))?;
    account.own(directory)?;
    let (data, password) = (directory.join("data"), directory.join("password"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&password).doing(|| "create password".into())?;
    file.write_all(random_token()?.as_bytes()).doing(|| "write password".into())?;
    account.own(&password)?;
    initialize_data(bin, account, &data, &password, &[]).await
}

/// An `initdb` whose configuration includes the settings of each start.
pub(super) async fn initialize_data(bin: &Path, account: &Account, data: &Path, password: &Path, more: &[&str]) -> Result<()> {
    let mut command = argv![
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
    ];
    command.extend(more.iter().map(OsString::from));
    run(account.run(command)).await?;
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
            instantiate(Version::V18, &account, &machine.path().join("cache"), None, directory).await.unwrap()
        });
        let passwords = join_all(starts).await;
        assert!(passwords.iter().all(|password| password.len() == 32 && *password == passwords[0]));
        assert!(directories.iter().all(|directory| directory.join("data/PG_VERSION").exists()));
    }
}
