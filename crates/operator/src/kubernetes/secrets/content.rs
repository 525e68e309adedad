//! The Secrets of a School as they should be. The credentials Secret has the form of the Service Binding specification, so that applications and frameworks
//! can mount it as it is.
//!
//! Must not choose a password, and must not print one. Pure.

mod data;

use std::collections::BTreeMap;
use std::fmt;

use domain::names::ResetRequest;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use secrecy::{ExposeSecret as _, SecretString};

use self::data::credentials_data;
use crate::kubernetes::FIELD_MANAGER;

/// Changes whenever the credentials do, so that a rollout can be tied to it.
pub const REVISION_ANNOTATION: &str = "dailycare.io/credentials-revision";

/// A Secret as it should be. Printing it shows no value.
#[derive(Clone, PartialEq)]
pub struct DesiredSecret(pub(super) Secret);

impl fmt::Debug for DesiredSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretWanted").field("name", &self.0.metadata.name).finish_non_exhaustive()
    }
}

/// What a credentials Secret is made of.
#[derive(Clone, Debug)]
pub struct CredentialsContent {
    /// The School's namespace.
    pub namespace: String,
    /// The Secret's name.
    pub name: String,
    /// The School, as the controlling owner.
    pub owner: OwnerReference,
    /// Where clients connect.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// `sslmode` in libpq's words.
    pub ssl_mode: &'static str,
    /// The PEM chain that clients verify the server with.
    pub certificates: Option<Vec<u8>>,
    /// The school's login.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// The school's database.
    pub database: String,
    /// A fingerprint of the credentials, for [`REVISION_ANNOTATION`].
    pub revision: String,
    /// Labels from the School's `secretTemplate`. Ours win.
    pub extra_labels: BTreeMap<String, String>,
    /// Annotations from the School's `secretTemplate`. Ours win.
    pub extra_annotations: BTreeMap<String, String>,
}

/// What the Secret of the first administrator is made of.
#[derive(Clone, Debug)]
pub struct AdminContent {
    /// The School's namespace.
    pub namespace: String,
    /// The Secret's name.
    pub name: String,
    /// The School, as the controlling owner.
    pub owner: OwnerReference,
    /// The person's full name.
    pub person: String,
    /// The person's e-mail address, which is also the login.
    pub email: String,
    /// The temporary password.
    pub password: SecretString,
    /// The request that it was issued for, for [`ResetRequest::ANNOTATION`]; none for the first one.
    pub request: Option<ResetRequest>,
}

/// The Secret that applications mount.
#[must_use]
pub fn credentials_secret(content: &CredentialsContent) -> DesiredSecret {
    let mut labels = content.extra_labels.clone();
    labels.extend(own_labels(&content.owner, "credentials"));
    let mut annotations = content.extra_annotations.clone();
    annotations.insert(REVISION_ANNOTATION.to_owned(), content.revision.clone());
    DesiredSecret(Secret {
        metadata: ObjectMeta {
            namespace: Some(content.namespace.clone()),
            name: Some(content.name.clone()),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: Some(vec![content.owner.clone()]),
            ..ObjectMeta::default()
        },
        type_: Some("servicebinding.io/postgresql".to_owned()),
        data: Some(credentials_data(content)),
        ..Secret::default()
    })
}

/// The Secret with the first administrator's temporary password.
#[must_use]
pub fn admin_secret(content: &AdminContent) -> DesiredSecret {
    let text = [("name", content.person.as_str()), ("email", &content.email), ("password", content.password.expose_secret())];
    DesiredSecret(Secret {
        metadata: ObjectMeta {
            namespace: Some(content.namespace.clone()),
            name: Some(content.name.clone()),
            labels: Some(own_labels(&content.owner, "admin").collect()),
            annotations: content
                .request
                .clone()
                .map(|request| BTreeMap::from([(ResetRequest::ANNOTATION.to_owned(), request.to_string())])),
            owner_references: Some(vec![content.owner.clone()]),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some(text.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into()))).collect()),
        ..Secret::default()
    })
}

/// The recommended labels, without a version: an upgrade of the operator must not rewrite every Secret.
fn own_labels(owner: &OwnerReference, component: &str) -> impl Iterator<Item = (String, String)> {
    let labels = [
        ("app.kubernetes.io/name", "school"),
        ("app.kubernetes.io/instance", &owner.name),
        ("app.kubernetes.io/component", component),
        ("app.kubernetes.io/part-of", "dailycare"),
        ("app.kubernetes.io/managed-by", FIELD_MANAGER),
        ("dailycare.io/school", &owner.name),
        ("dailycare.io/school-uid", &owner.uid),
    ];
    labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> CredentialsContent {
        CredentialsContent {
            namespace: "district-7".to_owned(),
            name: "northside-db".to_owned(),
            owner: OwnerReference {
                name: "northside".to_owned(),
                uid: "u-1".to_owned(),
                controller: Some(true),
                ..OwnerReference::default()
            },
            host: "pg.example".to_owned(),
            port: 5432,
            ssl_mode: "verify-full",
            certificates: None,
            username: "dailycare_tenant_northside_a".to_owned(),
            password: "p@ss:w/rd\\?é".into(),
            database: "dailycare_tenant_northside".to_owned(),
            revision: "r1".to_owned(),
            extra_labels: BTreeMap::new(),
            extra_annotations: BTreeMap::new(),
        }
    }

    fn value(secret: &DesiredSecret, key: &str) -> String {
        String::from_utf8(secret.0.data.as_ref().unwrap()[key].0.clone()).unwrap()
    }

    #[test]
    fn the_secret_has_the_keys_of_the_service_binding_specification_and_the_aliases() {
        let secret = credentials_secret(&content());
        let keys: Vec<_> = secret.0.data.as_ref().unwrap().keys().map(String::as_str).collect();
        let desired = [
            "database", "dbname", "host", "jdbc-uri", "jdbc-url", "password", "pgpass", "port", "provider", "sslmode", "type", "uri",
            "user", "username",
        ];
        assert_eq!(keys, desired);
        assert_eq!(secret.0.type_.as_deref(), Some("servicebinding.io/postgresql"));
        let with_ca = credentials_secret(&CredentialsContent { certificates: Some(b"PEM".to_vec()), ..content() });
        assert_eq!(value(&with_ca, "certificates"), "PEM");
    }

    /// The URL that Spring Cloud Bindings and Quarkus connect to, with the Secret mounted in `directory`.
    fn url_of_java_bindings(secret: &DesiredSecret, directory: &str) -> String {
        let keys = secret.0.data.as_ref().unwrap();
        let [host, port, database, sslmode] = ["host", "port", "database", "sslmode"].map(|key| value(secret, key));
        match (keys.contains_key("jdbc-url"), keys.contains_key("sslrootcert")) {
            (true, _) => value(secret, "jdbc-url"),
            (false, true) => {
                let file = format!("{directory}/{}", value(secret, "sslrootcert"));
                format!("jdbc:postgresql://{host}:{port}/{database}?sslmode={sslmode}&sslrootcert={file}")
            }
            (false, false) => format!("jdbc:postgresql://{host}:{port}/{database}?sslmode={sslmode}"),
        }
    }

    #[test]
    fn java_bindings_verify_the_server_with_the_mounted_secret_alone() {
        let base = "jdbc:postgresql://pg.example:5432/dailycare_tenant_northside";
        for ssl_mode in ["verify-full", "verify-ca"] {
            let secret = credentials_secret(&CredentialsContent { certificates: Some(b"PEM".to_vec()), ssl_mode, ..content() });
            let url = url_of_java_bindings(&secret, "/bindings/db");
            assert_eq!(url, format!("{base}?sslmode={ssl_mode}&sslrootcert=/bindings/db/certificates"));
            let file = value(&secret, "sslrootcert");
            assert_eq!(value(&secret, &file), "PEM", "the named file is not in the Secret");
        }
        for ssl_mode in ["require", "disable"] {
            let secret = credentials_secret(&CredentialsContent { ssl_mode, ..content() });
            assert_eq!(url_of_java_bindings(&secret, "/bindings/db"), format!("{base}?sslmode={ssl_mode}"));
            assert!(!secret.0.data.as_ref().unwrap().contains_key("sslrootcert"));
        }
    }

    #[test]
    fn special_characters_in_a_password_do_not_break_any_form_of_it() {
        let secret = credentials_secret(&content());
        let encoded = "p%40ss%3Aw%2Frd%5C%3F%C3%A9";
        let (login, base) = ("dailycare_tenant_northside_a", "pg.example:5432/dailycare_tenant_northside");
        assert_eq!(value(&secret, "uri"), format!("postgresql://{login}:{encoded}@{base}?sslmode=verify-full"));
        assert_eq!(value(&secret, "jdbc-uri"), format!("jdbc:postgresql://{base}?user={login}&password={encoded}&sslmode=verify-full"));
        assert_eq!(value(&secret, "pgpass"), format!("pg.example:5432:dailycare_tenant_northside:{login}:p@ss\\:w/rd\\\\?é\n"));
        assert_eq!(value(&secret, "password"), "p@ss:w/rd\\?é");
    }

    #[test]
    fn an_ipv6_host_is_bracketed_in_the_uris_only() {
        let secret = credentials_secret(&CredentialsContent { host: "::1".to_owned(), ..content() });
        assert!(value(&secret, "uri").contains("@[::1]:5432/"));
        assert!(value(&secret, "jdbc-uri").contains("//[::1]:5432/"));
        assert!(value(&secret, "pgpass").starts_with("\\:\\:1:5432:"));
        assert_eq!(value(&secret, "host"), "::1");
    }

    #[test]
    fn the_template_adds_labels_and_annotations_but_replaces_none_of_ours() {
        let map = |key: &str| BTreeMap::from([(key.to_owned(), "theirs".to_owned()), ("team".to_owned(), "a".to_owned())]);
        let (extra_labels, extra_annotations) = (map("dailycare.io/school-uid"), map(REVISION_ANNOTATION));
        let metadata = credentials_secret(&CredentialsContent { extra_labels, extra_annotations, ..content() }).0.metadata;
        let (labels, annotations) = (metadata.labels.unwrap(), metadata.annotations.unwrap());
        assert_eq!((labels["dailycare.io/school-uid"].as_str(), labels["team"].as_str()), ("u-1", "a"));
        assert_eq!((annotations[REVISION_ANNOTATION].as_str(), annotations["team"].as_str()), ("r1", "a"));
    }

    #[test]
    fn nothing_that_can_be_printed_shows_a_password() {
        let (content, base64, bytes) = (content(), "cEBzcz", "112, 64, 115, 115");
        let admin = AdminContent {
            request: None,
            namespace: String::new(),
            name: String::new(),
            owner: content.owner.clone(),
            person: String::new(),
            email: String::new(),
            password: content.password.clone(),
        };
        for printed in [format!("{content:?} {admin:?}"), format!("{:?} {:?}", credentials_secret(&content), admin_secret(&admin))] {
            assert!(!["p@ss", base64, bytes].iter().any(|form| printed.contains(form)), "{printed}");
        }
    }
}
