//! Why a condition is as it is: one closed list, used for conditions, Events and metrics alike.
//!
//! Every reason that is a problem has a page `docs/running/runbook/<Reason>.md`; a test holds that.
//! Must not know when a reason applies: that is decided in the modules `status` of each kind.

closed_list! {
    /// Why a condition stands as it does.
    Reason {
        /// All is as asked.
        Ready,
        /// Closed, as asked.
        Suspended,
        /// Open, as asked.
        NotSuspended,
        /// Being made.
        Provisioning,
        /// Being changed.
        Updating,
        /// Being deleted.
        Terminating,
        /// A migration is due or running.
        Migrating,
        /// The server has no template of the operator's schema yet.
        AwaitingTemplate,
        /// Something failed and is tried again.
        ProgressingWithRetry,
        /// Tried for too long.
        ProgressDeadlineExceeded,
        /// The spec cannot be understood.
        InvalidSpec,
        /// Another tenant holds the code.
        NameConflict,
        /// A database or login of the wanted name is not ours.
        OwnedByAnother,
        /// A Secret of the wanted name is not ours.
        SecretConflict,
        /// The administrator's e-mail address has an account with another school.
        EmailTaken,
        /// A request for another password of the administrator cannot be acted on.
        AdminResetRefused,
        /// The administrator has another temporary password, as asked.
        AdminPasswordReset,
        /// The database of a served school is gone.
        DatabaseMissing,
        /// The registry says this tenant was retained or deleted.
        TenantRetired,
        /// The database's schema is newer than this operator.
        AheadOfOperator,
        /// The database was migrated by files that differ from this operator's.
        SchemaEdited,
        /// A migration failed.
        MigrationFailed,
        /// There is no such `DatabaseServer`, or none at all.
        ServerNotFound,
        /// No server offers the tier.
        NoMatchingServer,
        /// No fitting server accepts the namespace.
        NamespaceNotAllowed,
        /// No fitting server has room.
        NoCapacity,
        /// Every fitting server is cordoned.
        ServerCordoned,
        /// The server is not prepared.
        ServerNotReady,
        /// The server does not answer.
        DatabaseUnreachable,
        /// Another server answers under the address.
        ServerIdentityMismatch,
        /// A server is chosen.
        Assigned,
        /// Not decided yet.
        Pending,
        /// The database stands.
        Created,
        /// The schema is current.
        UpToDate,
        /// The credentials work.
        Issued,
        /// The login's password was changed in PostgreSQL and was set again.
        PasswordRestored,
        /// Requests are served.
        Serving,
        /// The server answers.
        Connected,
        /// The admin login or its password is refused.
        AuthenticationFailed,
        /// TLS cannot be agreed on or the certificate does not verify.
        TlsFailed,
        /// The admin Secret or the CA Secret is missing or lacks a key.
        AdminSecretInvalid,
        /// Another `DatabaseServer` is for the same PostgreSQL server.
        DuplicateServer,
        /// The server lets nobody else connect.
        TooManyConnections,
        /// A connection pooler stands between the operator and the server.
        PoolerInBetween,
        /// PostgreSQL older than 15.
        VersionUnsupported,
        /// The admin login lacks a right.
        InsufficientPrivilege,
        /// The server accepts no writes.
        ServerReadOnly,
        /// The server refuses the passwords that it is given.
        PasswordRefused,
        /// Roles and template are being made.
        Preparing,
        /// New schools are accepted.
        AcceptingSchools,
        /// There is room.
        RoomLeft,
        /// Schools still live on the server.
        InUse,
    }
}

impl Reason {
    /// A person has to look: such a reason has a runbook page.
    #[must_use]
    pub fn is_problem(self) -> bool {
        match self {
            Self::Ready
            | Self::Suspended
            | Self::NotSuspended
            | Self::Provisioning
            | Self::Updating
            | Self::Terminating
            | Self::Migrating
            | Self::AwaitingTemplate
            | Self::Assigned
            | Self::Pending
            | Self::Created
            | Self::UpToDate
            | Self::Issued
            | Self::PasswordRestored
            | Self::AdminPasswordReset
            | Self::Serving
            | Self::Connected
            | Self::Preparing
            | Self::AcceptingSchools
            | Self::RoomLeft => false,
            Self::ProgressingWithRetry
            | Self::ProgressDeadlineExceeded
            | Self::InvalidSpec
            | Self::NameConflict
            | Self::OwnedByAnother
            | Self::SecretConflict
            | Self::EmailTaken
            | Self::AdminResetRefused
            | Self::DatabaseMissing
            | Self::TenantRetired
            | Self::AheadOfOperator
            | Self::SchemaEdited
            | Self::MigrationFailed
            | Self::ServerNotFound
            | Self::NoMatchingServer
            | Self::NamespaceNotAllowed
            | Self::NoCapacity
            | Self::ServerCordoned
            | Self::ServerNotReady
            | Self::DatabaseUnreachable
            | Self::ServerIdentityMismatch
            | Self::AuthenticationFailed
            | Self::TlsFailed
            | Self::AdminSecretInvalid
            | Self::DuplicateServer
            | Self::TooManyConnections
            | Self::PoolerInBetween
            | Self::VersionUnsupported
            | Self::InsufficientPrivilege
            | Self::ServerReadOnly
            | Self::PasswordRefused
            | Self::InUse => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_reason_that_means_trouble_has_a_runbook_page_and_nothing_else_has_one() {
        let runbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/running/runbook");
        let read = |file: &str| std::fs::read_to_string(runbook.join(file)).unwrap();
        let files = std::fs::read_dir(&runbook).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        // Those of alerts are in directories of their own.
        let pages: BTreeSet<_> = files.filter(|file| !["README.md", "api", "operator"].contains(&file.as_str())).collect();
        let problems = Reason::ALL.iter().filter(|reason| reason.is_problem());
        let expected: BTreeSet<_> = problems.map(|reason| format!("{}.md", reason.label())).collect();
        assert_eq!(pages, expected);

        let index = read("README.md");
        for file in &pages {
            let (reason, page) = (file.trim_end_matches(".md"), read(file));
            assert!(page.starts_with(&format!("# {reason}\n")), "{file} has another title");
            for part in ["**Affected.**", "**See**", "**Do**", "**Then, by itself.**", "**Do not**"] {
                assert!(page.contains(&format!("\n{part}")), "{file} lacks {part}");
            }
            assert!(index.contains(&format!("\n| [{reason}]({file}) |")), "README.md does not list {file}");
        }
    }

    #[test]
    fn every_link_from_one_runbook_page_to_another_leads_somewhere() {
        let runbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/running/runbook");
        for runbook in [runbook.join("api"), runbook] {
            let paths = std::fs::read_dir(&runbook).unwrap().map(|entry| entry.unwrap().path());
            for path in paths.filter(|path| path.is_file()) {
                for link in std::fs::read_to_string(&path).unwrap().split("](").skip(1) {
                    let target = link.split([')', '#']).next().unwrap();
                    assert!(runbook.join(target).exists(), "{} links to {target}", path.display());
                }
            }
        }
    }
}
