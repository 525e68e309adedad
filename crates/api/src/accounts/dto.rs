//! Accounts as requests and answers have them, and as the document describes them.
//!
//! Must not know the database.

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::answer::ETag;
use crate::identity::Role;

/// An account of a school.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct User {
    /// Id of the account (UUID).
    pub id: Uuid,
    /// Full name of the person.
    pub name: String,
    /// E-mail address that the person signs in with.
    pub email: String,
    /// Telephone number of the person.
    #[schema(required)]
    pub phone_number: Option<String>,
    /// Main role of the account.
    pub role: Role,
    /// Whether the account may sign in.
    pub is_active: bool,
    /// Whether the account still has a temporary password.
    pub must_change_password: bool,
    /// Time of the last login, in RFC 3339 format; null if there was none.
    #[schema(required)]
    pub last_login_at: Option<DateTime<Utc>>,
    /// Time at which the account was created, in RFC 3339 format.
    pub created_at: DateTime<Utc>,
    /// Time of the last change, in RFC 3339 format.
    pub updated_at: DateTime<Utc>,
}

impl User {
    /// The version of what an administrator can change: the same for the same content, so that a login, which changes none of it, makes no version old.
    #[must_use]
    pub fn etag(&self) -> ETag {
        let Self { id, name, email, phone_number, role, is_active, .. } = self;
        let content = format!("{:?}", (id, name, email, phone_number, role, is_active));
        let mut version = [0; 8];
        version.copy_from_slice(&digest(&SHA256, content.as_bytes()).as_ref()[..8]);
        ETag(i64::from_be_bytes(version) & i64::MAX)
    }
}

/// Main role that a school can give to an account. Only the platform can make platform administrators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum SchoolRole {
    /// Runs the school.
    SchoolAdmin,
    /// Teaches.
    Teacher,
    /// Looks after the children's health.
    HealthStaff,
    /// A child's parent or whoever stands for one.
    Guardian,
    /// Sees and changes nothing.
    ReadOnly,
}

impl SchoolRole {
    pub(super) fn name(self) -> &'static str {
        let role = match self {
            Self::SchoolAdmin => Role::SchoolAdmin,
            Self::Teacher => Role::Teacher,
            Self::HealthStaff => Role::HealthStaff,
            Self::Guardian => Role::Guardian,
            Self::ReadOnly => Role::ReadOnly,
        };
        role.name()
    }
}

/// Request body that creates an account.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Full name of the person.
    #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
    pub name: String,
    /// E-mail address that the person signs in with. No two accounts of the platform share one.
    #[schema(min_length = 3, max_length = 200, pattern = r"^[^@\s]+@[^@\s]+$")]
    pub email: String,
    /// Telephone number of the person.
    #[serde(default)]
    #[schema(max_length = 20)]
    pub phone_number: Option<String>,
    /// Main role of the account.
    pub role: SchoolRole,
}

/// Request body that updates an account. Absent fields keep their value.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UserChange {
    /// Full name of the person.
    #[schema(min_length = 1, max_length = 200, pattern = r"\S", nullable = false)]
    pub name: Option<String>,
    /// E-mail address that the person signs in with.
    #[schema(min_length = 3, max_length = 200, pattern = r"^[^@\s]+@[^@\s]+$", nullable = false)]
    pub email: Option<String>,
    /// Telephone number of the person; null removes it.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 20)]
    pub phone_number: Option<Option<String>>,
    /// Main role of the account.
    #[schema(nullable = false)]
    pub role: Option<SchoolRole>,
    /// Whether the account may sign in.
    #[schema(nullable = false)]
    pub is_active: Option<bool>,
}

/// Filters of the list of accounts.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UserFilter {
    /// Only accounts whose name contains these words. Each word matches as a prefix, in any order; accents and case are ignored.
    #[param(max_length = 200)]
    pub name: Option<String>,
    /// Only the account with exactly this e-mail address; case is ignored.
    #[param(max_length = 200)]
    pub email: Option<String>,
    /// Only accounts with this main role.
    pub role: Option<SchoolRole>,
    /// Only accounts that may sign in if true, only those that may not if false.
    pub is_active: Option<bool>,
}

/// Absent and null differ.
#[expect(clippy::option_option, reason = "absent, null and a text are three things")]
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// An account and its temporary password.
#[derive(Clone, Serialize, ToSchema)]
pub struct UserWithPassword {
    /// The account of the user.
    pub user: User,
    /// Temporary password, which only this answer contains. The first login must replace it.
    pub temporary_password: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;
    use crate::error::Code;

    #[test]
    fn a_version_is_of_what_can_be_changed_and_of_nothing_else() {
        let at = DateTime::UNIX_EPOCH;
        let user = User {
            id: Uuid::from_u128(1),
            name: "Rui".into(),
            email: "rui@x".into(),
            phone_number: None,
            role: Role::Teacher,
            is_active: true,
            must_change_password: true,
            last_login_at: None,
            created_at: at,
            updated_at: at,
        };
        let later = User { last_login_at: Some(Utc::now()), updated_at: Utc::now(), must_change_password: false, ..user.clone() };
        assert_eq!(user.etag(), later.etag());
        for other in [
            User { name: "Rita".into(), ..user.clone() },
            User { email: "rita@x".into(), ..user.clone() },
            User { phone_number: Some(String::new()), ..user.clone() },
            User { role: Role::ReadOnly, ..user.clone() },
            User { is_active: false, ..user.clone() },
        ] {
            assert_ne!(user.etag(), other.etag(), "{other:?}");
        }
    }

    #[test]
    fn a_change_tells_absent_from_null_and_no_role_of_the_platform_is_given() {
        let read = |json: &str| Body::<UserChange>::read(json.as_bytes()).and_then(Body::parse);
        assert_eq!(read("{}").unwrap().phone_number, None);
        assert_eq!(read(r#"{"phone_number": null}"#).unwrap().phone_number, Some(None));
        assert_eq!(read(r#"{"phone_number": "1"}"#).unwrap().phone_number, Some(Some("1".into())));
        for bad in [r#"{"role": "PlatformAdmin"}"#, r#"{"tenant_id": "x"}"#, r#"{"name": " "}"#, r#"{"email": "x"}"#, r#"{"name": null}"#] {
            assert_eq!(read(bad).unwrap_err().code, Code::Validation, "{bad}");
        }
    }
}
