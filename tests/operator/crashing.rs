//! The operator dies before and after every effect there is, and its successor ends where an undisturbed one does: same tenant, same names, same
//! password, one database, one login, one row.
//!
//! One world for all of it; only the operator's process is new each time. What is done to a School is done while no operator runs, so that the one that
//! is to die meets nothing else than that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;

use domain::{school, server};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use operator::crd::DatabaseServer;
use postgres::schema::{Kind, Migrations, short};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _};
use tempfile::TempDir;
use testing::{Postgres, PostgresOptions, Version};

use crate::oracle::{Oracle, State};
use crate::world::{Setup, World, run};

/// What happens to a School.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Create,
    Relabel,
    WeakenSecret,
    LoseSecret,
    LoseLogin,
    Suspend,
    Resume,
    Retain,
    RetainSuspended,
    Drop,
    DropSuspended,
}

/// Where that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Ready,
    Relabelled,
    Suspended,
    Retained,
    Dropped,
}

/// Every effect on a School but migrating, and the deeds on whose way it is the first of its name.
const SCHOOL_RUNS: &[(&str, &[Deed])] = &[
    ("add_finalizer", &[Deed::Create]),
    ("record_names", &[Deed::Create]),
    ("reserve_tenant", &[Deed::Create]),
    ("write_secret", &[Deed::Create, Deed::LoseSecret]),
    ("complete_secret", &[Deed::WeakenSecret, Deed::Relabel]),
    ("stage_database", &[Deed::Create]),
    ("claim_database", &[Deed::Create]),
    ("restore_login", &[Deed::LoseLogin]),
    ("set_password", &[Deed::LoseSecret, Deed::WeakenSecret, Deed::LoseLogin]),
    ("write_admin_secret", &[Deed::Create]),
    ("create_admin", &[Deed::Create]),
    ("open_database", &[Deed::Resume, Deed::LoseLogin]),
    ("close_database", &[Deed::Suspend, Deed::Retain, Deed::Drop]),
    ("publish", &[Deed::Create, Deed::Resume, Deed::LoseSecret]),
    ("set_tenant", &[Deed::Suspend, Deed::Retain, Deed::RetainSuspended, Deed::Drop, Deed::DropSuspended]),
    ("drop_database", &[Deed::Drop]),
    ("drop_login", &[Deed::Drop]),
    ("remove_finalizer", &[Deed::Retain, Deed::Drop]),
];

/// Effects on the way of an operator with one more migration.
const SCHEMA_RUNS: &[&str] = &["migrate", "server_build_template", "server_drop_stale"];
/// Effects on the way of a server that is declared.
const SERVER_RUNS: &[&str] =
    &["server_add_finalizer", "server_record_identity", "server_prepare_roles", "server_close_maintenance", "server_build_template"];
/// Effects on the way of a server whose object is deleted.
const REMOVAL_RUNS: &[&str] = &["server_remove_finalizer"];

const MOMENTS: [&str; 2] = ["before", "after"];

#[test]
fn every_effect_has_a_run() {
    let runs = SCHOOL_RUNS.iter().map(|(effect, _)| effect).chain(SCHEMA_RUNS).chain(SERVER_RUNS).chain(REMOVAL_RUNS);
    let effects = school::action::Action::LABELS.iter().chain(server::plan::Action::LABELS);
    assert_eq!(runs.collect::<BTreeSet<_>>(), effects.collect::<BTreeSet<_>>());
}

#[test]
fn an_operator_killed_before_or_after_any_effect_is_continued_by_its_successor() {
    run(async {
        let mut scene = Box::pin(Scene::set()).await;
        scene.die_while_migrating().await;
        scene.die_while_a_server_comes_and_goes().await;
        scene.die_on_schools().await;
        scene.oracle.assert_nothing_leaked().await;
    });
}

struct Scene {
    world: World,
    oracle: Oracle,
    namespace: String,
    schema: TempDir,
    /// What an undisturbed operator makes of it.
    ends: BTreeMap<End, State>,
}

impl Scene {
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
        let mut scene = Self { world, oracle, namespace, schema, ends: BTreeMap::new() };
        scene.undisturbed(&[Deed::Create]).await;
        scene
    }

    /// What an undisturbed operator makes of these deeds.
    async fn undisturbed(&mut self, deeds: &[Deed]) {
        let named: Vec<_> = deeds.iter().map(|deed| (*deed, format!("undisturbed-{deed:?}").to_lowercase())).collect();
        for (deed, code) in &named {
            self.apply(code, *deed, "Active").await;
        }
        for (deed, code) in &named {
            self.world.ready(&self.namespace, code).await;
            if *deed != Deed::Create {
                self.drive(*deed, *deed, code).await;
            }
        }
        for (deed, code) in &named {
            self.await_end(deed.end(), code).await;
            let state = self.oracle.state(&self.namespace, code).await;
            self.ends.insert(deed.end(), state);
        }
    }

    async fn apply(&self, code: &str, fate: Deed, state: &str) {
        let tier = if code.bytes().last().is_some_and(|last| last.is_multiple_of(2)) { "standard" } else { "premium" };
        let policy = if fate.end() == End::Dropped { "Delete" } else { "Retain" };
        self.world
            .apply_school(&self.namespace, code, json!({"placement": {"tier": tier}, "deletionPolicy": policy, "state": state}))
            .await;
    }

    /// Waits for an end as an outsider sees it.
    async fn await_end(&self, end: End, code: &str) {
        let (world, namespace) = (&self.world, &self.namespace);
        match end {
            End::Ready => drop(world.ready(namespace, code).await),
            End::Suspended => drop(world.school_when(namespace, code, "Ready", "True", "Suspended").await),
            End::Relabelled => {
                let api = self.secrets();
                let labelled = async || api.get(&format!("{code}-db")).await.unwrap().labels().contains_key("test/label");
                world.until("the Secret has the label", labelled).await;
                world.ready(namespace, code).await;
            }
            End::Retained | End::Dropped => {
                let (schools, secrets) = (world.schools(namespace), self.secrets());
                let gone = async || {
                    schools.get_opt(code).await.unwrap().is_none()
                        && secrets.get_opt(&format!("{code}-db")).await.unwrap().is_none()
                        && secrets.get_opt(&format!("{code}-admin")).await.unwrap().is_none()
                };
                world.until("School and Secrets are gone", gone).await;
            }
        }
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.world.client.clone(), &self.namespace)
    }

    /// What happens to the School; `fate` is how it will end, which its policy says from the beginning.
    async fn drive(&mut self, deed: Deed, fate: Deed, code: &str) {
        let secret = format!("{code}-db");
        match deed {
            Deed::Create | Deed::Resume => self.apply(code, fate, "Active").await,
            Deed::Suspend => self.apply(code, fate, "Suspended").await,
            Deed::Relabel => {
                self.patch_school(code, json!({"spec": {"credentials": {"secretTemplate": {"labels": {"test/label": "x"}}}}})).await;
            }
            Deed::WeakenSecret => {
                let weak = Patch::Merge(json!({"stringData": {"password": "letmein"}}));
                self.secrets().patch(&secret, &PatchParams::default(), &weak).await.unwrap();
            }
            Deed::LoseSecret => drop(self.secrets().delete(&secret, &DeleteParams::default()).await.unwrap()),
            Deed::LoseLogin => {
                let login = self.world.secret(&self.namespace, &secret).await.unwrap()["username"].clone();
                for (_, conn) in &mut self.oracle.servers {
                    let known =
                        sqlx::query("SELECT FROM pg_roles WHERE rolname = $1").bind(&login).fetch_optional(&mut *conn).await.unwrap();
                    if known.is_some() {
                        conn.execute(AssertSqlSafe(format!("DROP OWNED BY \"{login}\"; DROP ROLE \"{login}\""))).await.unwrap();
                    }
                }
            }
            Deed::Retain | Deed::RetainSuspended | Deed::Drop | Deed::DropSuspended => {
                self.world.schools(&self.namespace).delete(code, &DeleteParams::default()).await.unwrap();
            }
        }
    }

    async fn patch_school(&self, code: &str, patch: Value) {
        self.world.schools(&self.namespace).patch(code, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Starts an operator that dies where it is told to, waits for its death, and starts its successor. Returns what must not change from then on.
    async fn die(&mut self, moment: &str, effect: &str, codes: &[&str]) -> Vec<BTreeMap<&'static str, String>> {
        self.world.start_operator(&[("DAILYCARE_ABORT", &format!("{moment}:{effect}"))]);
        let status = self.world.operator.ended().await;
        assert!(matches!(status, Ok(Some(134))), "{moment} {effect}: {status:?} is no abort\n{}", self.world.log_tail());
        let mut memories = Vec::new();
        for code in codes {
            memories.push(self.oracle.memory(&self.namespace, code).await);
        }
        self.world.start_operator(&[]);
        memories
    }

    /// Waits until a School is where an undisturbed one would be.
    async fn settled(&mut self, what: &str, end: End, code: &str) {
        let expected = &self.ends[&end];
        if let Err(last) = self.oracle.until_state(&self.namespace, code, expected).await {
            panic!("{what}: {last:#?}\nis not what an undisturbed operator leaves: {expected:#?}\n{}", self.world.log_tail());
        }
    }

    /// One School after another comes, lives and goes, so that each operator that starts has little else to look at.
    async fn die_on_schools(&mut self) {
        self.undisturbed(&[Deed::Relabel, Deed::Suspend, Deed::Retain, Deed::Drop]).await;
        let (births, ends) = (runs(|deed| deed == Deed::Create), runs(Deed::ends));
        let (mut chapters, lives) = (chapters(), ends.len());
        assert!(births.len() <= lives, "more births than lives");
        for (life, end) in ends.into_iter().enumerate() {
            let code = format!("life-{life}");
            let fate = end.deed;
            match births.get(life) {
                Some(birth) => self.die_on(birth, fate, &code).await,
                None => self.apply(&code, fate, "Active").await,
            }
            self.settled("a birth", End::Ready, &code).await;
            for _ in 0..chapters.len().div_ceil(lives - life) {
                for run in chapters.pop_front().into_iter().flatten() {
                    self.die_on(&run, fate, &code).await;
                }
            }
            if fate.begins_suspended() {
                self.apply(&code, fate, "Suspended").await;
                self.await_end(End::Suspended, &code).await;
            }
            self.die_on(&end, fate, &code).await;
        }
        assert!(chapters.is_empty(), "{} chapters are left", chapters.len());
    }

    /// One run: the deed, the death on its way, the successor, and what it leaves.
    async fn die_on(&mut self, run: &Run, fate: Deed, code: &str) {
        let Run { effect, deed, moment } = *run;
        self.world.operator.kill9().await.unwrap();
        if effect == "stage_database" {
            self.oracle.drop_spares().await;
        }
        self.drive(deed, fate, code).await;
        let remembered = self.die(moment, effect, &[code]).await;
        let what = format!("killed {moment} {effect} on the way of {deed:?} ({code})");
        self.settled(&what, deed.end(), code).await;
        let left = self.oracle.memory(&self.namespace, code).await;
        for (part, value) in &remembered[0] {
            assert!(left.get(part).is_none_or(|now| now == value), "{what}: {part} changed");
        }
    }

    /// Each time with one more migration than before, over a fleet with a School on each server.
    async fn die_while_migrating(&mut self) {
        let fleet = ["veteran-1", "veteran-2"];
        for code in fleet {
            self.apply(code, Deed::Create, "Active").await;
        }
        for code in fleet {
            self.world.ready(&self.namespace, code).await;
        }
        for (effect, moment) in SCHEMA_RUNS.iter().flat_map(|effect| MOMENTS.map(|moment| (*effect, moment))) {
            self.world.operator.kill9().await.unwrap();
            self.oracle.target += 1;
            let target = self.oracle.target;
            let file = format!("CREATE TABLE app.crash_{target} (id int PRIMARY KEY);\n");
            fs::write(self.schema.path().join(format!("{target:04}_crash.sql")), file).unwrap();
            let remembered = self.die(moment, effect, &fleet).await;
            let what = format!("killed {moment} {effect} on the way to version {target}");
            for (code, remembered) in fleet.iter().zip(remembered) {
                self.settled(&what, End::Ready, code).await;
                assert_eq!(self.oracle.memory(&self.namespace, code).await, remembered, "{what}");
            }
            self.only_the_new_template_is_left(&what).await;
        }
    }

    async fn only_the_new_template_is_left(&mut self, what: &str) {
        let migrations = Migrations::from_dir(Kind::Tenant, self.schema.path()).unwrap();
        let expected = format!("dc_template_{}", short(migrations.digest()));
        for (server, conn) in &mut self.oracle.servers {
            let left = async || databases(conn).await == [expected.clone()];
            self.world.until(&format!("{what}: {server} has the one template"), left).await;
        }
    }

    async fn die_while_a_server_comes_and_goes(&mut self) {
        let third = Postgres::start(Version::V18, PostgresOptions::default()).await.unwrap();
        self.world.admin_secret("third-admin", "postgres", third.superuser_password()).await;
        self.declare(&third).await;
        let expected = self.declared(&third).await;
        for (effect, moment) in SERVER_RUNS.iter().flat_map(|effect| MOMENTS.map(|moment| (*effect, moment))) {
            self.remove_server().await;
            self.world.operator.kill9().await.unwrap();
            blank(&third).await;
            self.declare(&third).await;
            self.die(moment, effect, &[]).await;
            assert_eq!(self.declared(&third).await, expected, "killed {moment} {effect}");
        }
        for (effect, moment) in REMOVAL_RUNS.iter().flat_map(|effect| MOMENTS.map(|moment| (*effect, moment))) {
            self.world.operator.kill9().await.unwrap();
            self.world.servers().delete("third", &DeleteParams::default()).await.unwrap();
            self.die(moment, effect, &[]).await;
            self.server_is_gone().await;
            self.declare(&third).await;
            assert_eq!(self.declared(&third).await, expected, "after a removal killed {moment} {effect}");
        }
        self.remove_server().await;
    }

    async fn declare(&self, third: &Postgres) {
        self.world.declare_server("third", third.port(), &["basic"]).await;
    }

    async fn remove_server(&self) {
        self.world.servers().delete("third", &DeleteParams::default()).await.unwrap();
        self.server_is_gone().await;
    }

    async fn server_is_gone(&self) {
        let servers = self.world.servers();
        self.world.until("the server's object is gone", async || servers.get_opt("third").await.unwrap().is_none()).await;
    }

    /// Waits until the third server is Ready; everything of ours on it, and what its object says.
    async fn declared(&self, third: &Postgres) -> Vec<String> {
        let servers = self.world.servers();
        let ready = async || servers.get("third").await.is_ok_and(|server| is_ready(&server));
        self.world.until("the third server is Ready", ready).await;
        let object = servers.get("third").await.unwrap();
        let mut conn = World::superuser(third, "postgres").await;
        let mut found = databases(&mut conn).await;
        let query = "SELECT rolname || ' ' || rolcanlogin || ' ' || shobj_description(oid, 'pg_authid') FROM pg_roles
                WHERE rolname IN ('tenant_owner', 'tenant_app', 'dailycare_migrator')
            UNION ALL SELECT datname || ' ' || datacl::text FROM pg_database WHERE datname IN ('postgres', 'template1')
            UNION ALL SELECT system_identifier::text FROM pg_control_system() ORDER BY 1";
        found.extend(sqlx::query_scalar::<_, String>(query).fetch_all(&mut conn).await.unwrap());
        found.extend(object.finalizers().iter().cloned());
        found.extend(object.status.and_then(|status| status.system_identifier));
        found
    }
}

/// Where one operator dies.
#[derive(Clone, Copy)]
struct Run {
    effect: &'static str,
    deed: Deed,
    moment: &'static str,
}

/// The runs of the deeds that are asked for.
fn runs(asked: impl Fn(Deed) -> bool) -> Vec<Run> {
    let deeds =
        SCHOOL_RUNS.iter().flat_map(|(effect, deeds)| deeds.iter().map(move |deed| (*effect, *deed))).filter(|(_, deed)| asked(*deed));
    deeds.flat_map(|(effect, deed)| MOMENTS.map(|moment| Run { effect, deed, moment })).collect()
}

/// The runs between birth and end, in sequences that lead from Ready to Ready. What labels a Secret comes last: the label stays.
fn chapters() -> VecDeque<Vec<Run>> {
    let (suspensions, resumptions) = (runs(|deed| deed == Deed::Suspend), runs(|deed| deed == Deed::Resume));
    assert_eq!(suspensions.len(), resumptions.len());
    let pauses = suspensions.into_iter().zip(resumptions).map(|(suspension, resumption)| vec![suspension, resumption]);
    let losses = runs(|deed| matches!(deed, Deed::WeakenSecret | Deed::LoseSecret | Deed::LoseLogin)).into_iter().map(|run| vec![run]);
    pauses.chain(losses).chain(runs(|deed| deed == Deed::Relabel).into_iter().map(|run| vec![run])).collect()
}

impl Deed {
    /// It is the School's last.
    fn ends(self) -> bool {
        matches!(self.end(), End::Retained | End::Dropped)
    }

    fn begins_suspended(self) -> bool {
        matches!(self, Self::RetainSuspended | Self::DropSuspended)
    }

    fn end(self) -> End {
        match self {
            Self::Create | Self::WeakenSecret | Self::LoseSecret | Self::LoseLogin | Self::Resume => End::Ready,
            Self::Relabel => End::Relabelled,
            Self::Suspend => End::Suspended,
            Self::Retain | Self::RetainSuspended => End::Retained,
            Self::Drop | Self::DropSuspended => End::Dropped,
        }
    }
}

fn is_ready(server: &DatabaseServer) -> bool {
    let status = server.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True" && it.observed_generation == server.metadata.generation)
}

/// Templates, spares and what is neither yet.
async fn databases(conn: &mut sqlx::PgConnection) -> Vec<String> {
    let query = "SELECT datname::text FROM pg_database WHERE datname ~ '^dc_' ORDER BY 1";
    sqlx::query_scalar(query).fetch_all(conn).await.unwrap()
}

/// Makes a server as if it had never been declared.
async fn blank(server: &Postgres) {
    let mut conn = World::superuser(server, "postgres").await;
    for name in databases(&mut conn).await {
        conn.execute(AssertSqlSafe(format!("ALTER DATABASE {name} IS_TEMPLATE false"))).await.unwrap();
        conn.execute(AssertSqlSafe(format!("DROP DATABASE {name}"))).await.unwrap();
    }
    let roles = "DROP OWNED BY dailycare_migrator, tenant_app, tenant_owner; DROP ROLE dailycare_migrator, tenant_app, tenant_owner;
        GRANT CONNECT, TEMPORARY ON DATABASE postgres TO PUBLIC; GRANT CONNECT ON DATABASE template1 TO PUBLIC";
    conn.execute(roles).await.unwrap();
}
