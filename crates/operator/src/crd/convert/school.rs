//! A `School` object to [`Desired`], and its status to and from the recorded [`Names`].

use domain::names::{DatabaseName, Invalid, LoginName, SchoolCode, SecretName, ServerName, TenantId};
use domain::placement::PlacementRequest;
use domain::retry::Class;
use domain::school::desired::{DeletionPolicy, Desired, DesiredSchool};
use domain::school::observed::Names;
use domain::tenant::{Person, Profile};
use domain::tier::Tier;
use kube::ResourceExt as _;
use uuid::Uuid;

use super::{At as _, SpecError, tier};
use crate::crd::school::{
    self as crd, AdminUserStatus, Binding, CredentialsStatus, DatabaseStatus, PlacementStatus, School, SchoolSpec, SchoolStatus,
    SecretTemplate, State,
};

/// `spec.database.connectionLimit` when it is not given.
pub const DEFAULT_CONNECTION_LIMIT: u16 = 100;

/// What a School asks for. `schema` is the version this operator brings databases to.
///
/// # Errors
/// [`SpecError`] when the object stands and a field cannot be used; never when it is being deleted.
pub fn desired(school: &School, schema: u32) -> Result<Desired, SpecError> {
    if school.metadata.deletion_timestamp.is_some() {
        return Ok(Desired::Deleted(deletion_policy(&school.spec)));
    }
    Ok(Desired::Present(Box::new(desired_school(school, schema)?)))
}

fn deletion_policy(spec: &SchoolSpec) -> DeletionPolicy {
    match spec.deletion_policy {
        Some(crd::DeletionPolicy::Delete) => DeletionPolicy::Delete,
        None | Some(crd::DeletionPolicy::Retain | crd::DeletionPolicy::Unknown) => DeletionPolicy::Retain,
    }
}

fn desired_school(school: &School, schema: u32) -> Result<DesiredSchool, SpecError> {
    let spec = &school.spec;
    if spec.deletion_policy == Some(crd::DeletionPolicy::Unknown) {
        return Err(Invalid { what: "deletion policy", why: "must be Retain or Delete" }).at("spec.deletionPolicy");
    }
    Ok(DesiredSchool {
        code: SchoolCode::parse(&spec.code).at("spec.code")?,
        profile: Profile {
            name: text(&spec.display_name).at("spec.displayName")?,
            email: email(&spec.email).at("spec.email")?,
            phone_number: spec.phone_number.as_deref().map(phone_number).transpose().at("spec.phoneNumber")?,
        },
        admin: Person {
            name: text(&spec.admin_user.name).at("spec.adminUser.name")?,
            email: email(&spec.admin_user.email).at("spec.adminUser.email")?,
        },
        placement: request(spec.placement.as_ref())?,
        secret: secret(school)?,
        connection_limit: connection_limit(spec).at("spec.database.connectionLimit")?,
        suspended: suspended(spec.state).at("spec.state")?,
        schema,
    })
}

fn request(placement: Option<&crd::Placement>) -> Result<PlacementRequest, SpecError> {
    let Some(placement) = placement else { return Ok(PlacementRequest { tier: Tier::Standard, server: None }) };
    Ok(PlacementRequest {
        tier: placement.tier.map_or(Ok(Tier::Standard), tier).at("spec.placement.tier")?,
        server: placement.server_name.as_deref().map(ServerName::parse).transpose().at("spec.placement.serverName")?,
    })
}

fn secret(school: &School) -> Result<SecretName, SpecError> {
    match school.spec.credentials.as_ref().and_then(|credentials| credentials.secret_name.as_deref()) {
        Some(name) if name == admin_secret(school) => {
            let why = "must not be <name>-admin, which holds the administrator's temporary password";
            Err(Invalid { what: "Secret name", why }).at("spec.credentials.secretName")
        }
        Some(name) => SecretName::parse(name).at("spec.credentials.secretName"),
        None => SecretName::parse(&format!("{}-db", school.name_any())).at("metadata.name"),
    }
}

fn admin_secret(school: &School) -> String {
    format!("{}-admin", school.name_any())
}

fn connection_limit(spec: &SchoolSpec) -> Result<u16, Invalid> {
    let Some(limit) = spec.database.as_ref().and_then(|database| database.connection_limit) else { return Ok(DEFAULT_CONNECTION_LIMIT) };
    let limit = u16::try_from(limit).ok().filter(|limit| (1..=1000).contains(limit));
    limit.ok_or(Invalid { what: "connection limit", why: "must be 1 to 1000" })
}

fn suspended(state: Option<State>) -> Result<bool, Invalid> {
    match state {
        None | Some(State::Active) => Ok(false),
        Some(State::Suspended) => Ok(true),
        Some(State::Unknown) => Err(Invalid { what: "state", why: "must be Active or Suspended" }),
    }
}

/// Text for people. PostgreSQL stores no NUL, and the registry's columns are bounded.
fn text(text: &str) -> Result<String, Invalid> {
    let fits = text.chars().any(|c| c != ' ') && text.chars().count() <= 200 && !text.chars().any(char::is_control);
    if fits {
        Ok(text.to_owned())
    } else {
        Err(Invalid { what: "text", why: "must be 1 to 200 characters, one of them visible and none a control character" })
    }
}

fn phone_number(text: &str) -> Result<String, Invalid> {
    let fits = (3..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || b"+ ()./-".contains(&b));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(Invalid { what: "telephone number", why: "must be 3 to 20 digits, spaces and + ( ) . / -" })
    }
}

fn email(text: &str) -> Result<String, Invalid> {
    let fits = text.chars().count() <= 200
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
        && text.split_once('@').is_some_and(|(mailbox, domain)| !mailbox.is_empty() && !domain.is_empty() && !domain.contains('@'));
    if fits { Ok(text.to_owned()) } else { Err(Invalid { what: "e-mail address", why: "must be of the form office@school.example" }) }
}

/// Labels and annotations for the credentials Secret; empty when none are asked for.
#[must_use]
pub fn secret_template(school: &School) -> SecretTemplate {
    school.spec.credentials.as_ref().and_then(|credentials| credentials.secret_template.clone()).unwrap_or_default()
}

/// A status whose recorded names cannot be trusted. Never taken for an unbound School, which would get a second database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Some names are recorded and this one is not.
    #[error("{field} is missing although other names are recorded; restore the status")]
    Missing {
        /// The field's path.
        field: &'static str,
    },
    /// What is recorded is no name.
    #[error("{field} holds no usable name; restore the status")]
    Garbled {
        /// The field's path.
        field: &'static str,
        /// What is wrong with it.
        source: Invalid,
    },
}

impl RecordError {
    /// Always [`Class::Invalid`]: only a person can say what the status held.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::Invalid
    }
}

/// The names recorded in a status; none when not one of them is.
///
/// # Errors
/// [`RecordError`] when only some are recorded, or one is no name.
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

/// The names of a School that has none recorded: chosen once, by the code that the registry holds for it.
///
/// # Errors
/// [`SpecError`] when a Secret's name cannot be derived.
pub fn derived_names(school: &School, tenant: TenantId, code: &SchoolCode, server: ServerName) -> Result<Names, SpecError> {
    let database = DatabaseName::of(code);
    let (login, secret) = (LoginName::of(&database), secret(school)?);
    Ok(Names { tenant, server, database, login, secret, admin_secret: SecretName::parse(&admin_secret(school)).at("metadata.name")? })
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
    use kube::core::DeserializeGuard;
    use serde_json::{Value, json};

    use super::*;
    use domain::names::{ClusterUid, SchoolUid};

    fn school(spec: &Value) -> School {
        let mut object = json!({
            "apiVersion": "dailycare.io/v1alpha1", "kind": "School", "metadata": {"name": "northside", "namespace": "district-7"},
            "spec": {
                "code": "north-1", "displayName": "Northside High", "email": "office@northside.example",
                "adminUser": {"name": "Ana Sousa", "email": "ana@northside.example"}
            }
        });
        for (key, field) in spec.as_object().unwrap() {
            object["spec"][key] = field.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn deleted(spec: &Value) -> School {
        let mut object = serde_json::to_value(school(spec)).unwrap();
        object["metadata"]["deletionTimestamp"] = json!("2026-11-23T18:00:00Z");
        serde_json::from_value(object).unwrap()
    }

    fn kept(spec: &Value) -> DesiredSchool {
        match desired(&school(spec), 42).unwrap() {
            Desired::Present(school) => *school,
            Desired::Deleted(policy) => panic!("a standing school is gone with {policy:?}"),
        }
    }

    #[test]
    fn what_is_not_given_has_its_meaning() {
        let read = kept(&json!({}));
        assert_eq!(read.code.as_str(), "north-1");
        assert_eq!(read.placement, PlacementRequest { tier: Tier::Standard, server: None });
        assert_eq!((read.secret.as_str(), read.connection_limit, read.suspended, read.schema), ("northside-db", 100, false, 42));
        assert_eq!(read.profile.phone_number, None);
        assert_eq!(secret_template(&school(&json!({}))), SecretTemplate::default());
    }

    #[test]
    fn what_is_given_is_taken() {
        let read = kept(&json!({
            "phoneNumber": "112", "placement": {"tier": "premium", "serverName": "pg-1"}, "database": {"connectionLimit": 7},
            "credentials": {"secretName": "own"}, "state": "Suspended", "deletionPolicy": "Delete"
        }));
        assert_eq!(read.placement, PlacementRequest { tier: Tier::Premium, server: Some(ServerName::parse("pg-1").unwrap()) });
        assert_eq!((read.secret.as_str(), read.connection_limit, read.suspended), ("own", 7, true));
        assert_eq!(read.profile.phone_number.as_deref(), Some("112"));
        assert_eq!(read.admin, Person { name: "Ana Sousa".into(), email: "ana@northside.example".into() });
    }

    #[test]
    fn what_a_weaker_schema_would_let_through_is_named_by_its_field() {
        let long_name = "é".repeat(201);
        for (spec, field) in [
            (json!({"code": "Escola A"}), "spec.code"),
            (json!({"displayName": " "}), "spec.displayName"),
            (json!({"displayName": "a\u{0}"}), "spec.displayName"),
            (json!({"displayName": long_name}), "spec.displayName"),
            (json!({"email": "a b@c.pt"}), "spec.email"),
            (json!({"email": "a"}), "spec.email"),
            (json!({"phoneNumber": "1\n2"}), "spec.phoneNumber"),
            (json!({"phoneNumber": "1".repeat(21)}), "spec.phoneNumber"),
            (json!({"adminUser": {"name": "", "email": "a@b.pt"}}), "spec.adminUser.name"),
            (json!({"adminUser": {"name": "Ana", "email": "@b.pt"}}), "spec.adminUser.email"),
            (json!({"placement": {"tier": "gold"}}), "spec.placement.tier"),
            (json!({"placement": {"serverName": "PG"}}), "spec.placement.serverName"),
            (json!({"credentials": {"secretName": "a_b"}}), "spec.credentials.secretName"),
            (json!({"credentials": {"secretName": "northside-admin"}}), "spec.credentials.secretName"),
            (json!({"database": {"connectionLimit": 0}}), "spec.database.connectionLimit"),
            (json!({"database": {"connectionLimit": 65_637}}), "spec.database.connectionLimit"),
            (json!({"deletionPolicy": "Archive"}), "spec.deletionPolicy"),
            (json!({"state": "Closed"}), "spec.state"),
        ] {
            let error = desired(&school(&spec), 1).unwrap_err();
            assert_eq!(error.field, field, "{spec}");
            assert_eq!(error.class(), Class::Invalid);
            assert!(!error.to_string().contains(&error.source.to_string()), "{error} repeats its source");
        }
    }

    #[test]
    fn deletion_needs_no_valid_spec_and_only_a_plain_delete_loses_data() {
        for (policy, kept) in [
            (json!("Delete"), DeletionPolicy::Delete),
            (json!("Retain"), DeletionPolicy::Retain),
            (json!("Archive"), DeletionPolicy::Retain),
        ] {
            let nonsense = json!({"code": "", "displayName": "", "placement": {"tier": "?"}, "state": "?", "deletionPolicy": policy});
            assert_eq!(desired(&deleted(&nonsense), 1), Ok(Desired::Deleted(kept)));
        }
        assert_eq!(desired(&deleted(&json!({})), 1), Ok(Desired::Deleted(DeletionPolicy::Retain)));
    }

    #[test]
    fn an_object_that_cannot_be_read_is_reported_with_its_name_instead_of_stopping_the_list() {
        let list = json!([
            {"apiVersion": "dailycare.io/v1alpha1", "kind": "School", "metadata": {"name": "broken"}, "spec": {"code": {"a": 1}}},
            school(&json!({}))
        ]);
        let read: Vec<DeserializeGuard<School>> = serde_json::from_value(list).unwrap();
        assert_eq!(read[0].0.as_ref().unwrap_err().metadata.name.as_deref(), Some("broken"));
        assert_eq!(read[1].0.as_ref().unwrap().name_any(), "northside");
    }

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
