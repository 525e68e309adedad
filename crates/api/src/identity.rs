//! Who is asking: tokens verified, this API's own ones signed, and people logged in.
//!
//! A token is this API's own, or another issuer's whose keys are configured; its `iss` chooses whose keys are tried, its key chooses the algorithm, and nothing in
//! it chooses more. What is wrong with a token is logged; the caller gets 401. Must not decide what a user may do: `access` does.

mod account;
mod attempts;
mod external;
mod issuing;
mod keys;
mod login;
mod membership;
mod origin;
mod principal;
mod reading;
mod record;
mod refresh;
mod revoked;
mod routes;
mod settings;
mod token;
mod verified_tokens;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use chrono::Utc;
use governor::Quota;
use sqlx::postgres::PgPool;

use self::attempts::Attempts;
pub use self::external::{Error as ExternalError, External, Subject};
use self::external::{Issuer, Unknown};
pub use self::issuing::Minted;
use self::keys::KeyFile;
pub use self::keys::{Error as KeyError, SigningKeys};
pub use self::origin::Origin;
pub use self::principal::{Impersonation, Principal, Role, UserId};
use self::revoked::Revocations;
pub use self::routes::routes;
pub use self::settings::{Settings, SetupError};
use domain::retry::Class;
use postgres::error::Doing as _;
use registry::password::Checker;
use tenancy::limits::Allowance;

use self::token::{Presented, Refusal};
use self::verified_tokens::VerifiedTokenCache;
use super::edge::AuditContext;
use super::error::{Code, Error, Result};

/// What anybody may send here is small.
pub const SMALL_BODIES: &[(&str, usize)] = &[("/api/v1/auth/", 16 * 1024)];
/// Seconds that no own token outlives, whatever a replica of another release was told.
const LIFE_MOST: i64 = 60 * 60;
/// Changes of accounts that are held in memory reach this far back: a token's life, and what clocks may differ.
const WINDOW: i64 = LIFE_MOST + 120;
/// Users who ask who they are and have a rate of their own: about 2 MB.
const PROFILES: usize = 20_000;
/// Everything that a request asks of the registry here.
const ANSWER: Duration = Duration::from_secs(15);

/// Verifies and issues.
pub struct Identity {
    settings: Settings,
    pool: PgPool,
    keys: KeyFile,
    verified_tokens: VerifiedTokenCache,
    external: Option<Arc<Issuer>>,
    revocations: Revocations,
    passwords: Checker,
    attempts: Attempts,
    renewals: Attempts,
    /// How often one user may ask who they are.
    profiles: Allowance<UserId>,
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
        let external = settings.external.clone().map(Issuer::new).transpose()?.map(Arc::new);
        let revocations = Revocations::default();
        revocations.load(&pool, WINDOW).await?;
        let passwords = Checker::new(settings.hash_queue);
        let profiles = Allowance::new(Quota::per_minute(settings.profiles_per_minute), PROFILES);
        let (attempts, renewals) = (Attempts::new(settings.attempts_per_minute), Attempts::new(settings.renewals_per_minute));
        Ok(Arc::new(Self {
            settings,
            pool,
            keys,
            verified_tokens: VerifiedTokenCache::default(),
            external,
            revocations,
            passwords,
            attempts,
            renewals,
            profiles,
        }))
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

    /// Who a request's token speaks for. From here on its audit record names them, and the reason of platform staff who act in a school.
    ///
    /// # Errors
    /// As [`Identity::bearer`] and [`Identity::verify`].
    pub async fn authenticate(&self, headers: &HeaderMap, audit: &AuditContext, action: &'static str) -> Result<Principal> {
        let token = Self::bearer(headers)?;
        audit.set(None, None, action);
        let principal = self.verify(token).await?;
        audit.set(principal.tenant, Some(principal.user.0), action);
        if let Some(acting) = &principal.impersonation {
            audit.set_reason(&acting.reason);
        }
        Ok(principal)
    }

    /// Who a token speaks for.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] for everything that is wrong with it, [`Code::IssuerUnavailable`] when the keys of its issuer cannot be had.
    pub async fn verify(&self, token: &str) -> Result<Principal> {
        let (keys, now) = (self.keys.keys(), Utc::now().timestamp());
        let principal = match self.verified_tokens.principal(token, &keys, now) {
            Some(principal) => principal,
            None => self.verify_anew(token, &keys, now).await?,
        };
        if self.revocations.ended(principal.user, principal.issued_at.timestamp()) {
            let refusal = Refusal("the account has changed since the token was issued");
            return Err(Error::new(Code::Unauthenticated).because(refusal));
        }
        Ok(principal)
    }

    async fn verify_anew(&self, token: &str, keys: &Arc<SigningKeys>, now: i64) -> Result<Principal> {
        let refused = |refusal: Refusal| Error::new(Code::Unauthenticated).because(refusal);
        let presented = Presented::parse(token).map_err(refused)?;
        match (presented.issuer(), &self.external) {
            (Some(issuer), _) if issuer == self.settings.issuer => {
                let (principal, expires) = self.own(presented, keys, now).map_err(refused)?;
                self.verified_tokens.remember(token, keys, &principal, expires);
                Ok(principal)
            }
            (Some(issuer), Some(external)) if issuer == external.settings.issuer => {
                let key = external.key(&presented.kid).await;
                let key =
                    key.map_err(|unknown: Unknown| Error::new(Code::IssuerUnavailable).because(unknown).after(Duration::from_secs(5)))?;
                let key = key.ok_or(Refusal("the issuer has no such key")).map_err(refused)?;
                presented.verify(&key).and_then(|claims| reading::foreign(&claims, external, now)).map_err(refused)
            }
            _ => Err(refused(Refusal("the token is of an unknown issuer"))),
        }
    }

    /// How many passwords have been hashed: one for each that was tried, right or wrong, and one for each that was set.
    #[must_use]
    pub fn hashes(&self) -> u64 {
        self.passwords.hashes()
    }
}

/// Work in the registry for one request.
pub(crate) async fn within<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| Err(unavailable(postgres::Error::timed_out("asking the registry")));
    tokio::time::timeout(ANSWER, work).await.unwrap_or_else(late)
}

/// The registry did not answer, or this program asked what it may not.
pub(crate) fn unavailable(error: postgres::Error) -> Error {
    match error.class() {
        Class::Transient | Class::Contended => Error::new(Code::RegistryUnavailable).because(error).after(Duration::from_secs(1)),
        Class::Denied | Class::Invalid | Class::Bug => Error::new(Code::Internal).because(error),
    }
}

pub(crate) async fn begin(pool: &PgPool) -> Result<sqlx::Transaction<'static, sqlx::Postgres>> {
    pool.begin().await.doing("beginning a transaction in the registry").map_err(unavailable)
}

pub(crate) async fn commit(transaction: sqlx::Transaction<'static, sqlx::Postgres>) -> Result<()> {
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
}
