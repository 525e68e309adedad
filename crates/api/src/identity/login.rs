//! Logging in, renewing, logging out, changing a password: each one transaction, with its audit row.
//!
//! An unknown, inactive or locked account and a wrong password get the same answer and cost the same: one hash and the same statements. The hash costs more or
//! less only for an account that still has one of an older system: see [`password::Checker`]. Must not tell an unknown account from a wrong password.

use std::time::Duration;

use domain::names::TenantId;
use postgres::error::Doing as _;
use registry::password::{self, Verdict};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sqlx::postgres::PgConnection;
use tenancy::audit;
use utoipa::ToSchema;
use uuid::Uuid;

use super::account::{self, Account, AccountLookup};
use super::record::{IMPERSONATE, LOGIN, LOGOUT, PASSWORD, REFRESH_REUSE, Record};
use super::refresh::{self, RefreshToken, Renewal};
use super::{Identity, Origin, Principal, Role, UserId, begin, commit, unavailable};
use crate::error::{Code, Error, Result, Text};

/// Tokens of a session, and its user.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    /// Access token for the `Authorization` header of every request.
    access_token: String,
    /// Type of the access token, always `Bearer`.
    #[schema(examples("Bearer"))]
    token_type: &'static str,
    /// Lifetime of the access token in seconds.
    #[schema(examples(900))]
    expires_in: u64,
    /// Refresh token for `POST /api/v1/auth/refresh`. It can be used once.
    refresh_token: String,
    /// Whether the temporary password must be changed before any other request.
    must_change_password: bool,
    /// User of the session.
    user: Profile,
}

/// User of a session.
#[derive(Serialize, ToSchema)]
pub(super) struct Profile {
    /// Id of the account (UUID).
    id: Uuid,
    /// Full name of the user.
    pub(super) name: String,
    /// E-mail address that the user signs in with.
    pub(super) email: String,
    /// Main role of the account.
    role: Role,
    /// Id of the school (UUID); null for platform staff.
    #[schema(required)]
    tenant_id: Option<Uuid>,
}

impl From<&Account> for Profile {
    fn from(account: &Account) -> Self {
        let Account { id, tenant, name, email, role, .. } = account.clone();
        Self { id, name, email, role, tenant_id: tenant }
    }
}

impl Origin {
    async fn record(&self, conn: &mut PgConnection, action: &'static str, user: Option<(Uuid, Option<Uuid>)>, success: bool) -> Result<()> {
        let (user, tenant) = user.map_or((None, None), |(user, tenant)| (Some(user), tenant));
        let record = Record { action, tenant, user, reason: None, success };
        record.write(conn, self).await.map(drop).map_err(unavailable)
    }
}

pub(super) async fn login(identity: &Identity, email: &str, password: &SecretString, origin: &Origin) -> Result<Session> {
    let found = find(identity, AccountLookup::Email(email)).await?;
    let checked = check(identity, found.as_ref(), password).await?;
    let mut transaction = begin(&identity.pool).await?;
    let Some(account) = confirm(&mut transaction, found, checked.verdict).await? else {
        return refuse(transaction, checked.account, LOGIN, origin).await;
    };
    account::succeeded(&mut transaction, account.id, checked.rehashed.as_deref()).await.map_err(unavailable)?;
    let owner = Some((account.id, account.tenant));
    if let Err(closed) = account.admitted() {
        origin.record(&mut transaction, LOGIN, owner, false).await?;
        commit(transaction).await?;
        return Err(closed);
    }
    let token = new_session(&mut transaction, account.id).await?;
    origin.record(&mut transaction, LOGIN, owner, true).await?;
    commit(transaction).await?;
    session(identity, &account, &token)
}

/// Replaces the present password with one that the user chose. Ends every session and begins a new one.
pub(super) async fn change_password(
    identity: &Identity,
    principal: &Principal,
    current: &SecretString,
    new: &SecretString,
    origin: &Origin,
) -> Result<Session> {
    if principal.role.is_none() || principal.impersonation.is_some() {
        return Err(Code::Forbidden.into());
    }
    if current.expose_secret() == new.expose_secret() {
        let text = Text::new("escolha uma palavra-passe diferente da atual", "must differ from the present password");
        return Err(Error::field("new_password", "repeated", text));
    }
    let found = find(identity, AccountLookup::Id(principal.user.0)).await?;
    let checked = check(identity, found.as_ref(), current).await?;
    let open = found.as_ref().is_some_and(|account| account.is_active && !account.is_locked) && checked.verdict != Verdict::Wrong;
    let hash = if open { Some(identity.passwords.hash(new).await.map_err(busy)?) } else { None };
    let mut transaction = begin(&identity.pool).await?;
    let (Some(mut account), Some(hash)) = (confirm(&mut transaction, found, checked.verdict).await?, hash) else {
        return refuse(transaction, checked.account, PASSWORD, origin).await;
    };
    account.issue_at = account::change_password(&mut transaction, account.id, &hash).await.map_err(unavailable)?.max(account.issue_at);
    account.must_change_password = false;
    let token = new_session(&mut transaction, account.id).await?;
    origin.record(&mut transaction, PASSWORD, Some((account.id, account.tenant)), true).await?;
    commit(transaction).await?;
    session(identity, &account, &token)
}

pub(super) async fn renew(identity: &Identity, text: &str, origin: &Origin) -> Result<Session> {
    let token = RefreshToken::parse(text).ok_or(Code::Unauthenticated)?;
    let mut transaction = begin(&identity.pool).await?;
    let owner = refresh::owner(&mut transaction, &token).await.map_err(unavailable)?.ok_or(Code::Unauthenticated)?;
    let account = Account::lock(&mut transaction, owner).await.map_err(unavailable)?;
    let account = account.filter(|account| account.is_active).ok_or(Code::Unauthenticated)?;
    let next = match refresh::renew(&mut transaction, &token).await.map_err(unavailable)? {
        Renewal::Renewed(next) => next,
        Renewal::Reused => {
            origin.record(&mut transaction, REFRESH_REUSE, Some((account.id, account.tenant)), false).await?;
            commit(transaction).await?;
            return Err(Code::Unauthenticated.into());
        }
        Renewal::Unknown => return Err(Code::Unauthenticated.into()),
    };
    // Not committed: the token is as good as before once the school is open again.
    account.admitted()?;
    commit(transaction).await?;
    session(identity, &account, &next)
}

/// Ends a session. A session that does not exist counts as ended.
pub(super) async fn logout(identity: &Identity, text: &str, origin: &Origin) -> Result<()> {
    let Some(token) = RefreshToken::parse(text) else { return Ok(()) };
    let mut transaction = begin(&identity.pool).await?;
    if !refresh::is_valid(&mut transaction, &token).await.map_err(unavailable)? {
        return Ok(());
    }
    let Some(user) = refresh::end(&mut transaction, token.family).await.map_err(unavailable)? else { return Ok(()) };
    let account = Account::find(&mut transaction, AccountLookup::Id(user)).await.map_err(unavailable)?;
    origin.record(&mut transaction, LOGOUT, Some((user, account.and_then(|account| account.tenant))), true).await?;
    commit(transaction).await
}

/// The user of a token, as the registry has them now; none for another issuer's users, unless they are an account of the school that their token names.
pub(super) async fn profile(identity: &Identity, principal: &Principal) -> Result<Option<Profile>> {
    let found = find(identity, AccountLookup::Id(principal.user.0)).await?;
    let own = |account: &Account| principal.role.is_some() || account.tenant == principal.tenant.map(|tenant| tenant.0);
    Ok(found.filter(own).as_ref().map(Profile::from))
}

/// Whether platform staff may act in a school. Records it; returns the time of issue of a token that is issued now.
pub(super) async fn impersonate(
    identity: &Identity,
    by: UserId,
    tenant: TenantId,
    reason: &str,
    origin: &Origin,
) -> Result<(i64, audit::Record)> {
    let mut transaction = begin(&identity.pool).await?;
    let account = Account::lock(&mut transaction, by.0).await.map_err(unavailable)?;
    let account = account.filter(|account| account.is_active && account.role == Role::PlatformAdmin).ok_or(Code::Forbidden)?;
    let exists = sqlx::query_scalar("SELECT EXISTS (SELECT FROM registry.tenants WHERE id = $1 AND NOT is_deleted)").bind(tenant.0);
    let exists: bool = exists.fetch_one(&mut *transaction).await.doing("looking for a school").map_err(unavailable)?;
    let record = Record { action: IMPERSONATE, tenant: Some(tenant.0), user: Some(by.0), reason: Some(reason), success: exists };
    let record = record.write(&mut transaction, origin).await.map_err(unavailable)?;
    commit(transaction).await?;
    if exists { Ok((account.issue_at, record)) } else { Err(Code::InvalidTenant.into()) }
}

async fn find(identity: &Identity, by: AccountLookup<'_>) -> Result<Option<Account>> {
    let mut conn = identity.pool.acquire().await.doing("connecting to the registry").map_err(unavailable)?;
    Account::find(&mut conn, by).await.map_err(unavailable)
}

/// What a password is to an account that was found, or to none.
struct Checked {
    account: Option<(Uuid, Option<Uuid>)>,
    verdict: Verdict,
    /// The present form of a hash in an older one.
    rehashed: Option<String>,
}

/// Holds no lock and no connection: hashing is slow, and there may be a queue.
async fn check(identity: &Identity, found: Option<&Account>, password: &SecretString) -> Result<Checked> {
    let verdict = identity.passwords.verify(password, found.map(|account| account.password_hash.as_str())).await.map_err(busy)?;
    // A locked account is not rehashed: the extra time would reveal a right guess. Nor is an inactive one.
    let open = found.is_some_and(|account| account.is_active && !account.is_locked);
    let rehashed =
        if open && verdict == Verdict::NeedsRehash { Some(identity.passwords.hash(password).await.map_err(busy)?) } else { None };
    Ok(Checked { account: found.map(|account| (account.id, account.tenant)), verdict, rehashed })
}

/// The account whose password was right, under lock and as it is now; none when it is locked, inactive, gone or has another password by now.
async fn confirm(conn: &mut PgConnection, found: Option<Account>, verdict: Verdict) -> Result<Option<Account>> {
    let id = found.as_ref().map_or(Uuid::nil(), |account| account.id);
    let now = Account::lock(conn, id).await.map_err(unavailable)?;
    let same = |account: &Account| found.is_some_and(|found| found.password_hash == account.password_hash);
    let confirmed = now.filter(|account| verdict != Verdict::Wrong && account.is_active && !account.is_locked && same(account));
    if confirmed.is_none() {
        // A right password is no failed guess; the statement is sent all the same.
        account::failed(conn, if verdict == Verdict::Wrong { id } else { Uuid::nil() }).await.map_err(unavailable)?;
    }
    Ok(confirmed)
}

/// A locked account answers even the right password like this: anything else would say that the account exists, and that the guess was right.
async fn refuse<T>(
    mut transaction: sqlx::Transaction<'static, sqlx::Postgres>,
    owner: Option<(Uuid, Option<Uuid>)>,
    action: &'static str,
    origin: &Origin,
) -> Result<T> {
    origin.record(&mut transaction, action, owner, false).await?;
    commit(transaction).await?;
    Err(Code::InvalidCredentials.into())
}

async fn new_session(conn: &mut PgConnection, user: Uuid) -> Result<RefreshToken> {
    let token = refresh::begin(conn, user).await.map_err(unavailable)?;
    token.ok_or_else(|| Error::new(Code::Internal).because(password::Error::NoRandomness))
}

fn session(identity: &Identity, account: &Account, refresh: &RefreshToken) -> Result<Session> {
    let life = identity.settings.access_life.as_secs();
    let (user, tenant) = (UserId(account.id), account.tenant.map(TenantId));
    let mut claims =
        identity.claims(&identity.settings.audience, user, tenant, account.role, account.issue_at, i64::try_from(life).unwrap_or_default());
    claims.must_change_password = account.must_change_password;
    Ok(Session {
        access_token: identity.sign(&claims)?.expose_secret().to_owned(),
        token_type: "Bearer",
        expires_in: life,
        refresh_token: refresh.text().expose_secret().to_owned(),
        must_change_password: account.must_change_password,
        user: account.into(),
    })
}

fn busy(error: password::Error) -> Error {
    match error {
        password::Error::Busy => Error::new(Code::TooManyRequests).because(error).after(Duration::from_secs(2)),
        password::Error::NoRandomness | password::Error::NotHashed => Error::new(Code::Internal).because(error),
    }
}
