//! The tenants, as this process knows them.

use domain::names::TenantId;
use serde::{Deserialize, Serialize};
use tenancy::directory::Entry;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::Platform;
use crate::answer::{Data, Page};
use crate::document::{Paging, Queries, ReadsItem};
use crate::error::{Code, Result};
use crate::resource::cursor::Cursor;
use crate::resource::filter::{Id, ListQuery, Unfiltered};

/// The list's name in its cursors.
const LIST: &str = "tenants";

/// A tenant, and where its requests go. Without credentials.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TenantRecord {
    /// Its id.
    pub id: Uuid,
    /// The school's code.
    pub code: String,
    /// The school's name.
    pub name: String,
    /// Where it is in its life: `provisioning`, `active`, `suspended`, `moving`.
    pub state: String,
    /// Requests are served.
    pub serving: bool,
    /// Why requests are not served although the tenant is active; only an operator can mend it.
    pub fault: Option<String>,
    /// Its database server.
    pub server: Option<String>,
    /// Its database.
    pub database: Option<String>,
    /// The schema applied to it.
    pub schema_version: Option<u32>,
    /// Grows with every change of route, state or credentials.
    pub epoch: i64,
    /// The most connections that its row allows.
    pub pool_size: Option<u16>,
    /// Seconds to connect.
    pub connect_timeout_seconds: Option<u16>,
    /// Seconds that a statement may take.
    pub command_timeout_seconds: Option<u16>,
    /// Connections are kept for the next request.
    pub pooling: Option<bool>,
}

impl From<&Entry> for TenantRecord {
    fn from(entry: &Entry) -> Self {
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

/// Every tenant by code, but those whose School is gone.
#[utoipa::path(get, path = "/platform/tenants", tag = "platform", operation_id = "list_tenants", params(Paging), responses((status = 200, body = Page<TenantRecord>), Queries))]
pub(super) async fn list(platform: Platform, list_query: ListQuery<Unfiltered>) -> Result<Page<TenantRecord>> {
    platform.audit_as("platform:tenants");
    let after = list_query.cursor(LIST)?.map(|cursor| cursor.place);
    let limit = list_query.limit as usize;
    let mut entries = platform.app().directory.entries(after.as_deref(), limit + 1);
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(|last| Cursor::new(LIST, last.code.clone(), last.tenant.0).text());
    Ok(Page::new(entries.iter().map(|entry| TenantRecord::from(&**entry)).collect(), next))
}

/// One tenant.
#[utoipa::path(get, path = "/platform/tenants/{id}", tag = "platform", operation_id = "read_tenant", params(("id" = Uuid, Path)), responses((status = 200, body = Data<TenantRecord>), ReadsItem))]
pub(super) async fn read(platform: Platform, Id(id): Id) -> Result<Data<TenantRecord>> {
    platform.audit_as("platform:tenants");
    let entry = platform.app().directory.by_id(TenantId(id)).await?.ok_or(Code::NotFound)?;
    Ok(Data::new(TenantRecord::from(&*entry)))
}
