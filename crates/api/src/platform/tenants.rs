//! The tenants that this process knows.
//!
//! Must not return credentials.

use domain::names::TenantId;
use serde::{Deserialize, Serialize};
use tenancy::registry_cache::CachedTenant;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::Platform;
use crate::answer::{Data, Page};
use crate::document::{Paging, Queries, ReadsItem};
use crate::error::{Code, Result};
use crate::resource::cursor::Cursor;
use crate::resource::filter::{Id, ListQuery, Unfiltered};

/// The name of this list in its cursors.
const LIST: &str = "tenants";

/// A tenant and its route, without credentials.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TenantRecord {
    /// Id of the tenant (UUID).
    pub id: Uuid,
    /// Code of the school, such as `escola-azul`.
    pub code: String,
    /// Name of the school.
    pub name: String,
    /// State of the tenant: `provisioning`, `active`, `suspended` or `moving`.
    pub state: String,
    /// Whether the API serves requests of this school.
    pub serving: bool,
    /// Reason why the API cannot serve an active tenant; null if there is none. Only an operator can repair it.
    pub fault: Option<String>,
    /// Name of the database server; null until one is assigned.
    pub server: Option<String>,
    /// Name of the database; null until one is assigned.
    pub database: Option<String>,
    /// Version of the schema in the database; null until one is applied.
    pub schema_version: Option<u32>,
    /// Number that grows with every change of route, state or credentials.
    pub epoch: i64,
    /// Maximum number of connections that the School allows; null until the route is published.
    pub pool_size: Option<u16>,
    /// Time limit for connecting, in seconds.
    pub connect_timeout_seconds: Option<u16>,
    /// Time limit for a statement, in seconds.
    pub command_timeout_seconds: Option<u16>,
    /// Whether connections are kept for the next request.
    pub pooling: Option<bool>,
}

impl From<&CachedTenant> for TenantRecord {
    fn from(entry: &CachedTenant) -> Self {
        Self {
            id: entry.tenant.0,
            code: entry.code.clone(),
            name: entry.name.clone(),
            state: entry.state.label().to_owned(),
            serving: entry.target.is_some(),
            fault: entry.fault.as_ref().map(ToString::to_string),
            server: entry.server.as_ref().map(ToString::to_string),
            database: entry.database.as_ref().map(ToString::to_string),
            schema_version: entry.schema_version,
            epoch: entry.epoch,
            pool_size: entry.pool.map(|pool| pool.size),
            connect_timeout_seconds: entry.pool.map(|pool| pool.connect_timeout_seconds),
            command_timeout_seconds: entry.pool.map(|pool| pool.command_timeout_seconds),
            pooling: entry.pool.map(|pool| pool.pooling),
        }
    }
}

/// List the tenants
///
/// Returns all tenants whose School exists, ordered by code, one page at a time. Requires the role `PlatformAdmin`.
#[utoipa::path(get, path = "/platform/tenants", tag = "platform", operation_id = "listTenants", params(Paging), responses((status = 200, description = "One page of the list.", body = Page<TenantRecord>), Queries))]
pub(super) async fn list(platform: Platform, list_query: ListQuery<Unfiltered>) -> Result<Page<TenantRecord>> {
    platform.audit_as("platform:tenants");
    let after = list_query.cursor(LIST)?.map(|cursor| cursor.place);
    let limit = list_query.limit as usize;
    let mut entries = platform.app().registry_cache.list(after.as_deref(), limit + 1);
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(|last| Cursor::new(LIST, last.code.clone(), last.tenant.0).text());
    Ok(Page::new(entries.iter().map(|entry| TenantRecord::from(&**entry)).collect(), next))
}

/// Get a tenant
///
/// Returns the state and route of one tenant. Requires the role `PlatformAdmin`.
#[utoipa::path(get, path = "/platform/tenants/{id}", tag = "platform", operation_id = "getTenant", params(("id" = Uuid, Path, description = "Id of the tenant (UUID).")), responses((status = 200, description = "The tenant as it is now.", body = Data<TenantRecord>), ReadsItem))]
pub(super) async fn read(platform: Platform, Id(id): Id) -> Result<Data<TenantRecord>> {
    platform.audit_as("platform:tenants");
    let entry = platform.app().registry_cache.by_id(TenantId(id)).await?.ok_or(Code::NotFound)?;
    Ok(Data::new(TenantRecord::from(&*entry)))
}
