//! A `School` object to [`Desired`], and the names that are derived from it.
//!
//! Must not default anything when the School is being deleted: only the deletion policy is read then.

use domain::names::{DatabaseName, Invalid, LoginName, ResetRequest, SchoolCode, SecretName, ServerName, TenantId};
use domain::placement::PlacementRequest;
use domain::school::desired::{DeletionPolicy, Desired, DesiredSchool};
use domain::school::observed::Names;
use domain::tenant::{Person, Profile};
use domain::tier::Tier;
use kube::ResourceExt as _;

use super::{At as _, SpecError, tier};
use crate::crd::school::{self as crd, School, SchoolSpec, SecretTemplate, State};

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

/// A person's request for another password of the school's administrator, if there is one. An empty one is none.
#[must_use]
pub fn reset_request(school: &School) -> Option<Result<ResetRequest, Invalid>> {
    let request = school.annotations().get(ResetRequest::ANNOTATION).filter(|request| !request.is_empty())?;
    Some(ResetRequest::parse(request))
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

/// What the registry needs for the row of a School that is being deleted. Only its code must be usable.
///
/// # Errors
/// [`SpecError`] when the code cannot be used.
pub fn registration(school: &School) -> Result<(SchoolCode, Profile), SpecError> {
    let spec = &school.spec;
    let code = SchoolCode::parse(&spec.code).at("spec.code")?;
    let profile = Profile {
        name: text(&spec.display_name).unwrap_or_else(|_| code.to_string()),
        email: email(&spec.email).unwrap_or_default(),
        phone_number: spec.phone_number.as_deref().and_then(|number| phone_number(number).ok()),
    };
    Ok((code, profile))
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

/// The names of a School that has none recorded: chosen once, by the code that the registry holds for it.
///
/// # Errors
/// [`SpecError`] when a Secret's name cannot be derived.
pub fn derived_names(school: &School, tenant: TenantId, code: &SchoolCode, server: ServerName) -> Result<Names, SpecError> {
    let database = DatabaseName::of(code);
    let (login, secret) = (LoginName::of(&database), secret(school)?);
    Ok(Names { tenant, server, database, login, secret, admin_secret: SecretName::parse(&admin_secret(school)).at("metadata.name")? })
}

#[cfg(test)]
mod tests {
    use domain::retry::Class;
    use kube::core::DeserializeGuard;
    use serde_json::{Value, json};

    use super::*;

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
}
