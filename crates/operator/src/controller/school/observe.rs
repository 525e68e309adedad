//! Observing one School: its object, the registry, its Secrets and its server's catalogs, each part from its own source.
//!
//! Must not change anything but this process's memory of logins that work and of servers to recheck. Every source answers or the observation fails; only a server
//! that does not answer, or a Secret that cannot be read, is itself a fact.

mod assigned;
mod contents;
mod facts;
pub mod secrets;
mod unassigned;

use domain::names::{SchoolCode, SchoolUid, TenantId};
use domain::school::desired::Desired;
use domain::school::observed::Names;
use kube::ResourceExt as _;
use provisioning::master::TenantRef;
use provisioning::master::tenants::{self, RegistryObservation};
use uuid::Uuid;

pub use self::assigned::AssignedObservation;
pub(super) use self::assigned::record_proof;
pub use self::unassigned::UnassignedObservation;
use crate::controller::context::Context;
use crate::controller::error::{Error, Result};
use crate::crd::{School, convert};

/// Everything known of one School.
pub struct Observation {
    /// The object, as last read or written.
    pub school: School,
    /// What it asks for.
    pub desired: Desired,
    /// The tenant, and the School and cluster that its row is written for.
    pub owner: TenantRef,
    /// What exists under the recorded names, or where the School would be placed.
    pub assignment: Assignment,
}

/// Whether names and a server are recorded, and what belongs to that.
pub enum Assignment {
    /// No names are recorded.
    Unassigned(UnassignedObservation),
    /// Names are recorded.
    Assigned(Box<AssignedObservation>),
}

/// Observes everything.
///
/// # Errors
/// When the spec or the recorded names cannot be used, or a source does not answer.
pub async fn observe(ctx: &Context, school: School) -> Result<Observation> {
    let desired = convert::desired(&school, ctx.migrations.target())?;
    let uid = school.uid().and_then(|uid| Uuid::parse_str(&uid).ok());
    let uid = SchoolUid(uid.ok_or_else(|| Error::Bug("the School has no uid".to_owned()))?);
    let mut names = convert::names(school.status.as_ref())?;
    let tenant = names.as_ref().map_or_else(|| TenantId::of(ctx.cluster, uid), |names| names.tenant);
    let owner = TenantRef { id: tenant, school: uid, cluster: ctx.cluster };
    if let (None, Desired::Deleted(_)) = (&names, &desired) {
        names = registered_names(ctx, &school, owner).await?;
    }
    let assignment = match names {
        Some(names) => Assignment::Assigned(Box::new(assigned::observe(ctx, &school, &desired, owner, names).await?)),
        None => Assignment::Unassigned(unassigned::observe(ctx, &school, &desired, owner).await?),
    };
    Ok(Observation { school, desired, owner, assignment })
}

/// The names of a School that is being deleted and whose status was lost: what the registry has for it must not outlive it.
async fn registered_names(ctx: &Context, school: &School, owner: TenantRef) -> Result<Option<Names>> {
    let row = tenants::observe(&ctx.registry, owner.id, None, None).await?.row.filter(|row| row.is_of(owner));
    let Some((row, server)) = row.and_then(|row| row.server.clone().map(|server| (row, server))) else { return Ok(None) };
    let code = SchoolCode::parse(&row.code).map_err(|source| convert::SpecError { field: "spec.code", source })?;
    Ok(Some(convert::derived_names(school, owner.id, &code, server)?))
}

/// What the registry says about one School.
///
/// # Errors
/// When it does not answer.
async fn registry(ctx: &Context, school: &School, desired: &Desired, tenant: TenantId) -> Result<RegistryObservation> {
    let (code, email) = match desired {
        Desired::Present(desired) => (Some(desired.code.clone()), Some(desired.admin.email.as_str())),
        // A code that cannot be used is nobody's.
        Desired::Deleted(_) => (SchoolCode::parse(&school.spec.code).ok(), None),
    };
    Ok(tenants::observe(&ctx.registry, tenant, code.as_ref(), email).await?)
}

impl Observation {
    /// Reads the registry's row again.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub(super) async fn refresh_registry(&mut self, ctx: &Context) -> Result<()> {
        if let Assignment::Assigned(assigned) = &mut self.assignment {
            assigned.registry = registry(ctx, &self.school, &self.desired, self.owner.id).await?;
        }
        Ok(())
    }

    /// Reads the server's catalogs again.
    ///
    /// # Errors
    /// When the server answered, but not what was asked.
    pub(super) async fn refresh_server(&mut self, ctx: &Context) -> Result<()> {
        if let Assignment::Assigned(assigned) = &mut self.assignment {
            assigned.observe_server(ctx, &self.school, &self.desired, self.owner).await?;
        }
        Ok(())
    }

    /// Why a Secret could not be read, if one could not.
    pub(super) fn take_secret_error(&mut self) -> Option<Error> {
        let Assignment::Assigned(assigned) = &mut self.assignment else { return None };
        assigned.secret.take_error().or_else(|| assigned.admin_secret.take_error())
    }
}
