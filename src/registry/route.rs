//! A tenant's row: what it says, and what it should say.
//!
//! Must not hold a password in clear beyond the publication that carries it to be sealed.

use secrecy::SecretString;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::seal::{Keyring, Sealed};
use super::{Error, Owner, Result};
use crate::domain::names::{ClusterUid, DatabaseName, LoginName, SchoolUid, ServerName, TenantId};
use crate::domain::school::seen::TenantState;
use crate::domain::school::wanted::Profile;
use crate::sql::error::Doing as _;
use crate::sql::session::{Credentials, Endpoint, Tls};

/// Everything the API needs to reach a tenant's database, without the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The `DatabaseServer`.
    pub server: ServerName,
    /// Where it listens and how it proves who it is.
    pub endpoint: Endpoint,
    /// The database.
    pub database: DatabaseName,
    /// The login.
    pub login: LoginName,
    /// How the API pools connections to it.
    pub pool: PoolSettings,
}

/// How the API pools a tenant's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// The most connections.
    pub size: u16,
    /// Seconds to connect.
    pub connect_timeout_seconds: u16,
    /// Seconds that a statement may take.
    pub command_timeout_seconds: u16,
    /// Connections are kept for the next request.
    pub pooling: bool,
}

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
    /// The columns that [`Row::read`] reads, of a table called `t`.
    pub(super) const COLUMNS: &str = "t.id, t.school_uid, t.cluster_uid, t.code, t.name, t.email, t.phone_number, t.state, t.server, t.host, t.port, \
         t.tls_mode, t.tls_ca, t.database_name, t.login, t.pool_size, t.connect_timeout_seconds, t.command_timeout_seconds, t.pooling, t.credentials, t.key_id, \
         t.schema_version, t.epoch";

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

/// A route that is incomplete, or that names what this program could not have written, is none: publishing it anew repairs it.
pub(super) fn read_route(row: &PgRow) -> Result<Option<Route>> {
    let doing = "reading a tenant's route";
    let text = |column| row.try_get::<Option<String>, _>(column).doing(doing);
    let number = |column| row.try_get::<Option<i32>, _>(column).map(|n| n.and_then(|n| u16::try_from(n).ok())).doing(doing);
    let address = (text("host")?, number("port")?, text("tls_mode")?.and_then(tls_of(text("tls_ca")?)));
    let names = (text("server")?, text("database_name")?, text("login")?);
    let limits = (number("pool_size")?, number("connect_timeout_seconds")?, number("command_timeout_seconds")?);
    let pooling = row.try_get("pooling").doing(doing)?;
    let ((Some(host), Some(port), Some(tls)), (Some(server), Some(database), Some(login))) = (address, names) else { return Ok(None) };
    let (Some(size), Some(connect_timeout_seconds), Some(command_timeout_seconds)) = limits else { return Ok(None) };
    let parsed = (ServerName::parse(&server), DatabaseName::parse(&database), LoginName::parse(&login));
    let (Ok(server), Ok(database), Ok(login)) = parsed else { return Ok(None) };
    let pool = PoolSettings { size, connect_timeout_seconds, command_timeout_seconds, pooling };
    Ok(Some(Route { server, endpoint: Endpoint { host, port, tls }, database, login, pool }))
}

pub(super) fn read_sealed(row: &PgRow) -> Result<Option<Sealed>, sqlx::Error> {
    let (key_id, bytes): (Option<String>, Option<Vec<u8>>) = (row.try_get("key_id")?, row.try_get("credentials")?);
    Ok(key_id.zip(bytes).map(|(key_id, bytes)| Sealed { key_id, bytes }))
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

fn tls_of(authority: Option<String>) -> impl FnOnce(String) -> Option<Tls> {
    move |mode| match (mode.as_str(), authority) {
        ("disable", None) => Some(Tls::Disable),
        ("require", None) => Some(Tls::Require),
        ("verify-ca", Some(pem)) => Some(Tls::VerifyCa(pem.into_bytes())),
        ("verify-full", Some(pem)) => Some(Tls::VerifyFull(pem.into_bytes())),
        _ => None,
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
