//! The account that a PostgreSQL server runs as. It refuses to run as root, so root hands it to `nobody`; anyone else runs it himself.
//!
//! The cache and the clone of a root user often lie below a home directory that nobody else may enter. Instead of copying programs
//! and data to somewhere public, the server keeps the one capability to search directories.
//! Must not change who owns anything outside the test's own directories.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Result;
use super::error::Doing;

/// Who runs a server.
#[derive(Clone, Debug)]
pub(super) enum Account {
    /// The user of this process.
    Own,
    /// An unprivileged user that this process, being root, hands over to.
    Other { uid: u32, gid: u32, capability: Option<&'static str> },
}

impl Account {
    /// The account for servers that refuse to run as root.
    ///
    /// # Errors
    /// When `/proc` or `/etc/passwd` cannot be read.
    pub(super) fn unprivileged() -> Result<Self> {
        if user_id()? != 0 {
            return Ok(Self::Own);
        }
        let passwd = fs::read_to_string("/etc/passwd").doing(|| "read /etc/passwd".into())?;
        let nobody = passwd.lines().find_map(|line| line.strip_prefix("nobody:"));
        let ids: Vec<u32> = nobody.into_iter().flat_map(|rest| rest.split(':').skip(1).take(2)).filter_map(|id| id.parse().ok()).collect();
        let (uid, gid) = if let [uid, gid] = ids[..] { (uid, gid) } else { (65534, 65534) };
        Ok(Self::Other { uid, gid, capability: search_capability()? })
    }

    /// `argv` as this account.
    pub(super) fn run(&self, argv: Vec<OsString>) -> Vec<OsString> {
        let Self::Other { uid, gid, capability } = self else { return argv };
        let keep = capability.map_or_else(|| "-all".to_owned(), |name| format!("-all,+{name}"));
        let ids = [format!("--reuid={uid}"), format!("--regid={gid}")];
        // The secure bit makes access(2), by which PostgreSQL checks its programs, count capabilities as open(2) does.
        let setpriv = ["setpriv", "--clear-groups", "--securebits=+no_setuid_fixup"].map(str::to_owned).into_iter().chain(ids);
        let capabilities = ["inh-caps", "ambient-caps", "bounding-set"].map(|set| format!("--{set}={keep}"));
        setpriv.chain(capabilities).map(OsString::from).chain(argv).collect()
    }

    /// Makes this account the owner of `path`, so that it can create its own files there.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(super) fn own(&self, path: &Path) -> Result<()> {
        let Self::Other { uid, gid, .. } = self else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(*uid), Some(*gid)).doing(|| format!("hand over {}", path.display()))
    }
}

/// The user id of this process.
///
/// # Errors
/// When `/proc` is not mounted.
pub(super) fn user_id() -> Result<u32> {
    Ok(fs::metadata("/proc/self").doing(|| "read /proc/self".into())?.uid())
}

/// The least capability that this root has to enter a directory which is closed to others: containers often lack the first one.
fn search_capability() -> Result<Option<&'static str>> {
    let status = fs::read_to_string("/proc/self/status").doing(|| "read /proc/self/status".into())?;
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let bounding = bounding.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    let has = |number: u32| bounding >> number & 1 == 1;
    Ok([("dac_read_search", 2), ("dac_override", 1)].into_iter().find(|(_, number)| has(*number)).map(|(name, _)| name))
}
