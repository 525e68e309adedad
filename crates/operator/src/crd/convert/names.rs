//! The names recorded in a School's status, and back.
//!
//! Must never take a status with lost or unusable names for one without names: such a School would get a second database.

use domain::names::{DatabaseName, Invalid, LoginName, SecretName, ServerName, TenantId};
use domain::retry::Class;
use domain::school::observed::Names;
use uuid::Uuid;

use crate::crd::school::{AdminUserStatus, Binding, CredentialsStatus, DatabaseStatus, PlacementStatus, School, SchoolStatus};

/// A status whose recorded names cannot be trusted. It is never taken for a School without names, which would get a second database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Some names are recorded and this one is not.
    #[error("{field} is missing although other names are recorded; restore the status")]
    Missing {
        /// The field's path.
        field: &'static str,
    },
    /// What is recorded cannot be a name.
    #[error("{field} holds no usable name; restore the status")]
    Garbled {
        /// The field's path.
        field: &'static str,
        /// What is wrong with it.
        source: Invalid,
    },
}

impl RecordError {
    /// Always [`Class::Invalid`]: only a person knows what the status said.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::Invalid
    }
}

/// The names recorded in a status; none when no name is.
///
/// # Errors
/// [`RecordError`] when only some are recorded, or one cannot be a name.
pub fn names(status: Option<&SchoolStatus>) -> Result<Option<Names>, RecordError> {
    let Some(status) = status else { return Ok(None) };
    let tenant = Record("status.tenantId", status.tenant_id.as_deref());
    let server = Record("status.placement.serverName", status.placement.as_ref().and_then(|placement| placement.server_name.as_deref()));
    let database = Record("status.database.name", status.database.as_ref().and_then(|database| database.name.as_deref()));
    let credentials = status.credentials.as_ref();
    let secret = Record("status.credentials.secretName", credentials.and_then(|credentials| credentials.secret_name.as_deref()));
    let login = Record("status.credentials.activeLogin", credentials.and_then(|credentials| credentials.active_login.as_deref()));
    let admin_secret = Record("status.adminUser.secretName", status.admin_user.as_ref().and_then(|admin| admin.secret_name.as_deref()));
    if [&tenant, &server, &database, &secret, &login, &admin_secret].iter().all(|record| record.1.is_none()) {
        return Ok(None);
    }
    Ok(Some(Names {
        tenant: tenant.read(tenant_id)?,
        server: server.read(ServerName::parse)?,
        database: database.read(DatabaseName::parse)?,
        login: login.read(LoginName::parse)?,
        secret: secret.read(SecretName::parse)?,
        admin_secret: admin_secret.read(SecretName::parse)?,
    }))
}

/// A field of the status and what it holds.
struct Record<'a>(&'static str, Option<&'a str>);

impl Record<'_> {
    fn read<T>(self, parse: impl FnOnce(&str) -> Result<T, Invalid>) -> Result<T, RecordError> {
        let Self(field, text) = self;
        parse(text.ok_or(RecordError::Missing { field })?).map_err(|source| RecordError::Garbled { field, source })
    }
}

fn tenant_id(text: &str) -> Result<TenantId, Invalid> {
    Uuid::parse_str(text).map(TenantId).map_err(|_| Invalid { what: "tenant id", why: "must be a UUID" })
}

/// The server in a School's status, whatever else is recorded; none when it cannot be a name.
#[must_use]
pub fn recorded_server(school: &School) -> Option<ServerName> {
    let placement = school.status.as_ref()?.placement.as_ref()?;
    ServerName::parse(placement.server_name.as_deref()?).ok()
}

/// A status that holds these names and nothing else; [`names`] reads them back.
#[must_use]
pub fn recorded(names: &Names) -> SchoolStatus {
    let text = |name: &str| Some(name.to_owned());
    SchoolStatus {
        tenant_id: Some(names.tenant.to_string()),
        binding: Some(Binding { name: text(names.secret.as_str()) }),
        placement: Some(PlacementStatus { server_name: text(names.server.as_str()), ..PlacementStatus::default() }),
        database: Some(DatabaseStatus { name: text(names.database.as_str()), ..DatabaseStatus::default() }),
        credentials: Some(CredentialsStatus { secret_name: text(names.secret.as_str()), active_login: text(names.login.as_str()) }),
        admin_user: Some(AdminUserStatus { secret_name: text(names.admin_secret.as_str()), ..AdminUserStatus::default() }),
        ..SchoolStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use domain::names::{ClusterUid, SchoolCode, SchoolUid};
    use serde_json::{Value, json};

    use super::*;

    fn example() -> Names {
        let database = DatabaseName::of(&SchoolCode::parse("north-1").unwrap());
        Names {
            tenant: TenantId::of(ClusterUid(Uuid::from_u128(1)), SchoolUid(Uuid::from_u128(2))),
            server: ServerName::parse("pg-1").unwrap(),
            login: LoginName::of(&database),
            database,
            secret: SecretName::parse("northside-db").unwrap(),
            admin_secret: SecretName::parse("northside-admin").unwrap(),
        }
    }

    #[test]
    fn recorded_names_are_read_back_and_a_status_without_any_has_none() {
        let status = recorded(&example());
        assert_eq!(names(Some(&status)), Ok(Some(example())));
        assert_eq!(status.binding.unwrap().name.as_deref(), Some("northside-db"));
        assert_eq!(names(None), Ok(None));
        let unplaced = SchoolStatus { observed_generation: Some(3), conditions: Some(vec![]), ..SchoolStatus::default() };
        assert_eq!(names(Some(&unplaced)), Ok(None));
    }

    #[test]
    fn a_name_that_is_lost_or_garbled_is_an_error_and_never_an_unbound_school() {
        let fields = [
            "/tenantId",
            "/placement/serverName",
            "/database/name",
            "/credentials/secretName",
            "/credentials/activeLogin",
            "/adminUser/secretName",
        ];
        for pointer in fields {
            let field = format!("status{}", pointer.replace('/', "."));
            let spoilt = |name: Value| -> RecordError {
                let mut status = serde_json::to_value(recorded(&example())).unwrap();
                *status.pointer_mut(pointer).unwrap() = name;
                names(Some(&serde_json::from_value(status).unwrap())).unwrap_err()
            };
            assert!(matches!(spoilt(Value::Null), RecordError::Missing { field: found } if found == field), "{field}");
            assert!(matches!(spoilt(json!("Not a name")), RecordError::Garbled { field: found, .. } if found == field), "{field}");
        }
    }
}
