//! The planner's view of an observation.
//!
//! Must not read any source: it only judges what was read.

use domain::school::observed::{self, AssignedSchool, ObservedAdmin, ObservedAdminSecret, ObservedSchool, ObservedSecret, SecretContent};
use kube::ResourceExt as _;
use provisioning::master::users::Account;

use super::{AssignedObservation, Assignment, Observation};
use crate::controller::context::Context;
use crate::controller::school::FINALIZER;

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
            tenant: self.tenant(observation.owner, current),
            secret: self.secret_facts(ctx, observation),
            admin: match self.registry.admin {
                Account::Made => ObservedAdmin::Exists,
                Account::EmailTaken => ObservedAdmin::EmailTaken,
                Account::Absent => ObservedAdmin::Missing(self.admin_secret_facts(observation)),
            },
            server: self.server,
        }
    }

    fn secret_facts(&self, ctx: &Context, observation: &Observation) -> ObservedSecret {
        let Some(secret) = &self.secret else { return ObservedSecret::Absent };
        if !secret.is_controlled_by(&observation.owner.school.to_string()) {
            return ObservedSecret::Foreign;
        }
        let Some(password) = self.password() else { return ObservedSecret::Ours(SecretContent::Unusable) };
        // Without the server's address the other keys cannot be judged, and nothing is done about them either.
        let desired = self.desired_secret(ctx, observation, password);
        let matches = desired.is_none_or(|desired| secret.matches(&desired));
        ObservedSecret::Ours(if matches { SecretContent::Current } else { SecretContent::Stale })
    }

    fn admin_secret_facts(&self, observation: &Observation) -> ObservedAdminSecret {
        match &self.admin_secret {
            None => ObservedAdminSecret::Absent,
            Some(secret) if secret.is_controlled_by(&observation.owner.school.to_string()) && secret.password().is_some() => {
                ObservedAdminSecret::Ours
            }
            Some(_) => ObservedAdminSecret::Foreign,
        }
    }
}
