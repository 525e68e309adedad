//! The planner's view of an observation.
//!
//! Must not read any source: it only judges what was read.

use domain::school::observed::{
    self, AssignedSchool, ObservedAdmin, ObservedAdminSecret, ObservedReset, ObservedResetSecret, ObservedSchool, ObservedSecret,
    SecretContent,
};
use kube::ResourceExt as _;
use provisioning::master::users::Account;

use super::secrets::SecretReading;
use super::{AssignedObservation, Assignment, Observation};
use crate::controller::context::Context;
use crate::controller::school::FINALIZER;
use crate::crd::convert;

impl Observation {
    /// The planner's view of it.
    #[must_use]
    pub fn facts(&self, ctx: &Context) -> ObservedSchool {
        let assignment = match &self.assignment {
            Assignment::Unassigned(unassigned) => observed::Assignment::Unassigned(unassigned.placement.clone()),
            Assignment::Assigned(assigned) => observed::Assignment::Assigned(assigned.facts(self, ctx)),
        };
        ObservedSchool { finalizer: self.school.finalizers().iter().any(|present| present == FINALIZER), assignment }
    }
}

impl AssignedObservation {
    fn facts(&self, observation: &Observation, ctx: &Context) -> AssignedSchool {
        let publication = self.publication(ctx, observation);
        let current = publication.is_some_and(|desired| self.registry.row.as_ref().is_some_and(|row| row.matches(&desired, &ctx.keyring)));
        AssignedSchool {
            names: self.names.clone(),
            existed: self.existed(observation),
            routed: self.routed(ctx, observation.owner),
            tenant: self.tenant(observation.owner, current),
            secret: self.secret_facts(ctx, observation),
            admin: match self.registry.admin {
                Account::Made => ObservedAdmin::Exists,
                Account::EmailTaken => ObservedAdmin::EmailTaken,
                Account::Absent => ObservedAdmin::Missing(self.admin_secret_facts()),
            },
            reset: self.reset_facts(observation),
            server: self.server,
        }
    }

    /// The registry says in the same transaction that a request was acted on. Where it was set back to an earlier time the account was, too: the request is acted
    /// on again, with the password that its Secret has.
    fn reset_facts(&self, observation: &Observation) -> ObservedReset {
        let Some(request) = convert::reset_request(&observation.school).filter(|_| self.registry.admin == Account::Made) else {
            return ObservedReset::NotRequested;
        };
        let Ok(request) = request else { return ObservedReset::Invalid };
        if self.registry.admin_reset.as_deref() == Some(request.as_str()) {
            return ObservedReset::NotRequested;
        }
        let Some(email) = &self.registry.administrator else { return ObservedReset::Unclear };
        ObservedReset::Requested(match &self.admin_secret {
            SecretReading::Absent => ObservedResetSecret::Absent,
            SecretReading::Foreign => ObservedResetSecret::Foreign,
            SecretReading::Ours(secret) if secret.is_issued_for(&request, email) => ObservedResetSecret::Issued,
            SecretReading::Ours(_) => ObservedResetSecret::Superseded,
            SecretReading::Failed(_) | SecretReading::NotNeeded => ObservedResetSecret::Unread,
        })
    }

    fn secret_facts(&self, ctx: &Context, observation: &Observation) -> ObservedSecret {
        let secret = match &self.secret {
            SecretReading::Absent => return ObservedSecret::Absent,
            SecretReading::Foreign => return ObservedSecret::Foreign,
            SecretReading::Failed(_) | SecretReading::NotNeeded => return ObservedSecret::Unread,
            SecretReading::Ours(secret) => secret,
        };
        let Some(password) = self.password() else { return ObservedSecret::Ours(SecretContent::Unusable) };
        // Without the server's address the other keys cannot be judged, and nothing is done about them either.
        let desired = self.desired_secret(ctx, observation, password);
        let matches = desired.is_none_or(|desired| secret.matches(&desired));
        ObservedSecret::Ours(if matches { SecretContent::Current } else { SecretContent::Stale })
    }

    /// The status says so since the database was first there, and the registry since a route was published: either may be lost.
    fn existed(&self, observation: &Observation) -> bool {
        let status = observation.school.status.as_ref();
        let recorded = status.is_some_and(|status| {
            status.schema.is_some() || status.database.as_ref().is_some_and(|database| database.created_at.is_some())
        });
        let row = self.registry.row.as_ref().filter(|row| row.is_of(observation.owner));
        recorded || row.is_some_and(|row| row.schema_version.is_some())
    }

    fn admin_secret_facts(&self) -> ObservedAdminSecret {
        match &self.admin_secret {
            SecretReading::Absent => ObservedAdminSecret::Absent,
            SecretReading::Ours(secret) if secret.password().is_some() => ObservedAdminSecret::Ours,
            SecretReading::Ours(_) | SecretReading::Foreign => ObservedAdminSecret::Foreign,
            SecretReading::Failed(_) | SecretReading::NotNeeded => ObservedAdminSecret::Unread,
        }
    }
}
