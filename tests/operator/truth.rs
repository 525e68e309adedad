//! Whether statuses tell the truth: what the conditions of Schools say, against what a login with their Secrets and the registry's routes find at that moment.
//!
//! Must not ask the operator, and must not read a status but to compare it.

use std::collections::{BTreeMap, BTreeSet};

use domain::school::observed::Names;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use operator::crd::{School, convert};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sqlx::Executor as _;
use testing::eventually;

use crate::sources::database;
use crate::world::{World, conditions, log_in, sqlstate};

/// What is found past the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    /// The registry's row: its state.
    state: Option<String>,
    /// What a login with the row's credentials to the row's address ends with.
    route: Entry,
    /// What a login with the Secret ends with.
    secret: Entry,
    /// The Secret is controlled by the School.
    controlled: bool,
    database: Stands,
}

/// The database of the recorded name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// It is on a server that only one test knows.
    Unknown,
    No,
    WithoutComment,
    WithComment,
}

/// How a login ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    /// There are no credentials to try.
    Nothing,
    /// It enters and finds the school's settings.
    Enters,
    /// The password is right, and the login cannot enter.
    Closed,
    /// Anything else: a wrong password, no such database, no answer.
    Refused(String),
}

impl World {
    /// Every School of a namespace says what is true, now or as soon as the operator has finished with it.
    pub async fn assert_statuses_are_true(&self, namespace: &str) {
        for school in self.schools(namespace).list(&ListParams::default()).await.unwrap() {
            let name = school.name_any();
            let mut last = (Vec::new(), None);
            let agreed = eventually(async || {
                let (said, found) = self.said_and_found(namespace, &name).await?;
                last = (lies(&said, &found), Some(found));
                last.0.is_empty().then_some(())
            });
            assert!(agreed.await.is_some(), "{namespace}/{name} says what is not true: {:#?}\n{}", last, self.log_tail());
        }
    }

    /// Every School of the world.
    pub async fn assert_all_statuses_are_true(&self) {
        let schools = Api::<School>::all(self.client.clone()).list(&ListParams::default()).await.unwrap();
        for namespace in schools.iter().filter_map(ResourceExt::namespace).collect::<BTreeSet<_>>() {
            self.assert_statuses_are_true(&namespace).await;
        }
    }

    /// A School's conditions, and what was found while they stood; none while they changed.
    async fn said_and_found(&self, namespace: &str, name: &str) -> Option<(BTreeMap<String, (String, String)>, Found)> {
        let before = self.schools(namespace).get_opt(name).await.unwrap()?;
        // Nothing can be there under names that were not chosen yet.
        let names = convert::names(before.status.as_ref()).ok()?;
        let found = self.found(namespace, names.as_ref(), &before).await;
        let after = self.schools(namespace).get_opt(name).await.unwrap()?;
        let same = before.resource_version() == after.resource_version() && found == self.found(namespace, names.as_ref(), &after).await;
        let said = conditions(Some(&after)).into_iter().map(|condition| (condition.type_, (condition.status, condition.reason)));
        same.then(|| (said.collect(), found))
    }

    async fn found(&self, namespace: &str, names: Option<&Names>, school: &School) -> Found {
        let Some(names) = names else {
            return Found { state: None, route: Entry::Nothing, secret: Entry::Nothing, controlled: false, database: Stands::No };
        };
        let row = self.tenant_row(names).await;
        let secret = self.secret_object(namespace, names.secret.as_str()).await;
        let values = self.secret(namespace, names.secret.as_str()).await;
        Found {
            state: row["state"].as_str().map(ToOwned::to_owned),
            route: entry(self.routed(names, &row).await).await,
            secret: entry(
                values.filter(|values| ["host", "port", "username", "password", "database"].iter().all(|key| values.contains_key(*key))),
            )
            .await,
            controlled: secret
                .is_some_and(|secret| secret.owner_references().iter().any(|owner| Some(&owner.uid) == school.uid().as_ref())),
            database: self.stands(names).await,
        }
    }

    async fn stands(&self, names: &Names) -> Stands {
        if !["pg-15", "pg-18"].contains(&names.server.as_str()) {
            return Stands::Unknown;
        }
        let row = database(&mut self.beside(names).await, names.database.as_str()).await;
        match row["comment"].as_str() {
            _ if row.is_null() => Stands::No,
            Some(comment) if comment.contains(&names.tenant.to_string()) => Stands::WithComment,
            Some(_) | None => Stands::WithoutComment,
        }
    }

    /// The row's address and credentials, in the form of a Secret.
    async fn routed(&self, names: &Names, row: &Value) -> Option<BTreeMap<String, String>> {
        let credentials = self.unsealed(names).await?;
        let text = |column: &str| row[column].as_str().map(ToOwned::to_owned);
        let values = [
            ("host", text("host")?),
            ("port", row["port"].as_u64()?.to_string()),
            ("database", text("database_name")?),
            ("username", credentials.username),
            ("password", credentials.password.expose_secret().to_owned()),
        ];
        Some(values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

async fn entry(values: Option<BTreeMap<String, String>>) -> Entry {
    let Some(values) = values else { return Entry::Nothing };
    match log_in(&values, None).await {
        Ok(mut conn) => match conn.fetch_all("SELECT FROM app.settings LIMIT 1").await {
            Ok(_) => Entry::Enters,
            Err(error) => Entry::Refused(error.to_string()),
        },
        // The role may not log in, may not connect to this database, or the database does not exist or takes no connections: PostgreSQL says so only after the
        // password was right.
        Err(error) if matches!(sqlstate(&error).as_deref(), Some("28000" | "42501" | "3D000" | "55000")) => Entry::Closed,
        Err(error) => Entry::Refused(error.to_string()),
    }
}

/// What the conditions say and is not so.
fn lies(said: &BTreeMap<String, (String, String)>, found: &Found) -> Vec<String> {
    let says = |kind: &str, status: &str| said.get(kind).is_some_and(|condition| condition.0 == status);
    let because = |kind: &str, status: &str, reason: &str| says(kind, status) && said[kind].1 == reason;
    let active = found.state.as_deref() == Some("active");
    let enters = found.secret == Entry::Enters || found.route == Entry::Enters;
    let served = active && found.route == Entry::Enters;
    let works = matches!(found.secret, Entry::Enters | Entry::Closed) && found.controlled;
    let closed = !active && !enters;
    let statements = [
        ("Suspended=True, and it is open", says("Suspended", "True") && !closed),
        ("Ready=True Suspended, and it is open", because("Ready", "True", "Suspended") && !closed),
        (
            "Ready=True Ready, and it is not served",
            because("Ready", "True", "Ready") && !(served && found.secret == Entry::Enters && works),
        ),
        ("Available=True, and the route does not lead in", says("Available", "True") && !served),
        ("Available=False, and the route leads in", says("Available", "False") && served),
        ("CredentialsReady=True, and the Secret does not work", says("CredentialsReady", "True") && !works),
        (
            "DatabaseReady=True, and there is no database of the school",
            says("DatabaseReady", "True") && matches!(found.database, Stands::No | Stands::WithoutComment),
        ),
        (
            "DatabaseReady=False Pending, and there is a database",
            because("DatabaseReady", "False", "Pending") && matches!(found.database, Stands::WithComment | Stands::WithoutComment),
        ),
        (
            "DatabaseMissing, and there is a database",
            because("Ready", "False", "DatabaseMissing") && found.database == Stands::WithComment && enters,
        ),
    ];
    statements.into_iter().filter(|(_, lie)| *lie).map(|(text, _)| text.to_owned()).collect()
}
