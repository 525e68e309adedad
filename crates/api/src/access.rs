//! Who may do what, where: the extractors that every route of a school begins with, and the only way to a connection.
//!
//! Only its extractor makes an [`Access`], from a verified token, a tenant that serves and a permission of that school's own matrix. There is no
//! global pool: a handler that asks for no permission has nothing to query with. Must not know any route.

mod connection;
mod grants;
pub mod permission;
mod platform;
pub mod tenant;

use std::marker::PhantomData;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use uuid::Uuid;

pub use connection::{Invalidation, ReadTransaction, WriteTransaction};
pub use permission::Permission;
pub use platform::Platform;
pub use tenant::Tenant;

use tenancy::audit::Record;

use super::app::App;
use super::edge::RequestContext;
use super::error::{Code, Error, Result};
use super::grants::Scope;
use super::identity::Principal;

/// When to try again for a permit that is held until somebody's answer has been sent.
const BUSY: Duration = Duration::from_secs(5);

/// The action in the audit of a request without an accepted token.
const AUTHENTICATE: &str = "auth:verify";

/// Leave to do `P` in one school. Only its extractor makes one.
pub struct Access<P> {
    app: App,
    tenant: Tenant,
    principal: Principal,
    scope: Scope,
    context: RequestContext,
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

    /// The user, if the permission reaches only the rows of the user's own children.
    #[must_use]
    pub fn own(&self) -> Option<Uuid> {
        match self.scope {
            Scope::School => None,
            Scope::Own => Some(self.principal.user.0),
        }
    }

    /// Refuses a permission over one's own rows only.
    ///
    /// # Errors
    /// [`Code::Forbidden`].
    pub fn require_school_scope(&self) -> Result<()> {
        if self.own().is_some() { Err(Code::Forbidden.into()) } else { Ok(()) }
    }

    /// Refuses everybody but the school's own people with a permission over all of it. For changes of who may see which rows: platform staff who act in the
    /// school could otherwise give themselves or others rights that outlive their quarter of an hour.
    ///
    /// # Errors
    /// [`Code::Forbidden`].
    pub fn require_own_staff(&self) -> Result<()> {
        if self.principal.impersonation.is_some() { Err(Code::Forbidden.into()) } else { self.require_school_scope() }
    }

    /// The audit record of a write outside the school's database, to be inserted in that write's own transaction; with the reason why platform staff act here.
    #[must_use]
    pub fn audit_record(&self) -> Record {
        self.context.audit().record_of(Some(self.tenant.entry.tenant), Some(self.principal.user.0), P::CODE, true)
    }

    /// Names the child that the request is about in its audit record, where its path does not.
    pub fn set_audited_child(&self, child: Uuid) {
        self.context.audit().set_child(child);
    }

    /// That transaction committed: the school's own copy of its record says so too, even if the client does not wait for the answer.
    pub fn set_done(&self) {
        self.context.audit().set_done();
    }

    /// Takes leave to make an export, until the answer has been sent.
    ///
    /// # Errors
    /// [`Code::TooManyRequests`] when the school has its share, or there is no memory for one more.
    pub fn begin_export(&self) -> Result<()> {
        let begun = self.context.permits().begin_export(&self.app.exports, self.tenant.entry.tenant);
        if begun { Ok(()) } else { Err(Error::new(Code::TooManyRequests).after(BUSY)) }
    }

    /// The export has this size: the memory beyond it is given back at once.
    pub fn export_made(&self, bytes: usize) {
        self.context.permits().export_made(bytes);
    }

    /// The parts of the running API.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }
}

/// A verified token, whatever it may do. From here on the audit context knows the user.
impl FromRequestParts<App> for Principal {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        if let Some(principal) = parts.extensions.get::<Self>() {
            return Ok(principal.clone());
        }
        let context = RequestContext::from_request_parts(parts, app).await?;
        let principal = app.identity.authenticate(&parts.headers, context.audit(), AUTHENTICATE).await?;
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
        let context = RequestContext::from_request_parts(parts, app).await?;
        let audit = context.audit();
        audit.set(principal.tenant, Some(principal.user.0), P::CODE);
        let entry = tenant::resolve(&principal, &parts.headers, &app.registry_cache).await.inspect_err(|error| {
            // A school's audit must not reveal that a caller named another school, or one that does not exist.
            if matches!(error.code, Code::TenantMismatch | Code::InvalidTenant) {
                audit.set(None, Some(principal.user.0), P::CODE);
            }
        })?;
        context.set_tenant(entry.tenant);
        audit.set(Some(entry.tenant), Some(principal.user.0), P::CODE);
        context.permits().admit(&app.limits, entry.tenant, principal.user.0)?;
        let tenant = tenant::serving(entry)?;
        let grants = grants::of(app, &tenant, &principal).await?;
        let scope = grants.scope(P::CODE).or(P::EVERYBODYS.then_some(Scope::Own)).ok_or(Code::Forbidden)?;
        Ok(Self { app: app.clone(), tenant, principal, scope, context, permission: PhantomData })
    }
}
