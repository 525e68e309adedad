//! What deployment tools make of the conditions: Argo CD by the scripts in `config/argocd`, Flux and `kubectl wait` by kstatus' rules.
//!
//! Must only be compiled for tests. It judges by what is planned, not by the conditions that the scripts read.

use std::collections::HashMap;

use mlua::{Function, Lua, Table};

use crate::condition::{Condition, ConditionStatus, ConditionType, Reason};

const ARGO_CD: &str = include_str!("../../../config/argocd/argocd-cm.yaml");
/// The present generation of every object here.
const GENERATION: i64 = 7;

/// An object as tools see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) conditions: &'a [Condition],
    /// The generation that the status is of; none without a status.
    pub(crate) observed: Option<i64>,
    pub(crate) deleting: bool,
    /// The status shows that it was in use: a School's database is there, a server's template.
    pub(crate) used: bool,
}

impl<'a> Shown<'a> {
    pub(crate) fn now(conditions: &'a [Condition]) -> Self {
        Self { conditions, observed: Some(GENERATION), deleting: false, used: true }
    }

    fn is(&self, type_: ConditionType) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == type_)
    }

    fn says(&self, type_: ConditionType, status: ConditionStatus) -> bool {
        self.is(type_).is_some_and(|condition| condition.status == status)
    }
}

/// Argo CD's health script of one kind, in the version of Lua that it runs.
pub(crate) struct Script {
    lua: Lua,
    health: Function,
}

impl Script {
    pub(crate) fn of(kind: &str) -> Self {
        let lua = Lua::new();
        let source = format!("return function(obj)\n{}\nend", script(kind));
        let health = lua.load(source).eval().unwrap();
        Self { lua, health }
    }

    /// The health and its message.
    pub(crate) fn health(&self, shown: &Shown<'_>) -> (String, String) {
        let table = || self.lua.create_table().unwrap();
        let (object, metadata, status, conditions) = (table(), table(), table(), table());
        metadata.set("generation", GENERATION).unwrap();
        if shown.deleting {
            metadata.set("deletionTimestamp", "2026-01-01T00:00:00Z").unwrap();
        }
        for (i, condition) in shown.conditions.iter().enumerate() {
            let each = table();
            each.set("type", condition.type_.label()).unwrap();
            each.set("status", condition.status.label()).unwrap();
            each.set("reason", condition.reason.label()).unwrap();
            each.set("message", condition.message.as_str()).unwrap();
            each.set("observedGeneration", shown.observed).unwrap();
            conditions.set(i + 1, each).unwrap();
        }
        status.set("conditions", conditions).unwrap();
        if shown.used {
            let database = table();
            database.set("createdAt", "2026-01-01T00:00:00Z").unwrap();
            status.set("database", database).unwrap();
            status.set("schema", table()).unwrap();
        }
        object.set("metadata", metadata).unwrap();
        if let Some(observed) = shown.observed {
            status.set("observedGeneration", observed).unwrap();
            object.set("status", status).unwrap();
        }
        let health: Table = self.health.call(object).unwrap();
        (health.get("status").unwrap(), health.get("message").unwrap())
    }
}

/// The text under a key of the `ConfigMap`, which is a block of indented lines.
fn script(kind: &str) -> String {
    let key = format!("  resource.customizations.health.dailycare.io_{kind}: |");
    let lines = ARGO_CD.lines().skip_while(|line| *line != key).skip(1).take_while(|line| line.starts_with("    "));
    let script = lines.map(|line| &line[4..]).collect::<Vec<_>>().join("\n");
    assert!(!script.is_empty(), "there is no script for {kind}");
    script
}

/// What kstatus, and with it Flux, makes of an object of a kind that it does not know.
pub(crate) fn kstatus(shown: &Shown<'_>) -> &'static str {
    if shown.deleting {
        "Terminating"
    } else if shown.observed.is_some_and(|observed| observed != GENERATION) || shown.says(ConditionType::Reconciling, ConditionStatus::True)
    {
        "InProgress"
    } else if shown.says(ConditionType::Stalled, ConditionStatus::True) {
        "Failed"
    } else {
        match shown.is(ConditionType::Ready).map(|ready| ready.status) {
            Some(ConditionStatus::True) | None => "Current",
            Some(ConditionStatus::False | ConditionStatus::Unknown) => "InProgress",
        }
    }
}

/// Both tools must see: finished exactly when `settled`, failed only when it is stalled or a served object is out of service. `suspended`: as asked.
pub(crate) fn check(script: &Script, conditions: &[Condition], settled: bool, suspended: bool) {
    let shown = Shown::now(conditions);
    let stalled = shown.says(ConditionType::Stalled, ConditionStatus::True);
    let (health, message) = script.health(&shown);
    let expected = match (settled, suspended) {
        (true, true) => "Suspended",
        (true, false) => "Healthy",
        (false, _) if stalled || is_out_of_service(&shown) => "Degraded",
        (false, _) => "Progressing",
    };
    assert_eq!(health, expected, "{conditions:#?}");
    assert!(!message.is_empty() && (settled || message.contains(": ")), "{message}");
    assert_eq!(kstatus(&shown) == "Current", settled, "{conditions:#?}");
    assert!(kstatus(&shown) != "Failed" || stalled, "{conditions:#?}");
    assert!(!(settled && stalled), "{conditions:#?}");
    // Before it was in use, what only keeps it out of service is awaited.
    let unused = script.health(&Shown { used: false, ..shown }).0;
    assert_eq!(unused, if expected == "Degraded" && !stalled { "Progressing" } else { expected }, "{conditions:#?}");
    for (older, deleting) in [(Some(GENERATION - 1), false), (Some(-1), false), (None, false), (Some(GENERATION), true)] {
        let shown = Shown { observed: older, deleting, ..shown };
        assert_eq!(script.health(&shown).0, "Progressing", "{shown:?}");
        assert!(older.is_none() || kstatus(&shown) != "Current", "{shown:?}");
    }
}

/// The operator cannot use the server, and neither can anybody else.
fn is_out_of_service(shown: &Shown<'_>) -> bool {
    let outage = [Reason::DatabaseUnreachable, Reason::ServerReadOnly, Reason::TooManyConnections];
    let school = shown.is(ConditionType::Available).is_some_and(|c| c.status == ConditionStatus::False && outage.contains(&c.reason));
    school || shown.says(ConditionType::Reachable, ConditionStatus::False)
}

/// Conditions that differ in more than words, with whether they are of a settled and of a suspended object.
pub(crate) type Distinct = HashMap<Vec<(ConditionType, ConditionStatus, Reason)>, (Vec<Condition>, bool, bool)>;

pub(crate) fn add(distinct: &mut Distinct, conditions: Vec<Condition>, settled: bool, suspended: bool) {
    let key = conditions.iter().map(|condition| (condition.type_, condition.status, condition.reason)).collect();
    let (_, same, also) = distinct.entry(key).or_insert((conditions, settled, suspended));
    assert_eq!((*same, *also && settled), (settled, suspended && settled), "the same conditions mean two things");
}
