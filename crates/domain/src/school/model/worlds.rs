//! Every pair of what may be desired and what may be observed.
//!
//! Must leave out no combination of facts, reachable or not, but those that contradict what a fact means.

use std::sync::LazyLock;

use super::*;

pub(super) fn desires() -> Vec<Desired> {
    let kept = [false, true].into_iter().flat_map(|suspended| [1, 2].map(|schema| Desired::Present(Box::new(school(suspended, schema)))));
    kept.chain([DeletionPolicy::Retain, DeletionPolicy::Delete].map(Desired::Deleted)).collect()
}

fn tenants() -> Vec<ObservedTenant> {
    let ours = STATES.into_iter().flat_map(|state| [false, true].map(|current| ObservedTenant::Ours { state, current }));
    [ObservedTenant::Absent, ObservedTenant::OfAnother, ObservedTenant::Reassigned].into_iter().chain(ours).collect()
}

fn servers() -> Vec<ServerObservation> {
    let unusable = Unavailable::Unusable(Reason::AuthenticationFailed);
    let unavailable = [Unavailable::NotFound, Unavailable::Unreachable, Unavailable::NotReady, Unavailable::IdentityMismatch, unusable]
        .map(ServerObservation::Unavailable);
    let ours = (0..4).flat_map(|version| {
        [false, true]
            .into_iter()
            .flat_map(move |genuine| ACCESSES.map(|access| ObservedDatabase::Ours { schema: Schema { version, genuine }, access }))
    });
    let foreign = [false, true].map(|entered| ObservedDatabase::Foreign { entered });
    let databases = [ObservedDatabase::Absent, ObservedDatabase::Broken].into_iter().chain(foreign).chain(ours);
    let catalog = databases.flat_map(|database| {
        [ObservedLogin::Absent, ObservedLogin::Foreign, ObservedLogin::Matching, ObservedLogin::Differing]
            .into_iter()
            // Only a login of ours enters a foreign database as far as we know.
            .filter(move |login| {
                database != ObservedDatabase::Foreign { entered: true }
                    || matches!(login, ObservedLogin::Matching | ObservedLogin::Differing)
            })
            .flat_map(move |login| {
                [(false, false), (false, true), (true, false), (true, true)]
                    .map(|(spare, template)| ServerObservation::Available(CatalogFacts { database, login, spare, template }))
            })
    });
    unavailable.into_iter().chain(catalog).collect()
}

fn resets() -> Vec<ObservedReset> {
    let secrets = [
        ObservedResetSecret::Absent,
        ObservedResetSecret::Foreign,
        ObservedResetSecret::Superseded,
        ObservedResetSecret::Issued,
        ObservedResetSecret::Unread,
    ];
    let others = [ObservedReset::NotRequested, ObservedReset::Invalid, ObservedReset::Unclear];
    others.into_iter().chain(secrets.map(ObservedReset::Requested)).collect()
}

/// Every world. Made once: the tests share it.
pub(super) fn worlds() -> &'static [ObservedSchool] {
    static WORLDS: LazyLock<Vec<ObservedSchool>> = LazyLock::new(every_world);
    &WORLDS
}

fn every_world() -> Vec<ObservedSchool> {
    let secrets = [ObservedSecret::Absent, ObservedSecret::Foreign, ObservedSecret::Unread]
        .into_iter()
        .chain([SecretContent::Current, SecretContent::Stale, SecretContent::Unusable].map(ObservedSecret::Ours));
    let admins: Vec<_> = [ObservedAdmin::Exists, ObservedAdmin::EmailTaken]
        .into_iter()
        .chain(
            [ObservedAdminSecret::Absent, ObservedAdminSecret::Foreign, ObservedAdminSecret::Ours, ObservedAdminSecret::Unread]
                .map(ObservedAdmin::Missing),
        )
        .collect();
    // A request is only one while there is an administrator.
    let admins: Vec<_> = admins
        .into_iter()
        .flat_map(|admin| {
            if admin == ObservedAdmin::Exists { resets() } else { vec![ObservedReset::NotRequested] }
                .into_iter()
                .map(move |reset| (admin, reset))
        })
        .collect();
    let mut all = Vec::new();
    let unplaced = Unplaced { cause: Cause::NoCapacity, message: "pg-1 is full".into() };
    for finalizer in [false, true] {
        all.extend(
            [Ok(placement()), Err(unplaced.clone())].map(|placed| ObservedSchool { finalizer, assignment: Assignment::Unassigned(placed) }),
        );
        for (secret, &(admin, reset)) in secrets.clone().flat_map(|secret| admins.iter().map(move |admin| (secret, admin))) {
            for (tenant, server) in tenants().into_iter().flat_map(|tenant| servers().into_iter().map(move |server| (tenant, server))) {
                // Whether requests use the login's password matters to the status alone, whose tests try both.
                let routed = matches!(server, ServerObservation::Available(catalog) if catalog.login == ObservedLogin::Matching);
                all.extend([false, true].map(|existed| ObservedSchool {
                    finalizer,
                    assignment: Assignment::Assigned(AssignedSchool {
                        names: names(),
                        existed,
                        tenant,
                        routed,
                        secret,
                        admin,
                        reset,
                        server,
                    }),
                }));
            }
        }
    }
    all
}
