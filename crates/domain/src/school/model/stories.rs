//! Where paths lead: drift settles again, and the steps of the main stories stand in a golden file.

use std::fmt::Write as _;

use super::*;

/// Where a settled school stands.
fn settle(wanted: &Wanted, mut seen: Seen) -> Seen {
    while let Plan::Act(action) = plan(wanted, &seen) {
        seen = effect(&seen, &action);
    }
    seen
}

#[test]
fn whatever_single_fact_drifts_a_served_school_settles_again_or_says_why() {
    let wanted = Wanted::Kept(Box::new(ask(false, 2)));
    let settled = settle(&wanted, Seen { finalizer: false, binding: Binding::Unbound(Ok(choice())) });
    let distance = |world: &Seen| {
        let (Binding::Bound(a), Binding::Bound(b)) = (&settled.binding, &world.binding) else { return 9 };
        let (Server::Here(x), Server::Here(y)) = (a.server, b.server) else { return 9 };
        [
            settled.finalizer != world.finalizer,
            a.tenant != b.tenant,
            a.secret != b.secret,
            a.admin != b.admin,
            x.database != y.database,
            x.login != y.login,
            x.spare != y.spare,
        ]
        .into_iter()
        .filter(|differs| *differs)
        .count()
    };
    let drifted: Vec<_> = worlds().into_iter().filter(|world| distance(world) == 1).collect();
    assert!(drifted.len() > 40, "{}", drifted.len());
    for world in drifted {
        let end = settle(&wanted, world.clone());
        assert!(matches!(plan(&wanted, &end), Plan::Settled | Plan::Refuse(_)), "{world:?} ends at {end:?}");
    }
}

/// The steps from one world to its end, as text.
fn transcript(wanted: &Wanted, mut seen: Seen) -> String {
    let mut text = String::new();
    loop {
        match plan(wanted, &seen) {
            Plan::Act(action) => {
                let _ = writeln!(text, "{action:?}");
                seen = effect(&seen, &action);
            }
            end => return text + &format!("{end:?}\n"),
        }
    }
}

#[test]
fn planner_transcripts_are_as_recorded() {
    let new = Seen { finalizer: false, binding: Binding::Unbound(Ok(choice())) };
    let kept = |suspended, schema| Wanted::Kept(Box::new(ask(suspended, schema)));
    let served = settle(&kept(false, 2), new.clone());
    let closed = settle(&kept(true, 2), served.clone());
    let lost = {
        let mut lost = served.clone();
        if let Binding::Bound(bound) = &mut lost.binding {
            bound.server = Server::Here(OnServer { database: Database::Absent, login: Login::Matching, spare: true });
        }
        lost
    };
    let stories = [
        ("a new school", kept(false, 2), new.clone()),
        ("a new school, suspended from the start", kept(true, 2), new.clone()),
        (
            "a new school when no server has room",
            kept(false, 2),
            Seen {
                finalizer: false,
                binding: Binding::Unbound(Err(Unplaced { cause: Cause::NoCapacity, message: "pg-1 is full".into() })),
            },
        ),
        ("a served school is suspended", kept(true, 2), served.clone()),
        ("a suspended school is resumed", kept(false, 2), closed.clone()),
        ("a newer operator meets a served school", kept(false, 4), served.clone()),
        ("an older operator meets a served school", kept(false, 1), served.clone()),
        ("a served school's database is lost", kept(false, 2), lost),
        ("a served school is deleted and retained", Wanted::Gone(OnDelete::Retain), served.clone()),
        ("a served school is deleted with its data", Wanted::Gone(OnDelete::Delete), served),
        ("a suspended school is deleted with its data", Wanted::Gone(OnDelete::Delete), closed),
        ("a school is deleted before it was placed", Wanted::Gone(OnDelete::Delete), Seen { finalizer: true, ..new }),
    ];
    let text = stories
        .into_iter()
        .fold(String::new(), |text, (title, wanted, seen)| text + "# " + title + "\n" + &transcript(&wanted, seen) + "\n");
    insta::with_settings!({ snapshot_path => "../../../tests/golden", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("planner_transcripts", text);
    });
}
