//! Which school a request is for: the token's claim decides, and the header may only agree.
//!
//! Must not look up a tenant that only a header names, so that nothing can be enumerated and nobody chooses a school for a request.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use domain::names::{SchoolCode, TenantId};
use tenancy::pools::Target;
use tenancy::registry_cache::{CachedTenant, RegistryCache, State};
use uuid::Uuid;

use crate::error::{Code, Error, Result};
use crate::identity::Principal;

/// The header of the seed's request flow: the tenant's id or code.
pub const HEADER: &str = "x-tenant-id";

/// When to ask again for a school that is being made or moved.
const RETRY: Duration = Duration::from_secs(5);

/// A school that serves. Only [`serving`] makes one.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// What the registry says of it.
    pub entry: Arc<CachedTenant>,
    /// Where its connections go.
    pub(super) target: Arc<Target>,
}

/// What a header names: an id or a code. Anything else is no tenant's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantHeader {
    /// `tenants.id`.
    Id(TenantId),
    /// `tenants.code`.
    Code(SchoolCode),
}

impl TenantHeader {
    /// Exactly one value, in exactly the canonical form: nothing is trimmed, decoded or folded that a proxy might read otherwise.
    ///
    /// # Errors
    /// [`Code::InvalidTenant`].
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>> {
        let mut values = headers.get_all(HEADER).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return if headers.contains_key(HEADER) { Err(Code::InvalidTenant.into()) } else { Ok(None) };
        };
        let text = value.to_str().map_err(|_| Code::InvalidTenant)?;
        let id = Uuid::try_parse(text).ok().filter(|id| id.hyphenated().to_string() == text).map(|id| Self::Id(TenantId(id)));
        id.or_else(|| SchoolCode::parse(text).ok().map(Self::Code)).map(Some).ok_or_else(|| Code::InvalidTenant.into())
    }

    fn is(&self, entry: &CachedTenant) -> bool {
        match self {
            Self::Id(id) => *id == entry.tenant,
            Self::Code(code) => code.as_str() == entry.code.as_str(),
        }
    }
}

/// The registry's entry of the school that a request is for, whatever state it is in.
///
/// # Errors
/// [`Code::Forbidden`] for callers without a school, whatever the header says: platform staff act in one with a token for it. [`Code::InvalidTenant`]
/// for a school that is gone, [`Code::TenantMismatch`] when the header disagrees with the claim.
pub async fn resolve(principal: &Principal, headers: &HeaderMap, registry_cache: &RegistryCache) -> Result<Arc<CachedTenant>> {
    let named = TenantHeader::read(headers)?;
    let entry = registry_cache.by_id(principal.tenant.ok_or(Code::Forbidden)?).await?;
    let disagrees = |entry: &CachedTenant| named.as_ref().is_some_and(|named| !named.is(entry));
    match entry {
        Some(entry) if disagrees(&entry) => Err(Code::TenantMismatch.into()),
        Some(entry) => Ok(entry),
        None => Err(Code::InvalidTenant.into()),
    }
}

/// The school, if it serves.
///
/// # Errors
/// What its state tells the caller.
pub fn serving(entry: Arc<CachedTenant>) -> Result<Tenant> {
    match entry.state {
        State::Active => {}
        State::Suspended => return Err(Code::TenantSuspended.into()),
        State::Provisioning | State::Moving => return Err(Error::new(Code::TenantUnavailable).after(RETRY)),
        State::Retained | State::Deleted => return Err(Code::InvalidTenant.into()),
    }
    if entry.schema_version.is_none_or(|version| version < tenancy::SCHEMA) {
        return Err(Error::new(Code::SchemaOutdated).after(RETRY));
    }
    // Active, and yet without credentials that this process can open: its operator must act, the caller can only wait.
    let target = entry.target.clone().ok_or_else(|| Error::new(Code::TenantUnavailable).after(RETRY))?;
    Ok(Tenant { entry, target })
}
