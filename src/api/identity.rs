//! Who is asking: tokens verified, this API's own ones signed, and people logged in.
//!
//! A token is this API's own, or another issuer's whose keys are configured; its `iss` chooses whose keys are tried, its key chooses the algorithm, and nothing in
//! it chooses more. Everything that is wrong with one is told to the log and is 401 to the caller. Must not decide what a user may do: `access` does.

mod account;
mod attempts;
mod external;
mod keys;
mod login;
mod record;
mod refresh;
mod revoked;
mod routes;
mod token;
pub mod users;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgListener, PgPool};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use uuid::Uuid;

use self::attempts::Attempts;
pub use self::external::{Error as ExternalError, External};
use self::external::{Issuer, Unknown};
use self::keys::KeyFile;
pub use self::keys::{Error as KeyError, SigningKeys};
use self::revoked::Revocations;
pub use self::routes::routes;
use self::token::{Claims, Presented, Refusal};
use super::client::ClientAddress;
use super::error::{Code, Error, Result, chain};
use crate::domain::names::TenantId;
use crate::domain::retry::Class;
use crate::registry::password::Checker;
use crate::sql;
use crate::sql::error::Doing as _;

/// An account in the registry, or somebody whom another issuer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub Uuid);

/// The main role of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum Role {
    /// Runs a school.
    SchoolAdmin,
    /// Teaches in one.
    Teacher,
    /// Looks after the children's health.
    HealthStaff,
    /// A child's parent or whoever stands for one.
    Guardian,
    /// Sees and changes nothing.
    ReadOnly,
    /// Runs the platform; of no school.
    PlatformAdmin,
}

impl Role {
    const ALL: [(Self, &'static str); 6] = [
        (Self::SchoolAdmin, "SchoolAdmin"),
        (Self::Teacher, "Teacher"),
        (Self::HealthStaff, "HealthStaff"),
        (Self::Guardian, "Guardian"),
        (Self::ReadOnly, "ReadOnly"),
        (Self::PlatformAdmin, "PlatformAdmin"),
    ];

    /// The role of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(role, known)| (known == name).then_some(role))
    }

    /// Its name, in the registry, in tokens and in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find_map(|(role, name)| (role == self).then_some(name)).unwrap_or_default()
    }
}

/// Platform staff acting in a school.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonation {
    /// Why, in their own words.
    pub reason: String,
    /// Who.
    pub by: UserId,
}

/// Who a verified token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub user: UserId,
    /// Of which school; none exactly for a `PlatformAdmin` who does not act for one.
    pub tenant: Option<TenantId>,
    /// The account's role; none for another issuer's tokens, of whom the school's own tables decide.
    pub role: Option<Role>,
    /// When the token was issued, by its issuer's clock, to the second.
    pub issued_at: DateTime<Utc>,
    /// The token's `jti`, or `-` where another issuer sets none.
    pub token_id: String,
    /// Set when platform staff act in a school.
    pub impersonation: Option<Impersonation>,
    /// Nothing but a change of password is allowed.
    pub must_change_password: bool,
}

/// How identity is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `iss` of own tokens: differs between environments, so that a token of one is nothing in another.
    pub issuer: String,
    /// `aud` of own access tokens; those of impersonation have this and `/impersonation`.
    pub audience: String,
    /// Lines `key-id:base64 of 32 bytes`; the first signs, all verify.
    pub signing_key_file: PathBuf,
    /// Life of an access token: at most an hour.
    pub access_life: Duration,
    /// Another issuer whose tokens count too.
    pub external: Option<External>,
    /// Passwords that one address may try in a minute, all at once or spread.
    pub attempts_per_minute: NonZeroU32,
    /// Passwords that may wait to be hashed.
    pub hash_queue: usize,
    /// Between two looks at the signing key file.
    pub key_file_period: Duration,
    /// Between two looks at which sessions ended: how late a change is seen when notifications are cut.
    pub revocation_period: Duration,
    /// Between two sweeps of sessions that have run out.
    pub sweep_period: Duration,
}

impl Settings {
    /// The usual values.
    #[must_use]
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>, signing_key_file: impl Into<PathBuf>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            signing_key_file: signing_key_file.into(),
            access_life: Duration::from_mins(15),
            external: None,
            attempts_per_minute: NonZeroU32::MIN.saturating_add(59),
            hash_queue: 64,
            key_file_period: Duration::from_secs(30),
            revocation_period: Duration::from_secs(10),
            sweep_period: Duration::from_mins(10),
        }
    }
}

/// Why identity cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The signing keys cannot be had.
    #[error("the signing keys cannot be used")]
    Keys(#[from] KeyError),
    /// The other issuer cannot be asked.
    #[error("the external issuer cannot be used")]
    External(#[from] ExternalError),
    /// Both issuers have one name.
    #[error("the external issuer has this API's own name")]
    SameIssuer,
    /// Access tokens of no life, or of more than an hour's.
    #[error("access tokens live between a minute and an hour")]
    AccessLife,
    /// The registry does not answer.
    #[error("reading which sessions have ended failed")]
    Registry(#[from] sql::Error),
}

/// Seconds that no own token outlives, whatever a replica of another release was told.
const LIFE_MOST: i64 = 60 * 60;
/// The same for another issuer's tokens.
const EXTERNAL_LIFE_MOST: i64 = 24 * 60 * 60;
/// Changes of accounts that are held in memory reach this far back: a token's life, and what clocks may differ.
const WINDOW: i64 = LIFE_MOST + 120;
const IMPERSONATION_LIFE: i64 = 15 * 60;
/// Everything that a request asks of the registry here.
const ANSWER: Duration = Duration::from_secs(15);
/// Between two readings that notifications cause.
const BREATH: Duration = Duration::from_millis(20);

/// Verifies and issues.
pub struct Identity {
    settings: Settings,
    pool: PgPool,
    keys: KeyFile,
    external: Option<Issuer>,
    revocations: Revocations,
    passwords: Checker,
    attempts: Attempts,
}

/// A token that was made for somebody.
pub struct Minted {
    /// The token.
    pub token: SecretString,
    /// How long it counts.
    pub expires_in: Duration,
}

impl Identity {
    /// Reads the keys and which sessions have ended. `pool` leads to the master database as a member of `dailycare_api`; one connection of it is kept to listen.
    ///
    /// # Errors
    /// When the key file is bad, the settings contradict each other, or the registry does not answer.
    pub async fn start(settings: Settings, pool: PgPool) -> Result<Arc<Self>, SetupError> {
        if settings.external.as_ref().is_some_and(|external| external.issuer == settings.issuer) {
            return Err(SetupError::SameIssuer);
        }
        if !(60..=LIFE_MOST.unsigned_abs()).contains(&settings.access_life.as_secs()) {
            return Err(SetupError::AccessLife);
        }
        let keys = KeyFile::open(settings.signing_key_file.clone()).await?;
        let external = settings.external.clone().map(Issuer::new).transpose()?;
        let revocations = Revocations::default();
        revocations.load(&pool, WINDOW).await?;
        let (passwords, attempts) = (Checker::new(settings.hash_queue), Attempts::new(settings.attempts_per_minute));
        Ok(Arc::new(Self { settings, pool, keys, external, revocations, passwords, attempts }))
    }

    /// The token of a request: one `Authorization` header of the scheme `Bearer`.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] without exactly that.
    pub fn bearer(headers: &HeaderMap) -> Result<&str> {
        let refused = |why| Error::new(Code::Unauthenticated).because(Refusal(why));
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(refused("there is not exactly one Authorization header"));
        };
        let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(|| refused("no bearer token"))?;
        if !scheme.eq_ignore_ascii_case("bearer")
            || token.is_empty()
            || token.bytes().any(|byte| byte.is_ascii_whitespace() || byte == b',')
        {
            return Err(refused("no bearer token"));
        }
        Ok(token)
    }

    /// Who a token speaks for.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] for everything that is wrong with it, [`Code::IssuerUnavailable`] when the keys of its issuer cannot be had.
    pub async fn verify(&self, token: &str) -> Result<Principal> {
        let refused = |refusal: Refusal| Error::new(Code::Unauthenticated).because(refusal);
        let presented = Presented::parse(token).map_err(refused)?;
        let now = Utc::now().timestamp();
        let principal = match (presented.issuer(), &self.external) {
            (Some(issuer), _) if issuer == self.settings.issuer => self.own(presented, now).map_err(refused)?,
            (Some(issuer), Some(external)) if issuer == external.settings.issuer => {
                let key = external.key(&presented.kid).await;
                let key =
                    key.map_err(|unknown: Unknown| Error::new(Code::IssuerUnavailable).because(unknown).after(Duration::from_secs(5)))?;
                let key = key.ok_or(Refusal("the issuer has no such key")).map_err(refused)?;
                presented.verify(&key).and_then(|claims| foreign(&claims, external, now)).map_err(refused)?
            }
            _ => return Err(refused(Refusal("the token is of an unknown issuer"))),
        };
        if self.revocations.ended(principal.user, principal.issued_at.timestamp()) {
            return Err(refused(Refusal("the account has changed since the token was issued")));
        }
        Ok(principal)
    }

    fn own(&self, presented: Presented<'_>, now: i64) -> token::Result<Principal> {
        let keys = self.keys.keys();
        let key = keys.verifying(&presented.kid).ok_or(Refusal("there is no such key"))?;
        let claims = presented.verify(key)?;
        let times = claims.times(now, LIFE_MOST)?;
        let impersonation = if claims.is_only_for(&self.settings.audience) {
            None
        } else if claims.is_only_for(&self.impersonation_audience()) {
            Some(impersonation(&claims)?)
        } else {
            return Err(Refusal("the token is for another audience"));
        };
        if impersonation.is_none() && (claims.has("act") || claims.has("reason")) {
            return Err(Refusal("an access token acts for nobody"));
        }
        let role = claims.text("role").and_then(Role::parse).ok_or(Refusal("role is missing or unknown"))?;
        let tenant = claims.uuid("tenant_id").map(TenantId);
        let of_platform = role == Role::PlatformAdmin;
        if tenant.is_none() && claims.has("tenant_id") || tenant.is_some() != (!of_platform || impersonation.is_some()) {
            return Err(Refusal("tenant_id does not fit the role"));
        }
        if impersonation.is_some() && !of_platform {
            return Err(Refusal("only platform staff act for a school"));
        }
        let must_change_password = match claims.value("must_change_password") {
            None => false,
            Some(value) => value.as_bool().ok_or(Refusal("must_change_password is no boolean"))?,
        };
        let user = UserId(claims.uuid("sub").ok_or(Refusal("sub is missing or no UUID"))?);
        if impersonation.as_ref().is_some_and(|impersonation| impersonation.by != user) {
            return Err(Refusal("act is somebody else than sub"));
        }
        let token_id = claims.text("jti").ok_or(Refusal("jti is missing"))?.to_owned();
        Ok(Principal { user, tenant, role: Some(role), issued_at: second(times.issued_at)?, token_id, impersonation, must_change_password })
    }

    fn impersonation_audience(&self) -> String {
        format!("{}/impersonation", self.settings.audience)
    }

    /// A token with which platform staff act in a school for 15 minutes. Asks the registry again whether they are platform staff and the school exists, and
    /// records it, with the reason, in the same transaction; `resource` is the path that was asked.
    ///
    /// # Errors
    /// [`Code::Forbidden`] for anybody but platform staff, [`Code::Validation`] without a reason of 10 to 500 characters, [`Code::InvalidTenant`].
    pub async fn mint(
        &self,
        by: &Principal,
        tenant: TenantId,
        reason: &str,
        resource: &str,
        client: Option<ClientAddress>,
    ) -> Result<Minted> {
        let reason = reason.trim();
        if !(10..=500).contains(&reason.chars().count()) {
            let text = super::error::Text::new("indique o motivo, em 10 a 500 caracteres", "give the reason, in 10 to 500 characters");
            return Err(Error::field("reason", "length", text));
        }
        if by.role != Some(Role::PlatformAdmin) || by.impersonation.is_some() || by.must_change_password {
            return Err(Code::Forbidden.into());
        }
        let issue_at = within(login::impersonate(self, by.user, tenant, reason, resource, client)).await?;
        let audience = self.impersonation_audience();
        let claims = OwnClaims {
            act: Some(Actor { sub: by.user }),
            reason: Some(reason),
            ..self.claims(&audience, by.user, Some(tenant), Role::PlatformAdmin, issue_at, IMPERSONATION_LIFE)
        };
        Ok(Minted { token: self.sign(&claims)?, expires_in: Duration::from_secs(IMPERSONATION_LIFE.unsigned_abs()) })
    }

    fn claims<'a>(&'a self, aud: &'a str, sub: UserId, tenant: Option<TenantId>, role: Role, iat: i64, life: i64) -> OwnClaims<'a> {
        OwnClaims {
            iss: &self.settings.issuer,
            aud,
            sub,
            exp: iat + life,
            // The issuing clock is the database's: a token counts at once here, wherever that one stands.
            nbf: iat.min(Utc::now().timestamp()),
            iat,
            jti: Uuid::new_v4(),
            tenant_id: tenant.map(|tenant| tenant.0),
            role: role.name(),
            must_change_password: false,
            act: None,
            reason: None,
        }
    }

    fn sign(&self, claims: &OwnClaims<'_>) -> Result<SecretString> {
        let token = self.keys.keys().sign(claims).map_err(|error| Error::new(Code::Internal).because(error))?;
        Ok(token.into())
    }

    /// How many passwords have been hashed: one for each that was tried, right or wrong, and one for each that was set.
    #[must_use]
    pub fn hashes(&self) -> u64 {
        self.passwords.hashes()
    }

    /// Keeps keys and ended sessions current, and deletes sessions that have run out, until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let work = async {
            tokio::join!(self.watch_keys(), self.watch_issuer(), self.watch_sessions(), self.sweep());
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
    }

    async fn watch_keys(&self) {
        loop {
            tokio::time::sleep(self.settings.key_file_period).await;
            self.keys.reread().await;
        }
    }

    async fn watch_issuer(&self) {
        let Some(external) = &self.external else { return };
        loop {
            external.refresh().await;
            tokio::time::sleep(external.due()).await;
        }
    }

    /// Reads at once whenever accounts change, whenever listening begins anew, and after every period.
    async fn watch_sessions(&self) {
        loop {
            let listening = tokio::time::timeout(self.settings.revocation_period, listen(&self.pool)).await;
            self.reload().await;
            let Ok(Ok(mut listener)) = listening else {
                tokio::time::sleep(self.settings.revocation_period).await;
                continue;
            };
            // A time-out is the poll's turn; none and an error mean that notifications may have been missed.
            while let Ok(Ok(Some(_))) | Err(_) = tokio::time::timeout(self.settings.revocation_period, listener.try_recv()).await {
                while listener.next_buffered().is_some() {}
                self.reload().await;
                tokio::time::sleep(BREATH).await;
            }
            tokio::time::sleep(BREATH).await;
        }
    }

    async fn reload(&self) {
        let loaded = tokio::time::timeout(ANSWER, self.revocations.load(&self.pool, WINDOW)).await;
        if let Some(error) = loaded.unwrap_or_else(|_| Err(sql::Error::timed_out("reading which sessions have ended"))).err() {
            tracing::warn!(error = chain(&error), "which sessions have ended stays as it was");
        }
    }

    async fn sweep(&self) {
        loop {
            tokio::time::sleep(self.settings.sweep_period).await;
            self.attempts.forget();
            if let Err(error) = refresh::sweep(&self.pool).await {
                tracing::warn!(error = chain(&error), "sessions that have run out stay for now");
            }
        }
    }
}

/// Claims of own tokens.
#[derive(Serialize)]
struct OwnClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: UserId,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<Uuid>,
    role: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    must_change_password: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Actor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// Who acts (RFC 8693 §4.1).
#[derive(Serialize)]
struct Actor {
    sub: UserId,
}

fn impersonation(claims: &Claims) -> token::Result<Impersonation> {
    let by = claims.value("act").and_then(|act| act.get("sub")).and_then(|sub| sub.as_str()).and_then(token::uuid);
    let by = UserId(by.ok_or(Refusal("act is missing"))?);
    Ok(Impersonation { reason: claims.text("reason").ok_or(Refusal("reason is missing"))?.to_owned(), by })
}

/// Another issuer's user: of one school, and of no role here.
fn foreign(claims: &Claims, external: &Issuer, now: i64) -> token::Result<Principal> {
    if !claims.is_for(&external.settings.audience) {
        return Err(Refusal("the token is for another audience"));
    }
    let times = claims.times(now, EXTERNAL_LIFE_MOST)?;
    let tenant = TenantId(claims.uuid("tenant_id").ok_or(Refusal("tenant_id is missing or no UUID"))?);
    let sub = claims.text("sub").ok_or(Refusal("sub is missing"))?;
    let derived = || Uuid::new_v5(&Uuid::new_v5(&Uuid::NAMESPACE_URL, external.settings.issuer.as_bytes()), sub.as_bytes());
    Ok(Principal {
        user: UserId(token::uuid(sub).unwrap_or_else(derived)),
        tenant: Some(tenant),
        role: None,
        issued_at: second(times.issued_at)?,
        token_id: claims.text("jti").unwrap_or("-").to_owned(),
        impersonation: None,
        must_change_password: false,
    })
}

fn second(time: i64) -> token::Result<DateTime<Utc>> {
    DateTime::from_timestamp(time, 0).ok_or(Refusal("iat is no time"))
}

async fn listen(pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen("users").await?;
    Ok(listener)
}

/// Work in the registry for one request.
async fn within<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| Err(unavailable(sql::Error::timed_out("asking the registry")));
    tokio::time::timeout(ANSWER, work).await.unwrap_or_else(late)
}

/// The registry did not answer, or this program asked what it may not.
fn unavailable(error: sql::Error) -> Error {
    match error.class() {
        Class::Transient | Class::Contended => Error::new(Code::RegistryUnavailable).because(error).after(Duration::from_secs(1)),
        Class::Denied | Class::Invalid | Class::Bug => Error::new(Code::Internal).because(error),
    }
}

async fn begin(pool: &PgPool) -> Result<sqlx::Transaction<'static, sqlx::Postgres>> {
    pool.begin().await.doing("beginning a transaction in the registry").map_err(unavailable)
}

async fn commit(transaction: sqlx::Transaction<'static, sqlx::Postgres>) -> Result<()> {
    transaction.commit().await.doing("committing in the registry").map_err(unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_taken_from_exactly_one_header() {
        let headers = |values: &[&'static str]| {
            values.iter().map(|value| (header::AUTHORIZATION, axum::http::HeaderValue::from_static(value))).collect::<HeaderMap>()
        };
        for good in ["Bearer abc", "bearer abc", "BEARER abc"] {
            assert_eq!(Identity::bearer(&headers(&[good])).unwrap(), "abc");
        }
        for bad in [
            &[][..],
            &["Bearer abc", "Bearer abc"],
            &["abc"],
            &["Bearer"],
            &["Bearer "],
            &["Basic abc"],
            &["Bearer  abc"],
            &["Bearer a,b"],
            &["Bearer a b"],
        ] {
            assert_eq!(Identity::bearer(&headers(bad)).unwrap_err().code, Code::Unauthenticated, "{bad:?}");
        }
    }

    #[test]
    fn every_role_has_its_name_in_json_too() {
        for (role, name) in Role::ALL {
            assert_eq!((Role::parse(name), role.name()), (Some(role), name));
            assert_eq!(serde_json::to_value(role).unwrap(), name);
        }
        assert_eq!(Role::parse("schooladmin"), None);
    }
}
