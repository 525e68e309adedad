//! What verified claims mean: an own token's user, or another issuer's.
//!
//! Must not check a signature itself: `token` does.

use chrono::{DateTime, Utc};
use domain::names::TenantId;
use uuid::Uuid;

use super::external::{Issuer, Subject};
use super::token::{self, Claims, IssuedBy, Presented, Refusal};
use super::{Identity, Impersonation, LIFE_MOST, Principal, Role, SigningKeys, UserId};

/// Seconds that no token of another issuer outlives.
const EXTERNAL_LIFE_MOST: i64 = 24 * 60 * 60;

impl Identity {
    /// Verifies a token of this API's own, of either audience: whom it speaks for, and when it expires.
    pub(super) fn own(&self, presented: Presented<'_>, keys: &SigningKeys, now: i64) -> token::Result<(Principal, i64)> {
        let key = keys.verifying(&presented.kid).ok_or(Refusal("there is no such key"))?;
        let claims = presented.verify(key)?;
        let times = claims.times(IssuedBy::Us, now, LIFE_MOST)?;
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
        let issued_at = second(times.issued_at)?;
        let principal = Principal { user, tenant, role: Some(role), issued_at, token_id, impersonation, must_change_password };
        Ok((principal, times.expires))
    }
}

fn impersonation(claims: &Claims) -> token::Result<Impersonation> {
    let by = claims.value("act").and_then(|act| act.get("sub")).and_then(|sub| sub.as_str()).and_then(token::uuid);
    let by = UserId(by.ok_or(Refusal("act is missing"))?);
    Ok(Impersonation { reason: claims.text("reason").ok_or(Refusal("reason is missing"))?.to_owned(), by })
}

/// Another issuer's user: of one school, and of no role here.
pub(super) fn foreign(claims: &Claims, external: &Issuer, now: i64) -> token::Result<Principal> {
    if !claims.is_for(&external.settings.audience) {
        return Err(Refusal("the token is for another audience"));
    }
    let times = claims.times(IssuedBy::Another, now, EXTERNAL_LIFE_MOST)?;
    let tenant = TenantId(claims.uuid("tenant_id").ok_or(Refusal("tenant_id is missing or no UUID"))?);
    let sub = claims.text("sub").ok_or(Refusal("sub is missing"))?;
    let user = match external.settings.subject {
        // Whatever it looks like: an issuer may let its users choose it.
        Subject::Derived => Uuid::new_v5(&Uuid::new_v5(&Uuid::NAMESPACE_URL, external.settings.issuer.as_bytes()), sub.as_bytes()),
        Subject::UserId => token::uuid(sub).ok_or(Refusal("sub is no UUID"))?,
    };
    Ok(Principal {
        user: UserId(user),
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
