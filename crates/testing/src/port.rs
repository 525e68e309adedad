//! Loopback ports that stay ours. Asking the kernel for a free port and letting go of it again invites another test to take it
//! before the server binds, or while the server is down for a moment; a lock file per port keeps it reserved for its holder.
//!
//! Must not bind the port itself.

use std::env;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use super::account::user_id;
use super::error::Doing;
use super::{Error, Result};

/// Below the range from which kernels take the ports of outgoing connections, which nobody reserves.
const RANGE: std::ops::Range<u16> = 16_000..30_000;
const TRIES: u32 = 200;

/// A port on 127.0.0.1 that nobody else gets from here until this is dropped.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    /// Locked; the kernel lets go when this process ends, however it does. `None` for a port that is reserved by being in use.
    _lock: Option<File>,
}

impl Port {
    /// Any free port.
    ///
    /// # Errors
    /// [`Error::NoPort`] when none was found.
    pub(super) fn reserve() -> Result<Self> {
        for attempt in 0..TRIES {
            let random = RandomState::new().hash_one(attempt) % u64::from(RANGE.end - RANGE.start);
            let number = RANGE.start + u16::try_from(random).unwrap_or_default();
            if let Some(port) = Self::reserve_number(number)? {
                return Ok(port);
            }
        }
        Err(Error::NoPort { tried: TRIES })
    }

    /// This port, or `None` when somebody has it.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub(super) fn reserve_number(number: u16) -> Result<Option<Self>> {
        let directory = lock_directory()?;
        fs::create_dir_all(&directory).doing(|| format!("create {}", directory.display()))?;
        let path = directory.join(number.to_string());
        let lock = File::create(&path).doing(|| format!("create {}", path.display()))?;
        let ours = lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
        Ok(ours.then_some(Self { number, _lock: Some(lock) }))
    }

    /// `preferred` when it is free, else any.
    ///
    /// # Errors
    /// As [`Port::reserve`].
    pub(super) fn prefer(preferred: Option<u16>) -> Result<Self> {
        match preferred.map(Self::reserve_number).transpose()?.flatten() {
            Some(port) => Ok(port),
            None => Self::reserve(),
        }
    }

    /// The port that a running server of ours listens on.
    pub(super) fn in_use(number: u16) -> Self {
        Self { number, _lock: None }
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }
}

fn lock_directory() -> Result<PathBuf> {
    Ok(env::temp_dir().join(format!("dailycare-ports-{}", user_id()?)))
}

#[cfg(test)]
mod tests {
    use super::Port;

    #[test]
    fn a_reserved_port_is_given_to_nobody_else_until_it_is_let_go() {
        let port = Port::reserve().unwrap();
        let number = port.number();
        assert!(Port::reserve_number(number).unwrap().is_none());
        drop(port);
        assert!(Port::reserve_number(number).unwrap().is_some());
    }
}
