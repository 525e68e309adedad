//! What can go wrong in a reconcile, whether it observes, executes or reports.
//!
//! Must not classify by text: each layer classifies its own errors. The engine logs each error once.

use domain::condition::Reason;
use domain::failure::Failure;
use domain::retry::Class;
use domain::server::PasswordForm;
use registry::{password, seal};

use crate::crd::convert::{RecordError, SpecError};
use crate::kubernetes;

/// A reconcile that could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object's spec cannot be used.
    #[error("the spec cannot be used")]
    Spec(#[from] SpecError),
    /// The names recorded in the status cannot be trusted.
    #[error("the recorded names cannot be used")]
    Record(#[from] RecordError),
    /// Kubernetes.
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::Error),
    /// The master database.
    #[error(transparent)]
    Registry(#[from] provisioning::master::Error),
    /// A tenant server.
    #[error(transparent)]
    Postgres(#[from] provisioning::server::Error),
    /// Passwords.
    #[error(transparent)]
    Password(#[from] password::Error),
    /// Sealing keys.
    #[error("the sealing keys cannot be used")]
    Seal(#[from] seal::Error),
    /// Somebody else changed what the action rests on; the next observation shows it.
    #[error("{0} changed meanwhile")]
    Overtaken(&'static str),
    /// A Secret of an earlier School of this name exists until Kubernetes has removed it, which it does soon.
    #[error("Secret {0} belongs to a deleted School of this name; Kubernetes has not removed it yet")]
    Leftover(String),
    /// The same action was executed again and again and nothing changed.
    #[error("{0} had no effect")]
    NothingChanged(&'static str),
    /// A reconcile took too long; what it did stays done.
    #[error("the time for one reconcile ran out; the next one continues")]
    TimeRanOut,
    /// This process may no longer lead.
    #[error("the leader Lease is not held")]
    NotLeading,
    /// The planner and the safety case disagree, or an object lacks what every object has.
    #[error("{0}; please report this")]
    Bug(String),
}

/// The result of a reconcile's parts.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The class, which decides the wait.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Spec(error) => error.class(),
            Self::Record(error) => error.class(),
            Self::Kubernetes(error) => error.class(),
            Self::Registry(error) => error.class(),
            // Its own time-out would end it again and again, each time after ten minutes.
            Self::Postgres(provisioning::server::Error::Migration { sqlstate: Some(code), .. }) if code == "57014" => Class::Invalid,
            Self::Postgres(error) => error.class(),
            Self::Password(_) | Self::TimeRanOut | Self::NothingChanged(_) => Class::Transient,
            Self::Seal(error) => error.class(),
            Self::Overtaken(_) | Self::Leftover(_) | Self::NotLeading => Class::Contended,
            Self::Bug(_) => Class::Bug,
        }
    }

    /// A tenant server did not answer, as opposed to having refused.
    #[must_use]
    pub fn is_server_unreachable(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.is_unreachable())
    }

    /// What to report in a status.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let reason = match self {
            Self::Spec(_) | Self::Record(_) => Reason::InvalidSpec,
            Self::Postgres(provisioning::server::Error::Migration { .. } | provisioning::server::Error::Schema(_))
                if !matches!(self.class(), Class::Contended | Class::Transient) =>
            {
                Reason::MigrationFailed
            }
            Self::Postgres(provisioning::server::Error::NotOurs { .. }) => Reason::OwnedByAnother,
            Self::Postgres(provisioning::server::Error::PasswordRefused { .. }) => Reason::PasswordRefused,
            Self::Kubernetes(_)
            | Self::Registry(_)
            | Self::Postgres(_)
            | Self::Password(_)
            | Self::Seal(_)
            | Self::Overtaken(_)
            | Self::Leftover(_)
            | Self::NothingChanged(_)
            | Self::TimeRanOut
            | Self::NotLeading
            | Self::Bug(_) => Reason::ProgressingWithRetry,
        };
        Failure { class: self.class(), reason, message: self.message() }
    }

    /// The chain of causes, without the driver's own texts: those may quote data or change from try to try.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Spec(SpecError { field, source }) => format!("{field}: {source}"),
            Self::Record(RecordError::Garbled { field, source }) => format!("{field}: {source}; restore the status"),
            Self::Record(error @ RecordError::Missing { .. }) => error.to_string(),
            Self::Kubernetes(error) => error.message(),
            Self::Postgres(error @ provisioning::server::Error::NotOurs { .. }) => {
                format!(
                    "{error}; another cluster or program made it, and it is left alone. If this cluster was rebuilt, see docs/running/rebuild.md"
                )
            }
            Self::Postgres(error @ provisioning::server::Error::PasswordRefused { form, sqlstate, .. }) => {
                // This code alone does not say what was refused.
                let doubt = if sqlstate == "XX000" { "if the server's log confirms it, " } else { "" };
                format!("{error}; {doubt}{}", accept_passwords(*form))
            }
            error => error.to_string(),
        }
    }
}

/// What to do about a server that refuses passwords in this form.
fn accept_passwords(form: PasswordForm) -> &'static str {
    match form {
        PasswordForm::Verifier => {
            "set spec.passwords: Plain on its DatabaseServer, which needs TLS, or let the server accept verifiers \
             (credcheck.encrypted_password_allowed)"
        }
        PasswordForm::Plain => {
            "its rules for passwords want others than 43 random letters, digits, hyphens and underscores; exempt the operator's roles from them"
        }
    }
}
