//! Names and identities: text becomes a name only by passing its rule, once, here. Nothing else may build identifiers from text.
//!
//! Must not change a text to make it fit.

use std::fmt;

use uuid::Uuid;

/// Text that is not a name of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {why}")]
pub struct Invalid {
    /// The kind of name, as a person calls it.
    pub what: &'static str,
    /// The rule that was broken, in words that say what to do.
    pub why: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:expr, $why:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The name, if `text` obeys the rule of its kind.
            ///
            /// # Errors
            /// [`Invalid`] with the rule that was broken.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                let rule: fn(&str) -> bool = $rule;
                if rule(text) { Ok(Self(text.to_owned())) } else { Err(Invalid { what: $what, why: $why }) }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A school's short name, unique in the registry; the stem of every derived name. Two to forty lower-case letters, digits and hyphens.
    SchoolCode, "school code", is_code, "must be 2 to 40 lower-case letters, digits and hyphens, start with a letter and end with a letter or digit"
}
name! {
    /// A PostgreSQL database. At most 63 bytes, because PostgreSQL cuts longer names silently.
    DatabaseName, "database name", is_identifier, "must be 1 to 63 lower-case letters, digits and underscores, starting with a letter"
}
name! {
    /// A PostgreSQL login role. At most 63 bytes, because PostgreSQL cuts longer names silently.
    LoginName, "login name", is_identifier, "must be 1 to 63 lower-case letters, digits and underscores, starting with a letter"
}
name! {
    /// A `DatabaseServer` object.
    ServerName, "server name", is_object_name, "must be a Kubernetes object name of at most 63 characters"
}
name! {
    /// A Kubernetes Secret in the School's namespace.
    SecretName, "Secret name", is_object_name, "must be a Kubernetes object name of at most 63 characters"
}
name! {
    /// What identifies a person's request for another password of the school's administrator. It is recorded and shown, so it has no room for personal data.
    ResetRequest, "the annotation dailycare.io/reset-admin-password", is_request, "must be 1 to 63 letters, digits, dots, colons, hyphens, plus signs and underscores, such as a date and time"
}

/// `^[a-z][a-z0-9-]{0,38}[a-z0-9]$`
fn is_code(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    match text.as_bytes() {
        [first, middle @ .., last] => {
            first.is_ascii_lowercase() && middle.len() <= 38 && middle.iter().all(|&b| word(b) || b == b'-') && word(*last)
        }
        _ => false,
    }
}

/// `^[a-z][a-z0-9_]{0,62}$`: needs no quoting in PostgreSQL, and is quoted all the same.
fn is_identifier(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// `^[A-Za-z0-9.:+_-]{1,63}$`
fn is_request(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".:+_-".contains(&b))
}

/// An RFC 1123 subdomain, held to 63 characters so that it also fits a label's value.
fn is_object_name(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let label = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().is_some_and(|&b| word(b)) && bytes.last().is_some_and(|&b| word(b)) && bytes.iter().all(|&b| word(b) || b == b'-')
    };
    text.len() <= 63 && text.split('.').all(label)
}

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

identity! {
    /// The tenant: the registry's key, which outlives the School object.
    TenantId
}
identity! {
    /// `metadata.uid` of one School object.
    SchoolUid
}
identity! {
    /// The Kubernetes cluster: `metadata.uid` of its `kube-system` namespace.
    ClusterUid
}

impl ResetRequest {
    /// The annotation of a School with the request. On the administrator's Secret it says which request the password was issued for.
    pub const ANNOTATION: &str = "dailycare.io/reset-admin-password";
}

impl TenantId {
    /// A new School's tenant: the same for the same School however often it is asked, so a crash before it is recorded changes nothing.
    #[must_use]
    pub fn of(cluster: ClusterUid, school: SchoolUid) -> Self {
        Self(Uuid::new_v5(&cluster.0, school.0.as_bytes()))
    }
}

impl DatabaseName {
    /// The seed's rule, `dailycare_tenant_<code>`. Codes have no underscore, so hyphens can become one without two codes meeting.
    #[must_use]
    pub fn of(code: &SchoolCode) -> Self {
        Self(format!("dailycare_tenant_{}", code.as_str().replace('-', "_")))
    }
}

impl LoginName {
    /// The first of the two logins that rotation alternates between.
    #[must_use]
    pub fn of(database: &DatabaseName) -> Self {
        Self(format!("{database}_a"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_are_not_plain_short_lower_case_names_are_refused() {
        let long = "a".repeat(41);
        for bad in [
            "",
            "a",
            "Escola A",
            "a--b_",
            "-a",
            "a-",
            "1a",
            "a\"; drop database x; --",
            "a'b",
            "aé",
            "\u{430}bc",
            "ab\n",
            "ab\0",
            "a.b",
            "AB",
            &long,
        ] {
            assert!(SchoolCode::parse(bad).is_err(), "{bad:?} was taken");
        }
        for good in ["ab", "northside", "a--b", "escola-1", &long[1..]] {
            assert!(SchoolCode::parse(good).is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn the_longest_code_gives_names_that_postgresql_does_not_cut() {
        let code = SchoolCode::parse(&"a".repeat(40)).unwrap();
        let database = DatabaseName::of(&code);
        let login = LoginName::of(&database);
        assert_eq!(DatabaseName::parse(database.as_str()), Ok(database));
        assert_eq!(LoginName::parse(login.as_str()), Ok(login));
    }

    #[test]
    fn a_tenant_is_the_same_however_often_it_is_asked_and_differs_by_school_and_cluster() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(TenantId::of(ClusterUid(a), SchoolUid(b)), TenantId::of(ClusterUid(a), SchoolUid(b)));
        assert_ne!(TenantId::of(ClusterUid(a), SchoolUid(b)), TenantId::of(ClusterUid(b), SchoolUid(b)));
        assert_ne!(TenantId::of(ClusterUid(a), SchoolUid(a)), TenantId::of(ClusterUid(a), SchoolUid(b)));
    }

    #[test]
    fn object_names_follow_rfc_1123() {
        for good in ["pg-1", "a", "a.b", "x0"] {
            assert!(ServerName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a..b", ".a"] {
            assert!(ServerName::parse(bad).is_err(), "{bad}");
        }
    }
}
