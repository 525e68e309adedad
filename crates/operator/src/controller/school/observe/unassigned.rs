//! Observing where a School without recorded names may go.
//!
//! Must not reserve a place: `placement` does, in a step of its own.

use std::collections::BTreeMap;

use domain::condition::{ConditionStatus, ConditionType, Reason};
use domain::names::ServerName;
use domain::placement::{Candidate, Cause, Placement, Unplaced};
use domain::school::desired::{Desired, DesiredSchool};
use domain::server::{AllowedNamespaces, DesiredServer};
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use provisioning::master::{TenantRef, tenants};

use crate::controller::context::Context;
use crate::controller::error::Result;
use crate::crd::{School, convert};
use crate::kubernetes::cluster::namespace_labels;

/// Where a School without recorded names may go.
pub struct UnassignedObservation {
    options: Options,
    /// Where it would go with the present reservations; once reserved, where it goes.
    pub(super) placement: Result<Placement, Unplaced>,
}

/// What there is to choose from.
enum Options {
    /// Nothing: the School is being deleted.
    Deleted,
    /// The server that the registry has for this tenant, because a status was lost.
    Registered(ServerName),
    /// These servers.
    Candidates(Vec<Candidate>),
}

/// Observes where the School may go.
///
/// # Errors
/// When the registry or the API server does not answer.
pub(super) async fn observe(ctx: &Context, school: &School, desired: &Desired, owner: TenantRef) -> Result<UnassignedObservation> {
    let options = match desired {
        Desired::Deleted(_) => Options::Deleted,
        Desired::Present(desired) => {
            if let Some(server) = registered(ctx, owner).await? {
                Options::Registered(server)
            } else {
                ctx.reservations_loaded.wait().await;
                Options::Candidates(candidates(ctx, school, desired).await?)
            }
        }
    };
    let placement = options.placement(desired, |school, candidates| ctx.reservations.preview(owner.id, &school.placement, candidates));
    Ok(UnassignedObservation { options, placement })
}

impl UnassignedObservation {
    /// The server that the registry has for this tenant.
    pub(in crate::controller::school) fn registered(&self) -> Option<&ServerName> {
        match &self.options {
            Options::Registered(server) => Some(server),
            Options::Deleted | Options::Candidates(_) => None,
        }
    }

    /// Chooses again, with `choose` where there are several servers.
    pub(in crate::controller::school) fn choose_again(
        &mut self,
        desired: &Desired,
        choose: impl FnOnce(&DesiredSchool, &[Candidate]) -> Result<Placement, Unplaced>,
    ) {
        self.placement = self.options.placement(desired, choose);
    }
}

impl Options {
    fn placement(
        &self,
        desired: &Desired,
        choose: impl FnOnce(&DesiredSchool, &[Candidate]) -> Result<Placement, Unplaced>,
    ) -> Result<Placement, Unplaced> {
        match (self, desired) {
            (Self::Registered(server), Desired::Present(school)) => {
                let reason = "the registry has this tenant on that server".to_owned();
                Ok(Placement { server: server.clone(), tier: school.placement.tier, reason })
            }
            (Self::Candidates(candidates), Desired::Present(school)) => choose(school, candidates),
            (Self::Deleted, _) | (_, Desired::Deleted(_)) => {
                Err(Unplaced { cause: Cause::NotFound, message: "the School is being deleted and was never placed".to_owned() })
            }
        }
    }
}

async fn registered(ctx: &Context, owner: TenantRef) -> Result<Option<ServerName>> {
    let observed = tenants::observe(&ctx.registry, owner.id, None, None).await?;
    Ok(observed.row.filter(|row| row.is_of(owner)).and_then(|row| row.server))
}

async fn candidates(ctx: &Context, school: &School, desired: &DesiredSchool) -> Result<Vec<Candidate>> {
    let servers = servers(ctx);
    let selective = servers.iter().any(|(_, desired, _)| desired.allowed != AllowedNamespaces::All);
    let namespace = school.namespace().unwrap_or_default();
    let labels = if selective { namespace_labels(&ctx.client, &namespace).await?.unwrap_or_default() } else { BTreeMap::default() };
    let requested = desired.placement.server.as_ref();
    let servers = servers.into_iter().filter(|(name, ..)| requested.is_none_or(|requested| requested == name));
    let candidates = servers.map(|(name, desired, placeable)| Candidate {
        namespace_allowed: desired.allowed.allows(&labels),
        tiers: desired.tiers,
        schedulable: desired.schedulable,
        ready: placeable,
        explanation: if placeable { None } else { explanation(ctx, &name) },
        schools: 0,
        capacity: desired.max_schools,
        name,
    });
    Ok(candidates.collect())
}

/// Every server, and whether schools can be placed there. One that could not be observed, such as another cluster's, is there all the same.
fn servers(ctx: &Context) -> Vec<(ServerName, DesiredServer, bool)> {
    let observed = ctx.servers.all().into_iter().map(|(name, state)| (name, state.desired, state.placeable));
    let mut servers: Vec<_> = observed.collect();
    for object in ctx.server_objects.state() {
        let (Ok(name), Ok(desired)) = (ServerName::parse(&object.name_any()), convert::spec(&object)) else { continue };
        if servers.iter().all(|(observed, ..)| *observed != name) {
            servers.push((name, desired, false));
        }
    }
    servers
}

/// What the server's object says of why it is not ready: the reason. Its message may name other servers and is for those who may read the object, except where
/// it says what a person does about it for the schools.
fn explanation(ctx: &Context, name: &ServerName) -> Option<String> {
    let object = ctx.server_objects.get(&ObjectRef::new(name.as_str()))?;
    let conditions = object.status.as_ref()?.conditions.as_deref()?;
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == ConditionType::Ready.label() && condition.status != ConditionStatus::True.label())?;
    let advises = [Reason::PasswordRefused, Reason::OwnedByAnother].iter().any(|reason| ready.reason == reason.label());
    Some(if advises { format!("{}: {}", ready.reason, ready.message) } else { ready.reason.clone() })
}
