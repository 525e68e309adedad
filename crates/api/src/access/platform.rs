//! Permissions of platform staff: over tenants, never over their data.
//!
//! Must not reach a school's data: only counts.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use domain::names::TenantId;
use tenancy::pools::Connection;
use tenancy::registry_cache::CachedTenant;

use super::Tenant;
use super::connection::connect;
use crate::app::App;
use crate::edge::RequestContext;
use crate::error::{Code, Error, Result};
use crate::identity::{Principal, Role};

/// The action in the audit of what platform staff do, until a route names its own.
const ACTION: &str = "platform";

/// Leave to see tenants as the platform's staff.
pub struct Platform {
    /// Who asks.
    pub principal: Principal,
    app: App,
    context: RequestContext,
}

impl FromRequestParts<App> for Platform {
    type Rejection = Error;

    /// The role is in a token that we signed for an account of the master database; a token of a school, or for one, never has it.
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let principal = Principal::from_request_parts(parts, app).await?;
        let context = RequestContext::from_request_parts(parts, app).await?;
        context.audit().set(principal.tenant, Some(principal.user.0), ACTION);
        if principal.role != Some(Role::PlatformAdmin) || principal.tenant.is_some() {
            return Err(Code::Forbidden.into());
        }
        Ok(Self { principal, app: app.clone(), context })
    }
}

impl Platform {
    /// The parts of the running API.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Names the action in the audit.
    pub fn audit_as(&self, action: &'static str) {
        self.context.audit().set(None, Some(self.principal.user.0), action);
    }

    /// A tenant, whatever state it is in.
    ///
    /// # Errors
    /// [`Code::NotFound`].
    pub async fn entry(&self, id: TenantId) -> Result<Arc<CachedTenant>> {
        self.app.registry_cache.by_id(id).await?.ok_or_else(|| Code::NotFound.into())
    }

    /// A connection to a tenant's database, to count with.
    ///
    /// # Errors
    /// When none is free in time, or the database cannot be reached.
    pub async fn connection(&self, tenant: &Tenant) -> Result<Connection> {
        connect(&self.app, tenant).await
    }
}
