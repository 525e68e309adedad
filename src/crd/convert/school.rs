//! A `School` object to [`Wanted`], and its status to and from the recorded [`Names`].

use kube::ResourceExt as _;
use uuid::Uuid;

use super::{At as _, SpecError, tier};
use crate::crd::school::{
    AdminUserStatus, Binding, CredentialsStatus, DatabaseStatus, DeletionPolicy, Placement, PlacementStatus, School, SchoolSpec,
    SchoolStatus, SecretTemplate, State,
};
use crate::domain::names::{DatabaseName, Invalid, LoginName, SchoolCode, SecretName, ServerName, TenantId};
use crate::domain::retry::Class;
use crate::domain::school::seen::Names;
use crate::domain::school::wanted::{Ask, OnDelete, Person, Profile, Request, Tier, Wanted};

/// `spec.database.connectionLimit` when it is not given.
pub const DEFAULT_CONNECTION_LIMIT: u16 = 100;

/// What a School asks for. `schema` is the version this operator brings databases to.
///
/// # Errors
/// [`SpecError`] when the object stands and a field cannot be used; never when it is being deleted.
pub fn wanted(school: &School, schema: u32) -> Result<Wanted, SpecError> {
    if school.metadata.deletion_timestamp.is_some() {
        return Ok(Wanted::Gone(on_delete(&school.spec)));
    }
    Ok(Wanted::Kept(Box::new(ask(school, schema)?)))
}

fn on_delete(spec: &SchoolSpec) -> OnDelete {
    match spec.deletion_policy {
        Some(DeletionPolicy::Delete) => OnDelete::Delete,
        None | Some(DeletionPolicy::Retain | DeletionPolicy::Unknown) => OnDelete::Retain,
    }
}

fn ask(school: &School, schema: u32) -> Result<Ask, SpecError> {
    let spec = &school.spec;
    if spec.deletion_policy == Some(DeletionPolicy::Unknown) {
        return Err(Invalid { what: "deletion policy", why: "must be Retain or Delete" }).at("spec.deletionPolicy");
    }
    Ok(Ask {
        code: SchoolCode::parse(&spec.code).at("spec.code")?,
        profile: Profile {
            name: text(&spec.display_name).at("spec.displayName")?,
            email: email(&spec.email).at("spec.email")?,
            phone_number: spec.phone_number.as_deref().map(text).transpose().at("spec.phoneNumber")?,
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

fn request(placement: Option<&Placement>) -> Result<Request, SpecError> {
    let Some(placement) = placement else { return Ok(Request { tier: Tier::Standard, server: None }) };
    Ok(Request {
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
