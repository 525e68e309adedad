//! Crashes while Schools come, live and go.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use registry::password::{Checker, Verdict};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _};

use super::Fixture;
use super::change::{Change, ExpectedEnd, Run, runs, scenarios};

impl Fixture {
    /// What an undisturbed operator makes of these changes.
    pub(super) async fn undisturbed(&mut self, changes: &[Change]) {
        let named: Vec<_> = changes.iter().map(|change| (*change, format!("undisturbed-{change:?}").to_lowercase())).collect();
        for (change, code) in &named {
            self.apply(code, *change, "Active").await;
        }
        for (change, code) in &named {
            self.world.ready(&self.namespace, code).await;
            if *change != Change::Create {
                self.drive(*change, *change, code).await;
            }
        }
        for (change, code) in &named {
            self.await_end(change.end(), code).await;
            let state = self.oracle.state(&self.namespace, code).await;
            self.ends.insert(change.end(), state);
        }
    }

    pub(super) async fn apply(&self, code: &str, last: Change, state: &str) {
        let tier = if code.bytes().last().is_some_and(|last| last.is_multiple_of(2)) { "standard" } else { "premium" };
        let policy = if last.end() == ExpectedEnd::Dropped { "Delete" } else { "Retain" };
        self.world
            .apply_school(&self.namespace, code, json!({"placement": {"tier": tier}, "deletionPolicy": policy, "state": state}))
            .await;
    }

    /// Waits for an end as an outsider sees it.
    pub(super) async fn await_end(&self, end: ExpectedEnd, code: &str) {
        let (world, namespace) = (&self.world, &self.namespace);
        match end {
            ExpectedEnd::Ready => drop(world.ready(namespace, code).await),
            ExpectedEnd::Suspended => drop(world.school_when(namespace, code, "Ready", "True", "Suspended").await),
            ExpectedEnd::Relabelled => {
                let api = self.secrets();
                let labelled = async || api.get(&format!("{code}-db")).await.unwrap().labels().contains_key("test/label");
                world.until("the Secret has the label", labelled).await;
                world.ready(namespace, code).await;
            }
            ExpectedEnd::Retained | ExpectedEnd::Dropped => {
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

    pub(super) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.world.client.clone(), &self.namespace)
    }

    /// Makes the change. `last` is the School's last change: its deletion policy has to fit that from the beginning.
    pub(super) async fn drive(&mut self, change: Change, last: Change, code: &str) {
        let secret = format!("{code}-db");
        match change {
            Change::Create | Change::Resume => self.apply(code, last, "Active").await,
            Change::Suspend => self.apply(code, last, "Suspended").await,
            Change::Relabel => {
                self.patch_school(code, json!({"spec": {"credentials": {"secretTemplate": {"labels": {"test/label": "x"}}}}})).await;
            }
            Change::WeakenSecret => {
                let weak = Patch::Merge(json!({"stringData": {"password": "letmein"}}));
                self.secrets().patch(&secret, &PatchParams::default(), &weak).await.unwrap();
            }
            Change::LoseSecret => drop(self.secrets().delete(&secret, &DeleteParams::default()).await.unwrap()),
            // A Secret that was deleted after the first login, and a password that was then forgotten.
            Change::ResetAdmin => {
                drop(self.secrets().delete(&format!("{code}-admin"), &DeleteParams::default()).await.unwrap());
                let request = format!("request-{}", self.resets(code).await + 1);
                self.patch_school(code, json!({"metadata": {"annotations": {"dailycare.io/reset-admin-password": request}}})).await;
            }
            Change::LoseLogin => {
                let login = self.world.secret(&self.namespace, &secret).await.unwrap()["username"].clone();
                for (_, conn) in &mut self.oracle.servers {
                    let known =
                        sqlx::query("SELECT FROM pg_roles WHERE rolname = $1").bind(&login).fetch_optional(&mut *conn).await.unwrap();
                    if known.is_some() {
                        conn.execute(AssertSqlSafe(format!("DROP OWNED BY \"{login}\"; DROP ROLE \"{login}\""))).await.unwrap();
                    }
                }
            }
            Change::Retain | Change::RetainSuspended | Change::Drop | Change::DropSuspended => {
                self.world.schools(&self.namespace).delete(code, &DeleteParams::default()).await.unwrap();
            }
        }
    }

    /// Records of a reset in the platform's audit.
    async fn resets(&self, code: &str) -> i64 {
        let query = "SELECT count(*) FROM registry.access_audit a JOIN registry.tenants t ON t.id = a.tenant_id
            WHERE t.code = $1 AND a.action = 'platform:reset_school_admin'";
        sqlx::query_scalar(query).bind(code).fetch_one(&mut self.world.master().await).await.unwrap()
    }

    /// The administrator has the password of its Secret since the last request, and got it once.
    async fn was_reset_once(&self, what: &str, code: &str, resets_before: i64) {
        let request = format!("request-{}", resets_before + 1);
        let schools = self.world.schools(&self.namespace);
        let recorded = async || {
            let status = schools.get(code).await.unwrap().status.unwrap_or_default();
            status.admin_user.is_some_and(|admin| admin.last_password_reset.as_deref() == Some(request.as_str()))
        };
        self.world.until(&format!("{what}: the status says so"), recorded).await;
        assert_eq!(self.resets(code).await, resets_before + 1, "{what}: each request is acted on once");
        let password = self.world.secret(&self.namespace, &format!("{code}-admin")).await.unwrap()["password"].clone();
        let query = "SELECT password_hash FROM registry.users u JOIN registry.tenants t ON t.id = u.tenant_id WHERE t.code = $1";
        let hash: String = sqlx::query_scalar(query).bind(code).fetch_one(&mut self.world.master().await).await.unwrap();
        assert_eq!(Checker::new(1).verify(&password.into(), Some(&hash)).await.unwrap(), Verdict::Right, "{what}");
    }

    pub(super) async fn patch_school(&self, code: &str, patch: Value) {
        self.world.schools(&self.namespace).patch(code, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// One School after another comes, lives and goes, so that each operator that starts has little else to look at.
    pub(super) async fn die_on_schools(&mut self) {
        self.undisturbed(&[Change::Relabel, Change::Suspend, Change::Retain, Change::Drop]).await;
        let (births, ends) = (runs(|change| change == Change::Create), runs(Change::ends));
        let (mut scenarios, lives) = (scenarios(), ends.len());
        assert!(births.len() <= lives, "more births than lives");
        for (life, end) in ends.into_iter().enumerate() {
            let code = format!("life-{life}");
            let last = end.change;
            match births.get(life) {
                Some(birth) => self.die_on(birth, last, &code).await,
                None => self.apply(&code, last, "Active").await,
            }
            self.settled("a birth", ExpectedEnd::Ready, &code).await;
            for _ in 0..scenarios.len().div_ceil(lives - life) {
                for run in scenarios.pop_front().into_iter().flatten() {
                    self.die_on(&run, last, &code).await;
                }
            }
            if last.begins_suspended() {
                self.apply(&code, last, "Suspended").await;
                self.await_end(ExpectedEnd::Suspended, &code).await;
            }
            self.die_on(&end, last, &code).await;
        }
        assert!(scenarios.is_empty(), "{} scenarios are left", scenarios.len());
    }

    /// One run: the change, the death on its way, the successor, and what it leaves.
    pub(super) async fn die_on(&mut self, run: &Run, last: Change, code: &str) {
        let Run { action, change, moment } = *run;
        self.world.operator.kill9().await.unwrap();
        if action == "stage_database" {
            self.oracle.drop_spares().await;
        }
        let resets_before = self.resets(code).await;
        self.drive(change, last, code).await;
        let remembered = self.die(moment, action, &[code]).await;
        let what = format!("killed {moment} {action} on the way of {change:?} ({code})");
        self.settled(&what, change.end(), code).await;
        if change == Change::ResetAdmin {
            self.was_reset_once(&what, code, resets_before).await;
        }
        let left = self.oracle.memory(&self.namespace, code).await;
        for (part, value) in &remembered[0] {
            assert!(left.get(part).is_none_or(|now| now == value), "{what}: {part} changed");
        }
    }
}
