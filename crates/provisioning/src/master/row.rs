//! A tenant's row as the operator reads it, and what it should say.
//!
//! Must not hold a password in clear beyond the publication that carries it to be sealed.

use domain::names::{ClusterUid, SchoolUid, ServerName, TenantId};
use domain::tenant::{Profile, TenantState};
use postgres::error::Doing as _;
use postgres::session::{Credentials, Tls};
use registry::route::{PoolSettings, Route, read_route, read_sealed};
use registry::seal::Sealed;
use secrecy::SecretString;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::keyring::Keyring;
use super::{Error, Owner, Result};

/// How the API pools connections of every school, but for how many; the defaults are the seed's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// Seconds to connect.
    pub connect_timeout_seconds: u16,
    /// Seconds that a statement may take.
    pub command_timeout_seconds: u16,
    /// Connections are kept for the next request.
    pub enabled: bool,
}

impl Pooling {
    /// With at most so many connections.
    #[must_use]
    pub fn of(self, size: u16) -> PoolSettings {
        let Self { connect_timeout_seconds, command_timeout_seconds, enabled: pooling } = self;
        PoolSettings { size, connect_timeout_seconds, command_timeout_seconds, pooling }
    }
}

/// What a tenant's row should say.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Whose row, and for whom.
    pub owner: Owner,
    /// Name and contact.
    pub profile: Profile,
    /// Where the database is.
    pub route: Route,
    /// The login's password, to be sealed.
    pub password: SecretString,
    /// The schema applied to the database.
    pub schema_version: u32,
    /// Any but [`TenantState::Deleted`], which is for [`super::tenants::set_state`] alone.
    pub state: TenantState,
}

impl Publication {
    /// What is sealed.
    pub(super) fn credentials(&self) -> Credentials {
        Credentials { username: self.route.login.to_string(), password: self.password.clone() }
    }
}

/// What a tenant's row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The tenant.
    pub tenant: TenantId,
    /// The School it is for, and that School's cluster; none when the row was made by hand.
    pub school: Option<(SchoolUid, ClusterUid)>,
    /// The school's code.
    pub code: String,
    /// Name and contact.
    pub profile: Profile,
    /// Where it is in its life.
    pub state: TenantState,
    /// The server it was placed on.
    pub server: Option<ServerName>,
    /// Where its database is; none until everything of it is known.
    pub route: Option<Route>,
    /// The login's credentials.
    pub sealed: Option<Sealed>,
    /// The schema applied to its database.
    pub schema_version: Option<u32>,
    /// Grows with every change of route, state or credentials.
    pub epoch: i64,
}

impl Row {
    /// The row is this owner's.
    #[must_use]
    pub fn is_of(&self, owner: Owner) -> bool {
        self.tenant == owner.tenant && self.school == Some((owner.school, owner.cluster))
    }

    /// Publishing would change nothing.
    #[must_use]
    pub fn says(&self, wanted: &Publication, keyring: &Keyring) -> bool {
        self.is_of(wanted.owner)
            && self.profile == wanted.profile
            && self.route.as_ref() == Some(&wanted.route)
            && self.schema_version == Some(wanted.schema_version)
            && self.state == wanted.state
            && self.sealed.as_ref().is_some_and(|sealed| keyring.is_current(self.tenant, sealed, &wanted.credentials()))
    }

    pub(super) fn read(row: &PgRow) -> Result<Self> {
        let doing = "reading a tenant's row";
        let tenant = TenantId(row.try_get("id").doing(doing)?);
        let text = |column| row.try_get::<Option<String>, _>(column).doing(doing);
        let number = |column| row.try_get::<Option<i32>, _>(column).doing(doing);
        let uid = |column| row.try_get::<Option<Uuid>, _>(column).doing(doing);
        let state = text("state")?.as_deref().and_then(parse_state).ok_or(Error::Unknown { tenant, column: "state" })?;
        Ok(Self {
            tenant,
            school: uid("school_uid")?.zip(uid("cluster_uid")?).map(|(school, cluster)| (SchoolUid(school), ClusterUid(cluster))),
            code: row.try_get("code").doing(doing)?,
            profile: Profile {
                name: row.try_get("name").doing(doing)?,
                email: row.try_get("email").doing(doing)?,
                phone_number: text("phone_number")?,
            },
            state,
            server: text("server")?.and_then(|server| ServerName::parse(&server).ok()),
            route: read_route(row)?,
            sealed: read_sealed(row).doing(doing)?,
            schema_version: number("schema_version")?.and_then(|version| version.try_into().ok()),
            epoch: row.try_get("epoch").doing(doing)?,
        })
    }
}

/// Transport security as the registry's two columns: libpq's word, and the authority's certificate.
pub(super) fn tls_columns(tls: &Tls) -> (&'static str, Option<&[u8]>) {
    match tls {
        Tls::Disable => ("disable", None),
        Tls::Require => ("require", None),
        Tls::VerifyCa(pem) => ("verify-ca", Some(pem)),
        Tls::VerifyFull(pem) => ("verify-full", Some(pem)),
    }
}

/// The word in the registry.
pub(super) fn state_label(state: TenantState) -> &'static str {
    match state {
        TenantState::Provisioning => "provisioning",
        TenantState::Active => "active",
        TenantState::Suspended => "suspended",
        TenantState::Retained => "retained",
        TenantState::Deleted => "deleted",
    }
}

fn parse_state(label: &str) -> Option<TenantState> {
    use TenantState::{Active, Deleted, Provisioning, Retained, Suspended};
    [Provisioning, Active, Suspended, Retained, Deleted].into_iter().find(|&state| state_label(state) == label)
}
