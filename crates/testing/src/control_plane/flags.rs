//! The command lines of the three programs: what a loopback cluster without nodes needs, and nothing that changes the API's behaviour.
//!
//! Must not start anything.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Ports, identity};
use crate::certificates::Certificates;
use crate::error::Doing;
use crate::process::Launch;
use crate::{Lifetime, Result, programs};

pub(super) const ETCD: &str = "etcd";
pub(super) const APISERVER: &str = "kube-apiserver";
pub(super) const CONTROLLER_MANAGER: &str = "kube-controller-manager";

/// Every request once, when it is answered, without bodies: tests count the operator's calls in it.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
";

/// The three programs, ready to be started.
pub(super) struct Launches {
    pub(super) etcd: Launch,
    pub(super) apiserver: Launch,
    pub(super) controller_manager: Launch,
}

/// Where the API server writes its audit log.
pub(super) fn audit_log(directory: &Path) -> PathBuf {
    directory.join("audit.log")
}

/// Writes the audit policy and composes the command lines.
///
/// # Errors
/// When a program is not installed.
pub(super) fn launches(directory: &Path, lifetime: Lifetime, ports: &Ports, certificates: &Certificates) -> Result<Launches> {
    fs::write(directory.join("audit-policy.yaml"), AUDIT_POLICY).doing(|| "write the audit policy".into())?;
    let command = |program: PathBuf, flags: Vec<OsString>| [vec![program.into_os_string()], flags].concat();
    Ok(Launches {
        etcd: launch(directory, lifetime, ETCD, command(programs::etcd()?, etcd(directory, lifetime, ports))),
        apiserver: launch(
            directory,
            lifetime,
            APISERVER,
            command(programs::kubernetes(APISERVER)?, apiserver(directory, ports, certificates)),
        ),
        controller_manager: launch(
            directory,
            lifetime,
            CONTROLLER_MANAGER,
            command(programs::kubernetes(CONTROLLER_MANAGER)?, controller_manager(directory, certificates)),
        ),
    })
}

/// How one of the programs is started, found and stopped in `directory`.
pub(super) fn launch(directory: &Path, lifetime: Lifetime, name: &'static str, argv: Vec<OsString>) -> Launch {
    // A test's cluster is thrown away with its data; people's is not.
    let stop = if lifetime == Lifetime::Test { "KILL" } else { "TERM" };
    Launch {
        name,
        argv,
        log: directory.join(format!("{name}.log")),
        record: directory.join(format!("{name}.pid")),
        lifetime,
        stop,
        abandon: "KILL",
    }
}

fn etcd(directory: &Path, lifetime: Lifetime, ports: &Ports) -> Vec<OsString> {
    let [client, peer] = [&ports.etcd, &ports.etcd_peer].map(|port| format!("http://127.0.0.1:{}", port.number()));
    let mut flags = vec![
        flag("data-dir", directory.join("etcd")),
        flag("listen-client-urls", &client),
        flag("advertise-client-urls", &client),
        flag("listen-peer-urls", &peer),
        flag("initial-advertise-peer-urls", &peer),
        flag("initial-cluster", format!("default={peer}")),
        flag("log-level", "warn"),
    ];
    if lifetime == Lifetime::Test {
        flags.push("--unsafe-no-fsync".into());
    }
    flags
}

fn apiserver(directory: &Path, ports: &Ports, certificates: &Certificates) -> Vec<OsString> {
    let signing_key = directory.join("service-accounts.key");
    vec![
        flag("etcd-servers", format!("http://127.0.0.1:{}", ports.etcd.number())),
        flag("bind-address", "127.0.0.1"),
        flag("secure-port", ports.apiserver.number().to_string()),
        flag("tls-cert-file", &certificates.certificate),
        flag("tls-private-key-file", &certificates.key),
        flag("token-auth-file", identity::tokens(directory)),
        flag("authorization-mode", "RBAC"),
        flag("service-account-issuer", "https://kubernetes.default.svc"),
        flag("service-account-key-file", &signing_key),
        flag("service-account-signing-key-file", &signing_key),
        flag("service-cluster-ip-range", "10.96.0.0/16"),
        flag("audit-policy-file", directory.join("audit-policy.yaml")),
        flag("audit-log-path", audit_log(directory)),
        flag("audit-log-format", "json"),
        // A rotation in the middle of a count would lose the first half.
        flag("audit-log-maxsize", "2000"),
        // There is one API server; registering it as an endpoint would only delay its stop.
        flag("endpoint-reconciler-type", "none"),
    ]
}

fn controller_manager(directory: &Path, certificates: &Certificates) -> Vec<OsString> {
    vec![
        flag("kubeconfig", identity::controller_manager(directory)),
        flag("service-account-private-key-file", directory.join("service-accounts.key")),
        flag("root-ca-file", &certificates.authority),
        flag("leader-elect", "false"),
        flag("secure-port", "0"),
        // Its defaults are for clusters in which it should leave room for others; here a namespace's deletion should take a second.
        flag("kube-api-qps", "200"),
        flag("kube-api-burst", "400"),
    ]
}

fn flag(name: &str, value: impl AsRef<std::ffi::OsStr>) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(value);
    flag
}
