//! The SQL of a school's accounts, which are rows of the master database.
//!
//! Every statement names the tenant. The database itself makes sure that no account becomes the platform's or another school's. Every write commits with its
//! audit record, or not at all. Must not know HTTP or permissions.

use domain::names::TenantId;
use postgres::error::Doing as _;
use registry::password;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{FromRow, Postgres, Row as _, Transaction};
use tenancy::audit::{Audit, Record};
use uuid::Uuid;

use super::dto::{NewUser, SchoolRole, User, UserChange, UserFilter};
use crate::error::{Code, Error, Result, Text};
use crate::identity::{Role, UserId, begin, commit, unavailable, within};
use crate::resource::precondition::IfMatch;

/// An account and its temporary password, which is shown this once.
pub struct Temporary {
    /// The account.
    pub user: User,
    /// To be typed once and then replaced.
    pub password: SecretString,
}

/// The last account of a page, in the order of lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// Full name of the person.
    pub name: String,
    /// Id of the account (UUID).
    pub id: Uuid,
}

const MOST: i64 = 200;

impl FromRow<'_, PgRow> for User {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let role: String = row.try_get("role")?;
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            email: row.try_get("email")?,
            phone_number: row.try_get("phone_number")?,
            role: Role::parse(&role).ok_or_else(|| sqlx::Error::Decode("an unknown role".into()))?,
            is_active: row.try_get("is_active")?,
            must_change_password: row.try_get("must_change_password")?,
            last_login_at: row.try_get("last_login_at")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    }
}

macro_rules! user {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " id, name, email, phone_number, role, is_active, must_change_password, last_login_at, created_at, updated_at ",
            $after
        )
    };
}
pub(super) use user;

/// The school's accounts that a filter lets through, by name, at most `limit` (1 to 200), and where the next page begins.
///
/// # Errors
/// When the registry does not answer.
pub async fn list(
    pool: &PgPool,
    tenant: TenantId,
    filter: &UserFilter,
    after: Option<&After>,
    limit: i64,
) -> Result<(Vec<User>, Option<After>)> {
    let doing = "listing a school's accounts";
    let limit = limit.clamp(1, MOST);
    // A cursor may hold only the beginning of a long name: then the whole is read from the row where the page ended.
    let select = user!(
        "SELECT lower(name) AS sort_name,",
        "FROM registry.users WHERE tenant_id = $1 AND NOT is_deleted AND ($2::text IS NULL OR (lower(name), id) >
             (coalesce((SELECT lower(u.name) FROM registry.users u WHERE u.tenant_id = $1 AND u.id = $3 AND starts_with(lower(u.name), $2)), $2), $3))
           AND ($5::text IS NULL OR to_tsvector('pg_catalog.simple', registry.search_key(name)) @@ registry.search_query($5))
           AND ($6::text IS NULL OR lower(email) = lower($6)) AND ($7::text IS NULL OR role = $7) AND ($8::bool IS NULL OR is_active = $8)
         ORDER BY lower(name), id LIMIT $4"
    );
    let query = sqlx::query(select).bind(tenant.0).bind(after.map(|after| &after.name)).bind(after.map(|after| after.id)).bind(limit + 1);
    let query = query.bind(&filter.name).bind(&filter.email).bind(filter.role.map(SchoolRole::name)).bind(filter.is_active);
    let mut rows = within(async { query.fetch_all(pool).await.doing(doing).map_err(unavailable) }).await?;
    let more = i64::try_from(rows.len()).is_ok_and(|count| count > limit);
    if more {
        rows.pop();
    }
    let bad = |error| unavailable(postgres::Error { doing, source: error });
    let last = rows.last().filter(|_| more).map(|row| Ok(After { name: row.try_get("sort_name")?, id: row.try_get("id")? }));
    let next = last.transpose().map_err(bad)?;
    let users = rows.iter().map(User::from_row).collect::<Result<_, _>>().map_err(bad)?;
    Ok((users, next))
}

/// One account of the school.
///
/// # Errors
/// [`Code::NotFound`], which another school's are too.
pub async fn get(pool: &PgPool, tenant: TenantId, id: UserId) -> Result<User> {
    let select = user!("SELECT", "FROM registry.users WHERE tenant_id = $1 AND id = $2 AND NOT is_deleted");
    let query = sqlx::query_as(select).bind(tenant.0).bind(id.0);
    let found = within(async { query.fetch_optional(pool).await.doing("reading an account").map_err(unavailable) }).await?;
    found.ok_or_else(|| Code::NotFound.into())
}

/// Makes an account with a temporary password.
///
/// # Errors
/// [`Code::Conflict`] when the address belongs to another account, of whichever school.
pub async fn create(pool: &PgPool, tenant: TenantId, new: &NewUser, record: &Record) -> Result<Temporary> {
    let (password, hash) = temporary().await?;
    let user = within(async {
        let mut transaction = begin(pool).await?;
        let user = insert(&mut transaction, tenant, new, &hash).await?;
        commit_with(transaction, record).await?;
        Ok(user)
    });
    Ok(Temporary { user: user.await?, password })
}

pub(super) async fn insert(conn: &mut PgConnection, tenant: TenantId, new: &NewUser, hash: &str) -> Result<User> {
    let insert = user!(
        "INSERT INTO registry.users (tenant_id, name, email, phone_number, role, password_hash, must_change_password)
         VALUES ($1, $2, $3, $4, $5, $6, true) RETURNING",
        ""
    );
    let query = sqlx::query_as(insert).bind(tenant.0).bind(new.name.trim()).bind(new.email.trim()).bind(&new.phone_number);
    query.bind(new.role.name()).bind(hash).fetch_one(conn).await.doing("making an account").map_err(refusal)
}

/// Changes an account. What it may not do any more it may not do within moments: role and activity end its access tokens.
///
/// # Errors
/// [`Code::NotFound`]; [`Code::PreconditionFailed`] for another version than the expected one; [`Code::Conflict`] when the address is another's, or nobody
/// would be left to run the school.
pub async fn change(pool: &PgPool, tenant: TenantId, id: UserId, if_match: &IfMatch, change: &UserChange, record: &Record) -> Result<User> {
    within(async {
        let mut transaction = begin(pool).await?;
        if change.role.is_some_and(|role| role != SchoolRole::SchoolAdmin) || change.is_active == Some(false) {
            leave_an_administrator(&mut transaction, tenant, id).await?;
        }
        lock_version(&mut transaction, tenant, id, if_match).await?;
        let update = user!(
            "UPDATE registry.users SET name = coalesce($3, name), email = coalesce($4, email),
                phone_number = CASE WHEN $5 THEN $6 ELSE phone_number END, role = coalesce($7, role), is_active = coalesce($8, is_active)
             WHERE tenant_id = $1 AND id = $2 AND NOT is_deleted RETURNING",
            ""
        );
        let query = sqlx::query_as(update).bind(tenant.0).bind(id.0).bind(change.name.as_deref().map(str::trim));
        let query = query.bind(change.email.as_deref().map(str::trim)).bind(change.phone_number.is_some());
        let query = query.bind(change.phone_number.clone().flatten()).bind(change.role.map(SchoolRole::name)).bind(change.is_active);
        let changed: Option<User> = query.fetch_optional(&mut *transaction).await.doing("changing an account").map_err(refusal)?;
        let changed = changed.ok_or(Code::NotFound)?;
        commit_with(transaction, record).await?;
        Ok(changed)
    })
    .await
}

/// Removes an account: it cannot log in, its sessions end, its address is free. The row stays, for what names it, without address, telephone and
/// password. Staff keep their name, which the school's audit must be able to tell; a guardian's acts concern its own children alone, and its name goes.
///
/// # Errors
/// [`Code::NotFound`]; [`Code::PreconditionFailed`] for another version than the expected one; [`Code::Conflict`] when nobody would be left to run the
/// school.
pub async fn remove(pool: &PgPool, tenant: TenantId, id: UserId, if_match: &IfMatch, record: &Record) -> Result<()> {
    within(async {
        let mut transaction = begin(pool).await?;
        leave_an_administrator(&mut transaction, tenant, id).await?;
        lock_version(&mut transaction, tenant, id, if_match).await?;
        let erase = "
            SELECT registry.erase_accounts(ARRAY(SELECT id FROM registry.users WHERE tenant_id = $1 AND id = $2 AND NOT is_deleted))";
        let query = sqlx::query_scalar(erase).bind(tenant.0).bind(id.0);
        let removed: i64 = query.fetch_one(&mut *transaction).await.doing("removing an account").map_err(unavailable)?;
        if removed != 1 {
            return Err(Code::NotFound.into());
        }
        commit_with(transaction, record).await
    })
    .await
}

/// Gives an account a temporary password, unlocks it and ends its sessions.
///
/// # Errors
/// [`Code::NotFound`].
pub async fn reset_password(pool: &PgPool, tenant: TenantId, id: UserId, record: &Record) -> Result<Temporary> {
    let (password, hash) = temporary().await?;
    let update = user!(
        "UPDATE registry.users SET password_hash = $3, must_change_password = true, failed_logins = 0, locked_until = NULL
         WHERE tenant_id = $1 AND id = $2 AND NOT is_deleted RETURNING",
        ""
    );
    let query = sqlx::query_as(update).bind(tenant.0).bind(id.0).bind(hash);
    let user = within(async {
        let mut transaction = begin(pool).await?;
        let user: Option<User> = query.fetch_optional(&mut *transaction).await.doing("resetting a password").map_err(unavailable)?;
        let user = user.ok_or(Code::NotFound)?;
        commit_with(transaction, record).await?;
        Ok(user)
    });
    Ok(Temporary { user: user.await?, password })
}

/// The write and its record in the platform's audit, both or neither.
pub(super) async fn commit_with(mut transaction: Transaction<'static, Postgres>, record: &Record) -> Result<()> {
    Audit::write_platform(&mut transaction, record).await.map_err(unavailable)?;
    commit(transaction).await
}

/// Locks the account until the transaction ends, if it is in the version that the caller has read.
async fn lock_version(conn: &mut PgConnection, tenant: TenantId, id: UserId, if_match: &IfMatch) -> Result<()> {
    let select = user!("SELECT", "FROM registry.users WHERE tenant_id = $1 AND id = $2 AND NOT is_deleted FOR UPDATE");
    let query = sqlx::query_as(select).bind(tenant.0).bind(id.0);
    let user: Option<User> = query.fetch_optional(conn).await.doing("locking an account").map_err(unavailable)?;
    if_match.check(user.ok_or(Code::NotFound)?.etag().0)
}

/// Locks the school's administrators: of two who remove each other at once, one stays.
async fn leave_an_administrator(conn: &mut PgConnection, tenant: TenantId, id: UserId) -> Result<()> {
    let select = "
        SELECT id FROM registry.users WHERE tenant_id = $1 AND role = 'SchoolAdmin' AND is_active AND NOT is_deleted ORDER BY id FOR UPDATE";
    let query = sqlx::query_scalar(select).bind(tenant.0);
    let administrators: Vec<Uuid> = query.fetch_all(conn).await.doing("locking a school's administrators").map_err(unavailable)?;
    if administrators == [id.0] { Err(Code::Conflict.into()) } else { Ok(()) }
}

pub(super) async fn temporary() -> Result<(SecretString, String)> {
    let failed = |error: password::Error| Error::new(Code::Internal).because(error);
    let password = password::generate_temporary_password().map_err(failed)?;
    let hash = password::hash_argon2id(&password).await.map_err(failed)?;
    Ok((password, hash))
}

/// The e-mail address is the only field that another account can have already.
fn refusal(error: postgres::Error) -> Error {
    if error.is("23514") {
        // The database knows more white space than the patterns of the document.
        return error.into();
    }
    if !error.is("23505") {
        return unavailable(error);
    }
    let message = Text::new("já pertence a outra conta", "already belongs to another account");
    Error::conflict("email", "taken", message).because(error)
}
