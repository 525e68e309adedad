//! A tenant's row as the operator reads it. Must not hold a password in clear.

use domain::names::{ClusterUid, LoginName, SchoolUid, ServerName, TenantId};
use domain::tenant::{Profile, TenantState};
use postgres::error::Doing as _;
use registry::route::{Route, read_route, read_sealed};
use registry::seal::Sealed;
use secrecy::SecretString;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::publication::Publication;
use crate::master::keyring::Keyring;
use crate::master::{Error, Result, TenantRef};

/// What a tenant's row holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedRow {
    /// The tenant.
    pub tenant: TenantId,
    /// The School it is for, and that School's cluster; none when a person made the row.
    pub school: Option<(SchoolUid, ClusterUid)>,
    /// The school's code.
    pub code: String,
    /// Name and contact.
    pub profile: Profile,
    /// The tenant state.
    pub state: TenantState,
    /// The server it was placed on.
    pub server: Option<ServerName>,
    /// Where its database is; none until everything of it is known.
    pub route: Option<Route>,
    /// The login's credentials.
    pub sealed: Option<Sealed>,
    /// The schema version of its database.
    pub schema_version: Option<u32>,
    /// Grows with every change of route, state or credentials.
    pub epoch: i64,
}

impl ObservedRow {
    /// The row belongs to this tenant's School.
    #[must_use]
    pub fn is_of(&self, tenant: TenantRef) -> bool {
        self.tenant == tenant.id && self.school == Some((tenant.school, tenant.cluster))
    }

    /// The row holds all of `publication`: publishing it would change nothing.
    #[must_use]
    pub fn matches(&self, publication: &Publication, keyring: &Keyring) -> bool {
        self.is_of(publication.tenant)
            && self.profile == publication.profile
            && self.route.as_ref() == Some(&publication.route)
            && self.schema_version == Some(publication.schema_version)
            && self.state == publication.state
            && publication
                .credentials()
                .is_none_or(|desired| self.sealed.as_ref().is_some_and(|sealed| keyring.is_current(self.tenant, sealed, &desired)))
    }

    /// The password that requests are routed with; none while nothing is sealed that the keyring opens, or it is another login's.
    #[must_use]
    pub fn routed_password(&self, login: &LoginName, keyring: &Keyring) -> Option<SecretString> {
        let credentials = keyring.open(self.tenant, self.sealed.as_ref()?).ok()?;
        (credentials.username == login.as_str()).then_some(credentials.password)
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
