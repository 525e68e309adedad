//! Ending sessions, and waiting until they are gone: taking rights away does not end what is already connected.
//!
//! Must not be used before new sessions are kept out. Takes rights over other roles for one transaction at most.

use std::time::{Duration, Instant};

use postgres::quote::Literal;
use sqlx::postgres::PgConnection;

use super::sql::block;
use super::{Error, MIGRATOR, Result, send};

/// Which sessions end.
#[derive(Clone, Copy, Debug)]
pub(super) enum SessionScope<'a> {
    /// Those of this login in this database.
    Login { name: &'a str, database: &'a str },
    /// All in this database; `login` is the school's, and the admin may give itself the right to end its sessions.
    Database { name: &'a str, login: Option<&'a str> },
}

/// A backend ends at its next check for interrupts, which may be after a disk write.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

/// Ends sessions until none is left.
///
/// # Errors
/// [`Error::SessionsRemain`] after ten seconds; class `Denied` when the admin may not end a session.
pub(super) async fn end(conn: &mut PgConnection, scope: SessionScope<'_>) -> Result<()> {
    let (since, mut quiet) = (Instant::now(), 0);
    loop {
        let doing = "ending sessions";
        let count = send::outcome(conn, terminate(scope), doing).await?;
        match count.parse::<i64>() {
            // Twice in a row, because a backend that was let in just before becomes visible a moment later.
            Ok(0) if quiet == 1 => return Ok(()),
            Ok(0) => quiet += 1,
            Ok(count) if since.elapsed() > PATIENCE => return Err(Error::SessionsRemain { count }),
            Ok(_) => quiet = 0,
            Err(_) => return Err(Error::UnexpectedAnswer { doing }),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Terminates sessions; the outcome is how many there were. An admin that is neither superuser nor `pg_signal_backend` must be a member of the role that a
/// session belongs to, so it becomes one, for this transaction and only of roles that are ours.
fn terminate(scope: SessionScope<'_>) -> String {
    let (condition, login) = match scope {
        SessionScope::Login { name, database } => (format!("usename = {} AND datname = {}", Literal(name), Literal(database)), Some(name)),
        SessionScope::Database { name, login } => (format!("datname = {}", Literal(name)), login),
    };
    let ours: Vec<String> = login.into_iter().chain([MIGRATOR]).map(|role| Literal(role).to_string()).collect();
    let sessions = format!("FROM pg_stat_activity WHERE {condition} AND pid <> pg_backend_pid() AND usesysid IS NOT NULL");
    block(&format!(
        "SELECT count(*) INTO the_text {sessions}; \
         IF the_text <> '0' THEN \
           FOR the_row IN SELECT rolname FROM pg_roles WHERE rolname IN ({ours}) AND NOT pg_has_role('pg_signal_backend', 'USAGE') \
               AND NOT pg_has_role(oid, 'USAGE') AND oid IN (SELECT usesysid {sessions}) LOOP \
             EXECUTE format('GRANT %I TO CURRENT_USER', the_row.rolname) \
               || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT TRUE' ELSE '' END; \
             PERFORM pg_terminate_backend(pid) {sessions} AND usename = the_row.rolname; \
             EXECUTE format('REVOKE %I FROM CURRENT_USER', the_row.rolname); \
           END LOOP; \
           PERFORM pg_terminate_backend(pid) {sessions} AND (usename NOT IN ({ours}) OR pg_has_role('pg_signal_backend', 'USAGE') OR pg_has_role(usesysid, 'USAGE')); \
         END IF; \
         PERFORM set_config('dailycare.outcome', the_text, true); RETURN;",
        ours = ours.join(", "),
    ))
}
