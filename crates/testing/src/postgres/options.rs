//! What can be chosen about a private PostgreSQL server, and the settings file that follows from it.
//!
//! Must not write files.

use std::path::PathBuf;

use crate::Lifetime;

/// The versions that are tested: the oldest supported one, the newest, and one that is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// PostgreSQL 14, which is refused.
    V14,
    /// PostgreSQL 15: the packaged one where it is installed, else the pinned one.
    V15,
    /// PostgreSQL 18.
    V18,
}

impl Version {
    /// Every supported version.
    pub const ALL: [Self; 2] = [Self::V15, Self::V18];

    /// What `dev/install` calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V14 => "postgresql-14",
            Self::V15 => "postgresql-15",
            Self::V18 => "postgresql-18",
        }
    }
}

/// How a server is started. The default is a test's: gone with the process, not durable, no TLS.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// How long it lives.
    pub lifetime: Lifetime,
    /// Where data and log lie; `None` is a temporary directory that goes with the server. A directory that has data is used as it is.
    pub directory: Option<PathBuf>,
    /// Whether commits survive a power cut. Tests do without, benches and people's data do not.
    pub fsync: bool,
    /// Whether it offers TLS with a certificate for `127.0.0.1` and `localhost`; see [`super::Postgres::ca_path`].
    pub tls: bool,
    /// The setting of that name.
    pub max_connections: u16,
    /// More settings, such as `("log_statement", "all")`. They go before those that this type makes.
    pub settings: Vec<(String, String)>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { lifetime: Lifetime::Test, directory: None, fsync: false, tls: false, max_connections: 100, settings: Vec::new() }
    }
}

impl PostgresOptions {
    /// These options and one more setting.
    #[must_use]
    pub fn with(mut self, setting: &str, value: &str) -> Self {
        self.settings.push((setting.to_owned(), value.to_owned()));
        self
    }

    /// The text of the settings file. The last line for a setting is the one that counts.
    pub(super) fn lines(&self, port: u16) -> String {
        // A socket in a shared directory would be a second way in, and two servers would fight for its name.
        let mut all = vec![
            ("listen_addresses".to_owned(), "127.0.0.1".to_owned()),
            ("port".to_owned(), port.to_string()),
            ("unix_socket_directories".to_owned(), String::new()),
            ("max_connections".to_owned(), self.max_connections.to_string()),
            ("log_line_prefix".to_owned(), "%m [%p] %q%u@%d ".to_owned()),
        ];
        if !self.fsync {
            // Not `synchronous_commit`: a commit must survive the death of the server, if not that of the machine.
            // Nor is there a reason to fill a file of the log with zeros before it is written.
            all.extend(["fsync", "full_page_writes", "wal_init_zero"].map(|name| (name.to_owned(), "off".to_owned())));
        }
        all.extend(self.settings.iter().cloned());
        let lines = all.iter().map(|(name, value)| format!("{name} = '{}'", value.replace('\'', "''")));
        lines.collect::<Vec<_>>().join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::PostgresOptions;

    #[test]
    fn a_given_setting_comes_after_the_default_and_is_quoted() {
        let lines = PostgresOptions::default().with("log_line_prefix", "it's %m").lines(1);
        assert!(lines.ends_with("log_line_prefix = 'it''s %m'\n"), "{lines}");
    }
}
