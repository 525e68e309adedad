//! No password and no key is found anywhere but where it belongs, however loudly everything logs and whatever fails.
//!
//! Looked through: the operator's log at trace, the logs of both PostgreSQL servers with every statement, Events, every object of ours, metrics, the audit log, what
//! `dailycare plan` prints, and what other sessions of a server can see of ours. In PostgreSQL's logs SCRAM verifiers, argon2id hashes and sealed credentials
//! do stand: none of them is a password or shows one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use operator::kubernetes::cluster::cluster_uid;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use provisioning::master::keyring::Keyring;
use provisioning::server::identity::identify;
use secrecy::ExposeSecret as _;
use serde_json::json;
use testing::{OperatorOptions, Postgres, PostgresOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{SYSTEM, Setup, World, run};

/// Of a kind that every encoding changes.
const WRONG: &str = "wrong+Canary/7f3a9e41&c0ffee=";
const WEAK: &str = "weak%canary 91b";

#[test]
fn no_password_and_no_key_is_found_where_it_does_not_belong() {
    run(async {
        let mut fixture = Fixture::begin().await;
        fixture.live().await;
        fixture.fail().await;
        fixture.end().await;
        let places = fixture.places().await;
        let forms = fixture.forms().await;
        for code in ["plane", "rowan"] {
            let passwords = fixture.known[&format!("the password in Secret {code}-db")].len();
            assert!(passwords >= 3, "{code} had {passwords} passwords");
        }
        for (place, text) in &places {
            assert!(text.len() > 20, "{place} says nothing: {text}");
            for (source, form) in &forms {
                assert!(!text.contains(form), "{source} is in {place}: …{}…", around(text, form));
            }
        }
        // The search finds what is there: verifiers are in the logs of servers that log every statement.
        assert!(places.iter().any(|(place, text)| place.contains("PostgreSQL") && text.contains("SCRAM-SHA-256$")));
        assert!(places.iter().any(|(place, text)| place.contains("operator") && text.contains("TRACE")));
    });
}

/// Everything that was ever secret, by where it comes from.
struct Fixture {
    world: World,
    namespace: String,
    known: BTreeMap<String, BTreeSet<String>>,
    /// What was seen on the way: sessions and metrics change.
    glimpses: BTreeMap<&'static str, String>,
}

impl Fixture {
    async fn begin() -> Self {
        let loud = || {
            let options = PostgresOptions::default().with("log_statement", "all").with("log_min_duration_statement", "0");
            options.with("log_min_messages", "debug1").with("log_error_verbosity", "verbose").with("log_connections", "on")
        };
        let world =
            World::new(Setup { pg18: loud(), pg15: loud(), arguments: vec!["--log".to_owned(), "trace".to_owned()], ..Setup::default() })
                .await;
        let namespace = world.fresh_namespace().await;
        Self { world, namespace, known: BTreeMap::new(), glimpses: BTreeMap::new() }
    }

    fn learn(&mut self, source: &str, secret: impl Into<String>) {
        self.known.entry(source.to_owned()).or_default().insert(secret.into());
    }

    /// Notes both Secrets of a School, and what others can see of the operator meanwhile.
    async fn record(&mut self, code: &str) {
        for name in [format!("{code}-db"), format!("{code}-admin")] {
            if let Some(secret) = self.world.secret(&self.namespace, &name).await {
                self.learn(&format!("the password in Secret {name}"), &secret["password"]);
            }
        }
        for (place, server) in [("sessions of 18", &self.world.pg18), ("sessions of 15", &self.world.pg15)] {
            let mut conn = World::superuser(server, "postgres").await;
            let query = "SELECT coalesce(string_agg(a::text, E'\n'), '') FROM pg_stat_activity a";
            let sessions: String = sqlx::query_scalar(query).fetch_one(&mut conn).await.unwrap();
            *self.glimpses.entry(place).or_default() += &sessions;
        }
        let metrics = metrics(&self.world).await;
        *self.glimpses.entry("metrics").or_default() += &metrics;
    }

    async fn apply(&self, code: &str, state: &str) {
        let tier = if code == "plane" { "premium" } else { "standard" };
        let spec = json!({"placement": {"tier": tier}, "state": state, "deletionPolicy": "Delete"});
        self.world.apply_school(&self.namespace, code, spec).await;
    }

    /// Created, given a new password twice, suspended, resumed, migrated.
    async fn live(&mut self) {
        for code in ["plane", "rowan"] {
            self.apply(code, "Active").await;
            self.world.ready(&self.namespace, code).await;
            self.record(code).await;
            self.renew(code).await;
            self.apply(code, "Suspended").await;
            self.world.school_when(&self.namespace, code, "Ready", "True", "Suspended").await;
            self.record(code).await;
            self.apply(code, "Active").await;
            self.world.ready(&self.namespace, code).await;
            self.record(code).await;
        }
        let schema = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config/schema/tenant")).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, schema.path().join(path.file_name().unwrap())).unwrap();
        }
        let next = fs::read_dir(schema.path()).unwrap().count() + 1;
        fs::write(schema.path().join(format!("{next:04}_more.sql")), "CREATE TABLE app.more (id int PRIMARY KEY);\n").unwrap();
        *self.glimpses.entry("the operator's log").or_default() += &self.world.operator.log();
        self.world.operator.stop().await.unwrap();
        self.world.options.arguments.extend(["--schema-dir".to_owned(), schema.keep().to_str().unwrap().to_owned()]);
        self.world.start_operator(&[]);
        for code in ["plane", "rowan"] {
            let api = self.world.schools(&self.namespace);
            let migrated = async || {
                let status = serde_json::to_value(api.get(code).await.unwrap().status).unwrap();
                status["schema"]["version"] == next
            };
            self.world.until(&format!("{code} is migrated"), migrated).await;
            self.record(code).await;
        }
    }

    /// A password too weak to be kept, and one that is lost.
    async fn renew(&mut self, code: &str) {
        let (secrets, name) = (Api::<Secret>::namespaced(self.world.client.clone(), &self.namespace), format!("{code}-db"));
        self.learn("a weak password", WEAK.to_owned());
        let weak = json!({"stringData": {"password": WEAK}});
        secrets.patch(&name, &PatchParams::default(), &Patch::Merge(weak)).await.unwrap();
        self.requested(code, "weak").await;
        let strong = async || self.world.secret(&self.namespace, &name).await.is_some_and(|secret| secret["password"] != WEAK);
        self.world.until("the weak password is replaced", strong).await;
        self.record(code).await;
        secrets.delete(&name, &DeleteParams::default()).await.unwrap();
        self.requested(code, "lost").await;
        self.world.until("the Secret is there again", async || secrets.get_opt(&name).await.unwrap().is_some()).await;
        self.record(code).await;
    }

    async fn requested(&self, code: &str, at: &str) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"dailycare.io/requestedAt": at}}}));
        self.world.schools(&self.namespace).patch(code, &PatchParams::default(), &patch).await.unwrap();
    }

    /// A wrong admin password, and a server that is gone in the middle.
    async fn fail(&mut self) {
        self.learn("a wrong admin password", WRONG.to_owned());
        self.world.admin_secret("pg-18-admin", "postgres", WRONG).await;
        self.server_says("pg-18", "AuthenticationFailed").await;
        self.apply("rowan", "Suspended").await;
        self.record("rowan").await;
        let password = self.world.pg18.superuser_password().to_owned();
        self.world.admin_secret("pg-18-admin", "postgres", &password).await;
        self.world.school_when(&self.namespace, "rowan", "Ready", "True", "Suspended").await;
        self.world.pg15.stop().await.unwrap();
        self.server_says("pg-15", "DatabaseUnreachable").await;
        self.apply("plane", "Suspended").await;
        self.world.pg15.start_again().await.unwrap();
        self.world.school_when(&self.namespace, "plane", "Ready", "True", "Suspended").await;
        self.record("plane").await;
    }

    async fn server_says(&self, name: &str, reason: &str) {
        let servers = self.world.servers();
        let says = async || {
            let status = servers.get(name).await.unwrap().status.unwrap_or_default();
            status.conditions.unwrap_or_default().iter().any(|condition| condition.type_ == "Ready" && condition.reason == reason)
        };
        self.world.until(&format!("{name} says {reason}"), says).await;
    }

    async fn end(&mut self) {
        let text = self.plan("rowan", "text") + &self.plan("plane", "json");
        self.glimpses.insert("what plan prints", text);
        let objects = self.objects().await;
        self.glimpses.insert("the objects", objects);
        for code in ["plane", "rowan"] {
            self.world.delete_school(&self.namespace, code).await;
        }
    }

    fn plan(&self, code: &str, output: &str) -> String {
        let OperatorOptions { binary, kubeconfig, master_url, sealing_keys, .. } = &self.world.options;
        let directory = tempfile::tempdir().unwrap();
        let keys = directory.path().join("keys");
        fs::write(&keys, sealing_keys).unwrap();
        let mut command = Command::new(binary);
        command.args(["--log", "trace", "plan", &format!("school/{code}"), "-n", &self.namespace, "-o", output]);
        command.env("KUBECONFIG", kubeconfig).env("DAILYCARE_MASTER_URL", master_url).env("DAILYCARE_SEALING_KEY_FILE", keys);
        let printed = command.output().unwrap();
        assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
        String::from_utf8(printed.stdout).unwrap() + &String::from_utf8_lossy(&printed.stderr)
    }

    /// Every object of ours but the Secrets' data, as JSON.
    async fn objects(&self) -> String {
        let (client, all) = (&self.world.client, ListParams::default());
        let schools = Api::<operator::crd::School>::all(client.clone()).list(&all).await.unwrap();
        let servers = self.world.servers().list(&all).await.unwrap();
        let secrets = Api::<Secret>::all(client.clone()).list(&all).await.unwrap();
        let maps = Api::<ConfigMap>::namespaced(client.clone(), SYSTEM).list(&all).await.unwrap();
        // managedFields and the rest of a Secret's metadata can be read by more people than its data.
        let metadata: Vec<_> =
            secrets.iter().filter(|secret| secret.namespace().as_deref() == Some(&self.namespace)).map(|secret| &secret.metadata).collect();
        json!([schools.items, servers.items, maps.items, metadata]).to_string()
    }

    /// Where to look, and what is there.
    async fn places(&self) -> Vec<(String, String)> {
        let events = Api::<Event>::all(self.world.client.clone()).list(&ListParams::default()).await.unwrap();
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        let mut places = vec![
            ("the operator's last log".to_owned(), self.world.operator.log()),
            ("PostgreSQL 18's log".to_owned(), read(self.world.pg18.log_path().to_owned())),
            ("PostgreSQL 15's log".to_owned(), read(self.world.pg15.log_path().to_owned())),
            ("the audit log".to_owned(), read(self.world.plane.audit_log())),
            ("the Events".to_owned(), json!(events.items).to_string()),
        ];
        places.extend(self.glimpses.iter().map(|(place, text)| ((*place).to_owned(), text.clone())));
        places
    }

    /// Every secret in every form in which it could slip out.
    async fn forms(&mut self) -> Vec<(String, String)> {
        for (source, server) in [("PostgreSQL 18's superuser", &self.world.pg18), ("PostgreSQL 15's superuser", &self.world.pg15)] {
            self.known.entry(source.to_owned()).or_default().insert(server.superuser_password().to_owned());
        }
        let admin = self.world.secret(SYSTEM, "pg-15-admin").await.unwrap()["password"].clone();
        self.learn("the admin of PostgreSQL 15", admin);
        let keys = self.world.options.sealing_keys.clone();
        self.learn("the sealing key", keys.trim().split_once(':').unwrap().1);
        let keyring = Keyring::parse(&keys.into()).unwrap();
        let cluster = cluster_uid(&self.world.client).await.unwrap();
        for server in [&self.world.pg18, &self.world.pg15] {
            let password = migrators(&keyring, cluster, server).await;
            self.known.entry("the migrator".to_owned()).or_default().insert(password);
        }
        let kubeconfig = fs::read_to_string(&self.world.options.kubeconfig).unwrap();
        let token = kubeconfig
            .split_once("token")
            .unwrap()
            .1
            .split_once(':')
            .unwrap()
            .1
            .trim_start()
            .split(['"', ',', '\n', '}'])
            .find(|it| !it.is_empty());
        self.learn("the API server's token", token.unwrap());
        let every = self.known.iter().flat_map(|(source, secrets)| secrets.iter().map(move |secret| (source, secret)));
        every.flat_map(|(source, secret)| written(secret).into_iter().map(move |form| (source.clone(), form))).collect()
    }
}

async fn migrators(keyring: &Keyring, cluster: domain::names::ClusterUid, server: &Postgres) -> String {
    let mut conn = World::superuser(server, "postgres").await;
    let identity = identify(&mut conn).await.unwrap();
    keyring.migrator_password(cluster, identity.of_server.text().unwrap()).unwrap().expose_secret().to_owned()
}

/// A secret as such, encoded, and as the bytes that debug output shows.
fn written(secret: &str) -> BTreeSet<String> {
    let bytes = secret.as_bytes();
    let decimal: Vec<_> = bytes.iter().map(ToString::to_string).collect();
    let decoded = STANDARD.decode(secret).ok().filter(|raw| raw.len() == 32);
    let forms = [
        secret.to_owned(),
        STANDARD.encode(bytes),
        STANDARD_NO_PAD.encode(bytes),
        URL_SAFE_NO_PAD.encode(bytes),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        decimal.join(", "),
        hexadecimal(bytes),
    ];
    forms.into_iter().chain(decoded.map(|raw| hexadecimal(&raw))).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn around<'a>(text: &'a str, form: &str) -> &'a str {
    let at = text.find(form).unwrap_or_default();
    let floor = |index: usize| (0..=index).rev().find(|index| text.is_char_boundary(*index)).unwrap_or_default();
    &text[floor(at.saturating_sub(300))..floor(at)]
}

async fn metrics(world: &World) -> String {
    world.until("the operator listens", async || world.operator.http_address().is_some()).await;
    let mut stream = TcpStream::connect(world.operator.http_address().unwrap()).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
