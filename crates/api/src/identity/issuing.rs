//! Own tokens: their claims, and those with which platform staff act for a school.
//!
//! Must not read tokens: `reading` does.

use std::time::Duration;

use chrono::Utc;
use domain::names::TenantId;
use secrecy::SecretString;
use serde::Serialize;
use tenancy::audit;
use uuid::Uuid;

use super::{Identity, Origin, Principal, Role, UserId, login, within};
use crate::error::{Code, Error, Result, Text};

/// Seconds.
const IMPERSONATION_LIFE: i64 = 15 * 60;

/// A token that was made for somebody.
pub struct Minted {
    /// The token.
    pub token: SecretString,
    /// How long it counts.
    pub expires_in: Duration,
    /// What the platform's audit says of it, for the school's own.
    pub record: audit::Record,
}

/// Claims of own tokens.
#[derive(Serialize)]
pub(super) struct OwnClaims<'a> {
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
    pub(super) must_change_password: bool,
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

impl Identity {
    pub(super) fn impersonation_audience(&self) -> String {
        format!("{}/impersonation", self.settings.audience)
    }

    /// A token with which platform staff act in a school for 15 minutes. Asks the registry again whether they are platform staff and the school exists, and
    /// records it, with the reason, in the same transaction; the origin's path has at most 500 characters.
    ///
    /// # Errors
    /// [`Code::Forbidden`] for anybody but platform staff, [`Code::Validation`] without a reason of 10 to 500 characters, [`Code::InvalidTenant`].
    pub async fn mint(&self, by: &Principal, tenant: TenantId, reason: &str, origin: &Origin) -> Result<Minted> {
        let reason = reason.trim();
        if !(10..=500).contains(&reason.chars().count()) {
            let text = Text::new("indique um motivo com 10 a 500 caracteres", "give a reason of 10 to 500 characters");
            return Err(Error::field("reason", "length", text));
        }
        if by.role != Some(Role::PlatformAdmin) || by.impersonation.is_some() || by.must_change_password {
            return Err(Code::Forbidden.into());
        }
        let (issue_at, record) = within(login::impersonate(self, by.user, tenant, reason, origin)).await?;
        let audience = self.impersonation_audience();
        let claims = OwnClaims {
            act: Some(Actor { sub: by.user }),
            reason: Some(reason),
            ..self.claims(&audience, by.user, Some(tenant), Role::PlatformAdmin, issue_at, IMPERSONATION_LIFE)
        };
        Ok(Minted { token: self.sign(&claims)?, expires_in: Duration::from_secs(IMPERSONATION_LIFE.unsigned_abs()), record })
    }

    pub(super) fn claims<'a>(
        &'a self,
        aud: &'a str,
        sub: UserId,
        tenant: Option<TenantId>,
        role: Role,
        iat: i64,
        life: i64,
    ) -> OwnClaims<'a> {
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

    pub(super) fn sign(&self, claims: &OwnClaims<'_>) -> Result<SecretString> {
        let token = self.keys.keys().sign(claims).map_err(|error| Error::new(Code::Internal).because(error))?;
        Ok(token.into())
    }
}
