//! Ownership comments: small JSON objects in the comments of databases and roles. They are the record of who owns each of them.
//!
//! Must not hold a password: every login of the server can read a comment. An object whose comment does not parse is foreign.

use domain::names::{ClusterUid, SchoolUid, TenantId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Who owns a database, and the schema version it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseComment {
    /// The tenant.
    #[serde(with = "tenant")]
    pub tenant: TenantId,
    /// The School object that claimed it.
    #[serde(with = "school")]
    pub school: SchoolUid,
    /// The cluster of that object.
    #[serde(with = "cluster")]
    pub cluster: ClusterUid,
    /// The number of the last migration applied.
    pub schema: u32,
    /// [`postgres::schema::Migrations::digest_at`] of that version.
    pub digest: String,
}

/// Who owns a login, and the password it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginComment {
    /// The tenant.
    #[serde(with = "tenant")]
    pub tenant: TenantId,
    /// The School object that claimed it.
    #[serde(with = "school")]
    pub school: SchoolUid,
    /// The cluster of that object.
    #[serde(with = "cluster")]
    pub cluster: ClusterUid,
    /// A keyed fingerprint of the password, made by the caller; empty while the login has none.
    pub password: String,
}

/// Which cluster prepared one of the server's fixed roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleComment {
    /// The cluster.
    #[serde(with = "cluster")]
    pub cluster: ClusterUid,
    /// The role, so that a school's ownership comment never parses as this one.
    pub role: String,
    /// A keyed fingerprint of the password, for roles that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// To the text of a comment, and back.
pub trait OwnershipComment: Serialize + for<'a> Deserialize<'a> {
    /// The comment's text.
    fn text(&self) -> String {
        // Structs of strings and numbers: serialising them cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a comment; none when it is not an ownership comment of this kind.
    #[must_use]
    fn parse(comment: Option<&str>) -> Option<Self> {
        serde_json::from_str(comment?).ok()
    }
}

impl OwnershipComment for DatabaseComment {}
impl OwnershipComment for LoginComment {}
impl OwnershipComment for RoleComment {}

macro_rules! identity {
    ($module:ident, $name:ident) => {
        /// Identities are plain UUIDs in JSON; the domain has no serde.
        mod $module {
            use super::{Deserialize, Serialize, Uuid, $name};

            pub(super) fn serialize<S: serde::Serializer>(id: &$name, to: S) -> Result<S::Ok, S::Error> {
                id.0.serialize(to)
            }

            pub(super) fn deserialize<'a, D: serde::Deserializer<'a>>(from: D) -> Result<$name, D::Error> {
                Uuid::deserialize(from).map($name)
            }
        }
    };
}

identity!(tenant, TenantId);
identity!(school, SchoolUid);
identity!(cluster, ClusterUid);

#[cfg(test)]
mod tests {
    use super::*;

    fn comment() -> DatabaseComment {
        let id = Uuid::from_u128;
        DatabaseComment { tenant: TenantId(id(1)), school: SchoolUid(id(2)), cluster: ClusterUid(id(3)), schema: 20, digest: "ab".into() }
    }

    #[test]
    fn an_ownership_comment_is_written_with_the_keys_that_other_programs_rely_on() {
        let text = comment().text();
        assert_eq!(
            text,
            r#"{"tenant":"00000000-0000-0000-0000-000000000001","school":"00000000-0000-0000-0000-000000000002","cluster":"00000000-0000-0000-0000-000000000003","schema":20,"digest":"ab"}"#
        );
        assert_eq!(DatabaseComment::parse(Some(&text)), Some(comment()));
    }

    #[test]
    fn a_comment_of_another_kind_does_not_parse() {
        let role = RoleComment { cluster: ClusterUid(Uuid::nil()), role: "tenant_app".into(), password: None }.text();
        for comment in [None, Some(""), Some("the head's own notes"), Some("null"), Some("{\"tenant\":1}"), Some("[]"), Some(role.as_str())]
        {
            assert_eq!(DatabaseComment::parse(comment), None, "{comment:?}");
            assert_eq!(LoginComment::parse(comment), None, "{comment:?}");
        }
    }

    #[test]
    fn a_key_that_a_later_program_adds_does_not_make_a_database_foreign() {
        let text = comment().text().replace("\"schema\"", "\"moved_from\":\"x\",\"schema\"");
        assert_eq!(DatabaseComment::parse(Some(&text)), Some(comment()));
    }
}
