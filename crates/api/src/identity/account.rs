//! An account as a login sees it, and what a login changes of it.
//!
//! Must not decide from a row that was read without its lock: of a hundred guesses at once, five count and ninety-five find the account locked.

use postgres::error::{Doing as _, Result};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::Role;
use crate::error::{Code, Error};

/// An account, and the clock of the database that it was read by.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) id: Uuid,
    pub(super) tenant: Option<Uuid>,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) role: Role,
    pub(super) password_hash: String,
    pub(super) is_active: bool,
    pub(super) must_change_password: bool,
    pub(super) is_locked: bool,
    /// The school's state; none for platform staff.
    tenant_state: Option<String>,
    /// This account's tokens count from this second on. It is the present time if that is later: a token that is issued now carries it.
    pub(super) issue_at: i64,
}

/// Which account.
#[derive(Clone, Copy)]
pub(super) enum AccountLookup<'a> {
    /// Upper and lower case are the same.
    Email(&'a str),
    Id(Uuid),
}

impl FromRow<'_, PgRow> for Account {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let role: String = row.try_get("role")?;
        Ok(Self {
            id: row.try_get("id")?,
            tenant: row.try_get("tenant_id")?,
            name: row.try_get("name")?,
            email: row.try_get("email")?,
            role: Role::parse(&role).ok_or_else(|| sqlx::Error::Decode("an unknown role".into()))?,
            password_hash: row.try_get("password_hash")?,
            is_active: row.try_get("is_active")?,
            must_change_password: row.try_get("must_change_password")?,
            is_locked: row.try_get("is_locked")?,
            tenant_state: row.try_get("tenant_state")?,
            issue_at: row.try_get("issue_at")?,
        })
    }
}

macro_rules! select_account {
    ($rest:literal) => {
        concat!(
            "SELECT u.id, u.tenant_id, u.name, u.email, u.role, u.password_hash, u.is_active, u.must_change_password,
                    coalesce(u.locked_until > clock_timestamp(), false) AS is_locked, t.state AS tenant_state,
                    floor(extract(epoch FROM greatest(clock_timestamp(), u.sessions_valid_from)))::int8 AS issue_at
             FROM registry.users u LEFT JOIN registry.tenants t ON t.id = u.tenant_id WHERE NOT u.is_deleted AND ",
            $rest
        )
    };
}

impl Account {
    /// Reads an account, without lock.
    pub(super) async fn find(conn: &mut PgConnection, by: AccountLookup<'_>) -> Result<Option<Self>> {
        let query = match by {
            AccountLookup::Email(email) => sqlx::query_as(select_account!("lower(u.email) = lower($1)")).bind(email),
            AccountLookup::Id(id) => sqlx::query_as(select_account!("u.id = $1")).bind(id),
        };
        query.fetch_optional(conn).await.doing("reading an account")
    }

    /// Reads an account and locks its row until the transaction ends. The nil UUID matches no account.
    pub(super) async fn lock(conn: &mut PgConnection, id: Uuid) -> Result<Option<Self>> {
        let query = sqlx::query_as(select_account!("u.id = $1 FOR UPDATE OF u")).bind(id);
        query.fetch_optional(conn).await.doing("locking an account")
    }

    /// Whether the school is open for logins.
    pub(super) fn admitted(&self) -> Result<(), Error> {
        match self.tenant_state.as_deref() {
            Some("active") => Ok(()),
            Some("suspended") => Err(Code::TenantSuspended.into()),
            Some("provisioning" | "moving") => Err(Error::new(Code::TenantUnavailable).after(std::time::Duration::from_secs(5))),
            None if self.tenant.is_none() => Ok(()),
            _ => Err(Code::InvalidTenant.into()),
        }
    }
}

/// Counts a wrong password. From the fifth wrong password on, each doubles the lockout, up to 15 minutes. While the account is locked nothing counts, so that
/// nobody keeps an account locked by more attempts. The nil UUID matches no account, and costs the same statement.
pub(super) async fn failed(conn: &mut PgConnection, id: Uuid) -> Result<()> {
    let update = "
        UPDATE registry.users SET failed_logins = failed_logins + 1,
            locked_until = CASE WHEN failed_logins >= 4
                THEN clock_timestamp() + least(interval '15 minutes', power(2, least(failed_logins - 3, 10)) * interval '1 second') END
        WHERE id = $1 AND (locked_until IS NULL OR locked_until <= clock_timestamp())";
    sqlx::query(update).bind(id).execute(conn).await.doing("counting a failed login").map(|_| ())
}

/// The right password, with its hash in the present form if it was in an older one.
pub(super) async fn succeeded(conn: &mut PgConnection, id: Uuid, rehashed: Option<&str>) -> Result<()> {
    let doing = "recording a login";
    if rehashed.is_some() {
        // The password is the same, so no session ends.
        sqlx::query("SELECT set_config('registry.rehash', 'on', true)").execute(&mut *conn).await.doing(doing)?;
    }
    let update = "
        UPDATE registry.users SET failed_logins = 0, locked_until = NULL, last_login_at = now(), password_hash = coalesce($2, password_hash)
        WHERE id = $1";
    sqlx::query(update).bind(id).bind(rehashed).execute(conn).await.doing(doing).map(|_| ())
}

/// Stores a password that the user chose. Ends every session; returns the time of issue of a token that is issued now.
pub(super) async fn change_password(conn: &mut PgConnection, id: Uuid, hash: &str) -> Result<i64> {
    let update = "
        UPDATE registry.users SET password_hash = $2, must_change_password = false, failed_logins = 0, locked_until = NULL
        WHERE id = $1 RETURNING floor(extract(epoch FROM sessions_valid_from))::int8";
    let row = sqlx::query(update).bind(id).bind(hash).fetch_one(conn).await.doing("changing a password")?;
    row.try_get(0).doing("changing a password")
}
