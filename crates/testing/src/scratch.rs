//! A directory of a test's own in the system's temporary directory. It is removed when dropped; what a killed or failed run leaves
//! behind stays readable until the next run sweeps it away.
//!
//! Must not remove the directory of a process that lives.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, thread};

use super::Result;
use super::account::user_id;
use super::error::Doing;
use super::process::{ProcessId, process_id};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory that belongs to this process.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new empty directory whose name begins with `name`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn create(name: &str) -> Result<Self> {
        let base = env::temp_dir().join(format!("dailycare-{}", user_id()?));
        let ProcessId { pid, started } = process_id(std::process::id()).doing(|| "read /proc/self/stat".into())?;
        sweep(&base);
        let path = base.join(format!("{pid}-{started}-{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&path).doing(|| format!("create {}", path.display()))?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !thread::panicking() {
            // What cannot be removed now, the next run's sweep removes.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes the directories of processes that are gone. Another run may be sweeping too, so failures do not matter.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(owner) = owner(&name)
            && !owner.is_alive()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn owner(name: &str) -> Option<ProcessId> {
    let mut parts = name.split('-');
    Some(ProcessId { pid: parts.next()?.parse().ok()?, started: parts.next()?.parse().ok()? })
}
