//! Passwords on their way to a server: as SCRAM verifiers, or plain for servers that take nothing else.
//!
//! Must not send a plain password over a session that is not encrypted, and must keep it out of the server's log and statistics as far as the admin may. What is
//! left is in docs/changing/adr/0026-plain-passwords-for-servers-that-refuse-verifiers.md.

use domain::server::PasswordForm;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgConnection;

use super::session_guard::SessionGuard;
use super::{Error, Result, send};
use crate::scram;

/// A password as it is written into a statement.
#[derive(Debug)]
pub struct SentPassword {
    text: SecretString,
    form: PasswordForm,
}

impl SentPassword {
    /// The password in this form; a verifier has a new random salt.
    #[must_use]
    pub fn new(password: &SecretString, form: PasswordForm) -> Self {
        let text = match form {
            PasswordForm::Verifier => scram::verifier(password),
            PasswordForm::Plain => password.clone(),
        };
        Self { text, form }
    }

    /// Its form.
    #[must_use]
    pub fn form(&self) -> PasswordForm {
        self.form
    }

    pub(super) fn text(&self) -> &str {
        self.text.expose_secret()
    }

    /// Call it in the transaction that sends the password, in a message before: makes sure that the session is encrypted, and turns off for this transaction
    /// whatever would keep a plain password. A verifier needs none of it.
    ///
    /// # Errors
    /// [`Error::Unencrypted`] for a plain password.
    pub(super) async fn protect(&self, conn: &mut SessionGuard) -> Result<()> {
        match self.form {
            PasswordForm::Verifier => Ok(()),
            PasswordForm::Plain if !conn.is_encrypted() => Err(Error::Unencrypted),
            PasswordForm::Plain => keep_nothing(conn).await,
        }
    }

    /// What a failure of the statement, or of its commit, says about the password of `role`.
    pub(super) async fn refusal(&self, conn: &mut PgConnection, error: Error, role: &str) -> Error {
        match error.sqlstate() {
            Some(sqlstate) if REFUSALS.contains(&sqlstate.as_str()) => {
                // The error comes before the transaction's locks are released, the next answer after. That may be an error, too.
                let _ = send::send(conn, "SELECT 1".to_owned(), "waiting for the end of a transaction").await;
                Error::PasswordRefused { role: role.to_owned(), sqlstate, form: self.form }
            }
            Some(_) | None => error,
        }
    }
}

/// How servers refuse a password, in a statement that hardly fails in this way for another reason: credcheck's 28000, a feature that is not supported, and the
/// code of PostgreSQL's own `passwordcheck`. Neon and Lakebase send `XX000`; a collision of two changes does so too, so that one counts when it comes twice.
const REFUSALS: [&str; 4] = ["28000", "0A000", "22023", AMBIGUOUS];
const AMBIGUOUS: &str = "XX000";

/// Makes the attempt, and once more if the password was refused in a way that may also be a collision.
pub(super) async fn beyond_a_collision<T, F: Future<Output = Result<T>>>(attempt: impl Fn() -> F) -> Result<T> {
    match Box::pin(attempt()).await {
        Err(Error::PasswordRefused { sqlstate, .. }) if sqlstate == AMBIGUOUS => Box::pin(attempt()).await,
        outcome => outcome,
    }
}

/// Until the transaction ends: the statement is in no log, statistics or list of sessions, and the server stores a verifier like ours. Only what the admin may set
/// is set; a superuser may set everything. `log_statement` and `track_activities` are read when a message arrives, so this is a message of its own.
async fn keep_nothing(conn: &mut PgConnection) -> Result<()> {
    const SETTINGS: &str = "SELECT set_config(name, value, true) FROM (VALUES
            ('password_encryption', 'scram-sha-256'), ('scram_iterations', '4096'),
            ('log_statement', 'none'), ('log_min_error_statement', 'panic'), ('log_min_duration_statement', '-1'),
            ('log_min_duration_sample', '-1'), ('track_activities', 'off'),
            ('debug_print_parse', 'off'), ('debug_print_rewritten', 'off'), ('debug_print_plan', 'off'),
            ('pg_stat_statements.track', 'none'), ('pg_stat_statements.track_utility', 'off'), ('pgaudit.log', 'none')) AS quiet (name, value)
        WHERE EXISTS (SELECT FROM pg_settings known WHERE known.name = quiet.name
            AND (known.context = 'user' OR has_parameter_privilege(known.name, 'SET')))";
    send::send(conn, SETTINGS.to_owned(), "keeping a password out of the server's log").await.map(drop)
}
