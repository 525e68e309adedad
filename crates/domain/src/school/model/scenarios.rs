//! Where paths lead: drift settles again, and the steps of the main stories stand in a golden file.
//!
//! Must not assert single facts: the exhaustive properties do.

use std::fmt::Write as _;

use super::*;

/// Where a settled school stands.
fn settle(desired: &Desired, mut observed: ObservedSchool) -> ObservedSchool {
    while let Plan::Execute(action) = plan(desired, &observed) {
        observed = apply(&observed, &action);
    }
    observed
}

#[test]
fn whatever_single_fact_drifts_a_served_school_settles_again_or_says_why() {
    let desired = Desired::Present(Box::new(school(false, 2)));
    let settled = settle(&desired, ObservedSchool { finalizer: false, assignment: Assignment::Unassigned(Ok(placement())) });
    let distance = |world: &ObservedSchool| {
        let (Assignment::Assigned(a), Assignment::Assigned(b)) = (&settled.assignment, &world.assignment) else { return 9 };
        let (ServerObservation::Available(x), ServerObservation::Available(y)) = (a.server, b.server) else { return 9 };
        [
            settled.finalizer != world.finalizer,
            a.tenant != b.tenant,
            a.existed != b.existed,
            a.secret != b.secret,
            a.admin != b.admin,
            a.reset != b.reset,
            x.database != y.database,
            x.login != y.login,
            x.spare != y.spare,
            x.template != y.template,
        ]
        .into_iter()
        .filter(|differs| *differs)
        .count()
    };
    let drifted: Vec<_> = worlds().iter().filter(|world| distance(world) == 1).collect();
    assert!(drifted.len() > 40, "{}", drifted.len());
    for world in drifted {
        let end = settle(&desired, world.clone());
        assert!(matches!(plan(&desired, &end), Plan::Settled | Plan::Refuse(_) | Plan::Wait(Waiting::Secret)), "{world:?} ends at {end:?}");
    }
}

/// Just assigned, with its finalizer.
fn fresh_school() -> ObservedSchool {
    ObservedSchool { finalizer: true, assignment: Assignment::Assigned(super::apply::fresh()) }
}

/// The steps from one world to its end, as text.
fn transcript(desired: &Desired, mut observed: ObservedSchool) -> String {
    let mut text = String::new();
    loop {
        match plan(desired, &observed) {
            Plan::Execute(action) => {
                let _ = writeln!(text, "{action:?}");
                observed = apply(&observed, &action);
            }
            end => return text + &format!("{end:?}\n"),
        }
    }
}

/// A served school of which something is lost or in the way.
fn lost_and_blocked(served: &ObservedSchool) -> [(&'static str, Desired, ObservedSchool); 6] {
    let kept = |suspended| Desired::Present(Box::new(school(suspended, 2)));
    let change = |school: &ObservedSchool, change: fn(&mut AssignedSchool)| {
        let mut changed = school.clone();
        if let Assignment::Assigned(assigned) = &mut changed.assignment {
            change(assigned);
        }
        changed
    };
    let set_back = change(served, |assigned| {
        assigned.tenant = ObservedTenant::Absent;
        assigned.server = ServerObservation::Available(CatalogFacts {
            database: ObservedDatabase::Absent,
            login: ObservedLogin::Absent,
            spare: true,
            template: true,
        });
    });
    let rowless = change(served, |assigned| assigned.tenant = ObservedTenant::Absent);
    let blocked = change(served, |assigned| assigned.secret = ObservedSecret::Foreign);
    let never_owned = change(&fresh_school(), |assigned| {
        assigned.tenant = ObservedTenant::Ours { state: TenantState::Provisioning, current: false };
        assigned.server = ServerObservation::Available(CatalogFacts {
            database: ObservedDatabase::Foreign { entered: false },
            login: ObservedLogin::Absent,
            spare: true,
            template: true,
        });
    });
    [
        ("a served school's server went back to a time before the school", kept(false), set_back.clone()),
        ("a served school whose server went back is deleted", Desired::Deleted(DeletionPolicy::Retain), set_back),
        ("a served school with a foreign Secret is suspended", kept(true), blocked),
        ("a served school whose row is lost is deleted with its data", Desired::Deleted(DeletionPolicy::Delete), rowless.clone()),
        ("a served school whose row is lost is deleted and retained", Desired::Deleted(DeletionPolicy::Retain), rowless),
        ("a school that never owned its database is deleted", Desired::Deleted(DeletionPolicy::Retain), never_owned),
    ]
}

/// A served school whose administrator should have another password.
fn with_request(desired: &Desired, served: &ObservedSchool) -> [(&'static str, Desired, ObservedSchool); 3] {
    let requested = |school: &ObservedSchool, reset| {
        let mut changed = school.clone();
        if let Assignment::Assigned(assigned) = &mut changed.assignment {
            assigned.reset = reset;
        }
        changed
    };
    let superseded = ObservedReset::Requested(ObservedResetSecret::Superseded);
    [
        ("another password is asked for", desired.clone(), requested(served, superseded)),
        ("another password is asked for of an administrator that is unclear", desired.clone(), requested(served, ObservedReset::Unclear)),
        (
            "another password is asked for of a school that is to be suspended",
            Desired::Present(Box::new(school(true, 2))),
            requested(served, superseded),
        ),
    ]
}

/// Schools on a server whose template of the operator's schema could not be built yet.
fn without_template(desired: &Desired, served: &ObservedSchool, closed: &ObservedSchool) -> [(&'static str, Desired, ObservedSchool); 4] {
    let on_server = |school: &ObservedSchool, change: fn(&mut AssignedSchool)| {
        let mut changed = school.clone();
        if let Assignment::Assigned(assigned) = &mut changed.assignment {
            change(assigned);
            if let ServerObservation::Available(catalog) = &mut assigned.server {
                catalog.template = false;
            }
        }
        changed
    };
    let nothing = |_: &mut AssignedSchool| {};
    let without_secret = |assigned: &mut AssignedSchool| assigned.secret = ObservedSecret::Absent;
    [
        ("a new school meets a server without a template", desired.clone(), on_server(&fresh_school(), nothing)),
        ("a newer operator meets a served school before the server has its template", desired.clone(), on_server(served, nothing)),
        ("a served school that waits for the template loses its Secret", desired.clone(), on_server(served, without_secret)),
        ("a suspended school is resumed before the server has the template", desired.clone(), on_server(closed, nothing)),
    ]
}

#[test]
fn planner_transcripts_are_as_recorded() {
    let new = ObservedSchool { finalizer: false, assignment: Assignment::Unassigned(Ok(placement())) };
    let kept = |suspended, schema| Desired::Present(Box::new(school(suspended, schema)));
    let served = settle(&kept(false, 2), new.clone());
    let closed = settle(&kept(true, 2), served.clone());
    let lost = {
        let mut lost = served.clone();
        if let Assignment::Assigned(assigned) = &mut lost.assignment {
            assigned.server = ServerObservation::Available(CatalogFacts {
                database: ObservedDatabase::Absent,
                login: ObservedLogin::Matching,
                spare: true,
                template: true,
            });
        }
        lost
    };
    let lost_and_blocked = lost_and_blocked(&served);
    let with_request = with_request(&kept(false, 2), &served);
    let without_template = without_template(&kept(false, 4), &served, &closed);
    let scenarios = [
        ("a new school", kept(false, 2), new.clone()),
        ("a new school, suspended from the start", kept(true, 2), new.clone()),
        (
            "a new school when no server has room",
            kept(false, 2),
            ObservedSchool {
                finalizer: false,
                assignment: Assignment::Unassigned(Err(Unplaced { cause: Cause::NoCapacity, message: "pg-1 is full".into() })),
            },
        ),
        ("a served school is suspended", kept(true, 2), served.clone()),
        ("a suspended school is resumed", kept(false, 2), closed.clone()),
        ("a newer operator meets a served school", kept(false, 4), served.clone()),
        ("an older operator meets a served school", kept(false, 1), served.clone()),
        ("a served school's database is lost", kept(false, 2), lost),
        ("a served school is deleted and retained", Desired::Deleted(DeletionPolicy::Retain), served.clone()),
        ("a served school is deleted with its data", Desired::Deleted(DeletionPolicy::Delete), served),
        ("a suspended school is deleted with its data", Desired::Deleted(DeletionPolicy::Delete), closed),
        ("a school is deleted before it was placed", Desired::Deleted(DeletionPolicy::Delete), ObservedSchool { finalizer: true, ..new }),
    ];
    let text = scenarios
        .into_iter()
        .chain(lost_and_blocked)
        .chain(without_template)
        .chain(with_request)
        .fold(String::new(), |text, (title, desired, observed)| text + "# " + title + "\n" + &transcript(&desired, observed) + "\n");
    insta::with_settings!({ snapshot_path => "../../../tests/golden", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("planner_transcripts", text);
    });
}
