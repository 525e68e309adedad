//! The operator dies before and after every action there is, and its successor ends where an undisturbed one does: same tenant, same names, same
//! password, one database, one login, one row.
//!
//! One world for all of it; only the operator's process is new each time. A School is changed while no operator runs, so that the one that is to die meets
//! nothing but that change.

mod change;
mod migrating;
mod schools;
mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use domain::{school, server};
use postgres::schema::{Kind, Migrations};
use tempfile::TempDir;

use self::change::{Change, ExpectedEnd, REMOVAL_RUNS, SCHEMA_RUNS, SCHOOL_RUNS, SERVER_RUNS};
use crate::oracle::{Oracle, State};
use crate::world::{Setup, World, run};

#[test]
fn every_action_has_a_run() {
    let runs = SCHOOL_RUNS.iter().map(|(action, _)| action).chain(SCHEMA_RUNS).chain(SERVER_RUNS).chain(REMOVAL_RUNS);
    let actions = [school::action::Action::labels(), server::action::Action::labels()].concat();
    assert_eq!(runs.copied().collect::<BTreeSet<_>>(), actions.into_iter().collect());
}

#[test]
fn an_operator_killed_before_or_after_any_action_is_continued_by_its_successor() {
    run(async {
        let mut fixture = Box::pin(Fixture::set()).await;
        fixture.die_while_migrating().await;
        fixture.die_while_a_server_comes_and_goes().await;
        fixture.die_on_schools().await;
        fixture.oracle.assert_nothing_leaked().await;
        fixture.world.assert_statuses_are_true(&fixture.namespace).await;
    });
}

struct Fixture {
    world: World,
    oracle: Oracle,
    namespace: String,
    schema: TempDir,
    /// What an undisturbed operator makes of it.
    ends: BTreeMap<ExpectedEnd, State>,
}

impl Fixture {
    /// A world whose operator reads its schema from a directory.
    async fn set() -> Self {
        let schema = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config/schema/tenant")).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, schema.path().join(path.file_name().unwrap())).unwrap();
        }
        let arguments = vec!["--schema-dir".to_owned(), schema.path().to_str().unwrap().to_owned()];
        let world = World::new(Setup { arguments, ..Setup::default() }).await;
        let namespace = world.fresh_namespace().await;
        let target = Migrations::from_dir(Kind::Tenant, schema.path()).unwrap().target();
        world.until("the master database is made", async || world.operator.log().contains("server_build_template")).await;
        let oracle = Oracle::of(&world, target).await;
        let mut fixture = Self { world, oracle, namespace, schema, ends: BTreeMap::new() };
        fixture.undisturbed(&[Change::Create]).await;
        fixture
    }

    /// Starts an operator that dies where it is told to, waits for its death, and starts its successor. Returns what must not change from then on.
    async fn die(&mut self, moment: &str, action: &str, codes: &[&str]) -> Vec<BTreeMap<&'static str, String>> {
        self.world.start_operator(&[("DAILYCARE_ABORT", &format!("{moment}:{action}"))]);
        let status = self.world.operator.ended().await;
        assert!(matches!(status, Ok(Some(134))), "{moment} {action}: {status:?} is no abort\n{}", self.world.log_tail());
        let mut memories = Vec::new();
        for code in codes {
            memories.push(self.oracle.memory(&self.namespace, code).await);
        }
        self.world.start_operator(&[]);
        memories
    }

    /// Waits until a School is where an undisturbed one would be.
    async fn settled(&mut self, what: &str, end: ExpectedEnd, code: &str) {
        let expected = &self.ends[&end];
        if let Err(last) = self.oracle.until_state(&self.namespace, code, expected).await {
            panic!("{what}: {last:#?}\nis not what an undisturbed operator leaves: {expected:#?}\n{}", self.world.log_tail());
        }
    }
}

/// Templates, spares and what is neither yet.
async fn databases(conn: &mut sqlx::PgConnection) -> Vec<String> {
    let query = "SELECT datname::text FROM pg_database WHERE datname ~ '^dc_' ORDER BY 1";
    sqlx::query_scalar(query).fetch_all(conn).await.unwrap()
}
