//! What the operator tells machines: probes, metrics, and how it leaves when it is asked to.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use operator::metrics::METRICS;
use serde_json::json;

use crate::world::{SYSTEM, Setup, World, run};

/// Status and body; none when nobody answers.
fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: operator\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.get(9..12)?.parse().ok()?, body.to_owned()))
}

#[test]
fn a_working_operator_is_healthy_ready_and_measured_without_naming_a_school() {
    run(async {
        let mut world = World::new(Setup::default()).await;
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "unspoken", json!({})).await;
        world.ready(&namespace, "unspoken").await;
        let address = world.operator.http_address().unwrap();
        assert_eq!(get(&address, "/healthz"), Some((200, "ok\n".to_owned())));
        assert_eq!(get(&address, "/readyz"), Some((200, "leading\n".to_owned())));
        // Something must fail for failures to be counted.
        world.pg18.kill9().await.unwrap();
        let annotation = Patch::Merge(json!({"metadata": {"annotations": {"dailycare.io/requestedAt": "now"}}}));
        world.schools(&namespace).patch("unspoken", &PatchParams::default(), &annotation).await.unwrap();
        let metrics = || get(&address, "/metrics").unwrap().1;
        world
            .until("failures, an outage and schools are measured", async || {
                let text = metrics();
                let failed = text.contains(r#"dailycare_operator_reconcile_errors_total{kind="School",class="transient"}"#);
                failed
                    && text.contains("\ndailycare_operator_schools{")
                    && text.contains(r#"dailycare_operator_server_up{server="pg-18"} 0"#)
            })
            .await;
        let text = metrics();
        for metric in METRICS {
            assert!(text.contains(&format!("# TYPE {} ", metric.name)), "{}\n{text}", metric.name);
        }
        for line in [
            "dailycare_operator_leader 1",
            r#"dailycare_operator_server_up{server="pg-15"} 1"#,
            r#"dailycare_operator_actions_total{action="claim_database"} 1"#,
        ] {
            assert!(text.lines().any(|printed| printed == line), "{line}\n{text}");
        }
        for secret in ["unspoken", &namespace, world.pg18.superuser_password()] {
            assert!(!text.contains(secret), "{secret}\n{text}");
        }
        world.pg18.start_again().await.unwrap();
        world.until("the server is up again", async || metrics().contains(r#"dailycare_operator_server_up{server="pg-18"} 1"#)).await;
        assert_eq!(get(&address, "/healthz"), Some((200, "ok\n".to_owned())));
    });
}

/// An operator that stands for election, as this process's own child, so that its exit status is seen.
fn contender(world: &World, log: &std::path::Path) -> Child {
    let mut command = world.program(world.plane.kubeconfig(), &["operator", "--http-address", "127.0.0.1:0"]);
    let log = File::create(log).unwrap();
    command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

async fn leader(world: &World) -> Option<String> {
    let lease = Api::<Lease>::namespaced(world.client.clone(), SYSTEM).get_opt("dailycare-operator").await.unwrap()?;
    lease.spec?.holder_identity.filter(|leader| !leader.is_empty())
}

#[test]
fn an_operator_that_is_told_to_stop_is_no_longer_ready_gives_the_lease_back_and_ends_well() {
    run(async {
        let mut world = World::new(Setup::default()).await;
        let namespace = world.fresh_namespace().await;
        world.operator.stop().await.unwrap();
        let log = world.operator.directory().join("contender.log");
        let mut child = contender(&world, &log);
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        let address = || Some(said().split_once("listening address=Some(")?.1.split_once(')')?.0.to_owned());
        world.until("it leads", async || address().and_then(|at| get(&at, "/readyz")) == Some((200, "leading\n".to_owned()))).await;
        assert!(leader(&world).await.is_some());
        world.apply_school(&namespace, "parting", json!({})).await;
        world.ready(&namespace, "parting").await;
        let signalled = Command::new("sh").args(["-c", r#"kill -s TERM "$1""#, "kill", &child.id().to_string()]).status().unwrap();
        assert!(signalled.success());
        let at = address().unwrap();
        world.until("it is not ready", async || get(&at, "/readyz").is_none_or(|(code, _)| code == 503)).await;
        let mut ended = None;
        world
            .until("it ends", async || {
                ended = child.try_wait().unwrap();
                ended.is_some()
            })
            .await;
        assert_eq!(ended.unwrap().code(), Some(0), "{}", said());
        assert_eq!(leader(&world).await, None, "{}", said());
        assert!(!said().contains("ERROR") && !said().contains("panicked"), "{}", said());
    });
}
