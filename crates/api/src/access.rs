//! Who may do what, where: the extractors that every route of a school begins with, and the only way to a connection.
//!
//! [`Access`] is made by its extractor alone, from a verified token, a tenant that serves and a permission of that school's own matrix. There is no
//! global pool: a handler that asks for no permission has nothing to query with.

mod connection;
pub mod grants;
pub mod permission;
mod platform;
pub mod tenant;
pub mod trail;

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio::sync::Semaphore;
use uuid::Uuid;

pub use connection::{Outdated, Snapshot, Writing};
pub use grants::Scope;
pub use permission::Permission;
pub use platform::Platform;
pub use tenant::Tenant;
pub use trail::Trail;

use tenancy::audit::Record;

use super::app::App;
use super::client::ClientAddress;
use super::edge::{Holds, TenantSlot};
use super::error::{Code, Error, Result};
use super::identity::{Identity, Principal};

/// When to try again for a place that is taken until somebody's answer has been sent.
const BUSY: Duration = Duration::from_secs(5);

/// The audit's word for asking without a token that is accepted.
const AUTHENTICATE: &str = "auth:verify";

/// Leave to do `P` in one school.
pub struct Access<P> {
    app: App,
    tenant: Tenant,
    principal: Principal,
    scope: Scope,
    trail: Trail,
    /// The tenant's share of this process, given back when the answer has been sent.
    holds: Holds,
    permission: PhantomData<fn() -> P>,
}

impl<P: Permission> Access<P> {
    /// The school.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Who asks.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Whose children's rows alone may be touched: the user, when the permission is only over its own.
    #[must_use]
    pub fn own(&self) -> Option<Uuid> {
        match self.scope {
            Scope::School => None,
            Scope::Own => Some(self.principal.user.0),
        }
    }

    /// Refuses a permission over one's own rows, where no row is anybody's own.
    ///
    /// # Errors
    /// [`Code::Forbidden`].
    pub fn whole(&self) -> Result<()> {
        if self.own().is_some() { Err(Code::Forbidden.into()) } else { Ok(()) }
    }

    /// Refuses all but the school's own people with a permission over all of it: who may see which rows is theirs to say, and platform staff who act in
    /// the school could leave themselves or others more than their quarter of an hour.
    ///
    /// # Errors
    /// [`Code::Forbidden`].
    pub fn of_the_school(&self) -> Result<()> {
        if self.principal.impersonation.is_some() { Err(Code::Forbidden.into()) } else { self.whole() }
    }

    /// The record of a write outside the school's database, to stand in that write's own transaction; with the reason why platform staff act here.
    #[must_use]
    pub fn evidence(&self) -> Record {
        let reason = self.principal.impersonation.as_ref().map(|acting| acting.reason.clone());
        Record { reason, ..self.trail.record_of(Some(self.tenant.entry.tenant), Some(self.principal.user), P::CODE, true) }
    }

    /// That transaction lasts: the school's own copy of its record says so too, even when the caller does not wait for the answer.
    pub fn done(&self) {
        self.trail.done();
    }

    /// Takes one of `places` until the answer has been sent.
    ///
    /// # Errors
    /// [`Code::TooManyRequests`] when none is free.
    pub fn enter(&self, places: &Arc<Semaphore>) -> Result<()> {
        if self.holds.enter(places) { Ok(()) } else { Err(Error::new(Code::TooManyRequests).after(BUSY)) }
    }

    /// The parts of the running API.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }
}

/// A verified token, whatever it may do. The request's trail knows its user from here on.
impl FromRequestParts<App> for Principal {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        if let Some(principal) = parts.extensions.get::<Self>() {
            return Ok(principal.clone());
        }
        let trail = trail_of(parts);
        let token = Identity::bearer(&parts.headers)?;
        trail.asked(None, None, AUTHENTICATE);
        let principal = app.identity.verify(token).await?;
        trail.asked(principal.tenant, Some(principal.user), AUTHENTICATE);
        if principal.must_change_password {
            return Err(Code::PasswordChangeRequired.into());
        }
        parts.extensions.insert(principal.clone());
        Ok(principal)
    }
}

impl<P: Permission> FromRequestParts<App> for Access<P> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let principal = Principal::from_request_parts(parts, app).await?;
        let trail = trail_of(parts);
        trail.asked(principal.tenant, Some(principal.user), P::CODE);
        let entry = tenant::find(&principal, &parts.headers, &app.registry_cache).await.inspect_err(|error| {
            // No school's log may hold that somebody knew another school's name, or that there is none.
            if matches!(error.code, Code::TenantMismatch | Code::InvalidTenant) {
                trail.asked(None, Some(principal.user), P::CODE);
            }
        })?;
        if let Some(slot) = parts.extensions.get::<TenantSlot>() {
            slot.fill(entry.tenant);
        }
        trail.asked(Some(entry.tenant), Some(principal.user), P::CODE);
        let holds = parts.extensions.get::<Holds>().cloned().unwrap_or_default();
        holds.admit(&app.limits, entry.tenant)?;
        let tenant = tenant::serving(entry)?;
        let grants = app.recent.of(app, &tenant, &principal).await?;
        let scope = grants.scope(P::CODE).or(P::EVERYBODYS.then_some(Scope::Own)).ok_or(Code::Forbidden)?;
        Ok(Self { app: app.clone(), tenant, principal, scope, trail, holds, permission: PhantomData })
    }
}

/// Every request has one, unless it came past the router's layers, as some tests' do.
fn trail_of(parts: &Parts) -> Trail {
    parts.extensions.get::<Trail>().cloned().unwrap_or_else(|| {
        let address = parts.extensions.get::<ClientAddress>().map(|address| address.0);
        Trail::new(parts.uri.path(), address, parts.extensions.get().cloned())
    })
}
