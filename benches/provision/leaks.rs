//! What is left after everything was deleted.
//!
//! Must not remove anything.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::ListParams;
use provisioning::server::census::{self, Census};
use serde::Serialize;
use sqlx::Row as _;
use tokio::time::sleep;

use crate::Outcome;
use crate::environment::{Environment, NAMESPACE};

const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(200);

/// What should be nothing, except for spares, which belong to no school.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Leaks {
    pub(crate) databases: usize,
    pub(crate) logins: usize,
    pub(crate) secrets: usize,
    pub(crate) tenants: usize,
    pub(crate) spares: u32,
}

impl Leaks {
    /// Waits until nothing is left: Secrets go when Kubernetes' garbage collector comes round.
    ///
    /// # Errors
    /// When something is left after a minute.
    pub(crate) async fn none(environment: &Environment) -> Outcome<Self> {
        let begun = Instant::now();
        loop {
            let leaks = Self::find(environment).await?;
            if leaks.databases + leaks.logins + leaks.secrets + leaks.tenants == 0 {
                return Ok(leaks);
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("left over: {leaks:?}").into());
            }
            sleep(POLL).await;
        }
    }

    /// By mark and by name: what lost its mark must not be overlooked.
    async fn find(environment: &Environment) -> Outcome<Self> {
        let mut leaks = Self::default();
        for view in &environment.views {
            let mut conn = view.acquire().await?;
            let Census { databases, logins, spares } = census::take(&mut conn, environment.cluster).await?;
            let named = "SELECT (SELECT count(*) FROM pg_database WHERE datname LIKE 'dailycare\\_tenant\\_%') AS databases,
                                (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'dailycare\\_tenant\\_%') AS logins";
            let named = sqlx::query(named).fetch_one(&mut *conn).await?;
            let count = |column| named.try_get::<i64, _>(column).map(|count| usize::try_from(count).unwrap_or_default());
            leaks.databases += databases.len().max(count("databases")?);
            leaks.logins += logins.len().max(count("logins")?);
            leaks.spares += spares;
        }
        let secrets = Api::<Secret>::namespaced(environment.person.clone(), NAMESPACE);
        leaks.secrets = secrets.list_metadata(&ListParams::default()).await?.items.len();
        let registry = environment.registry().await?;
        leaks.tenants = provisioning::master::tenants::occupancy(&registry, environment.cluster).await?.tenants().count();
        registry.close().await;
        Ok(leaks)
    }
}
