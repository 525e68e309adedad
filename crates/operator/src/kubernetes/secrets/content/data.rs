//! The keys of the credentials Secret: those of the Service Binding specification, and the aliases that `CloudNativePG` users know.
//!
//! Must escape every value for the form it is written in: a password may contain anything. Pure.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret as _;

use super::CredentialsContent;

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The key, and so the file of a mounted Secret, with the certificates to verify the server with.
const CERTIFICATES: &str = "certificates";

/// Every key and its value.
pub(super) fn credentials_data(content: &CredentialsContent) -> BTreeMap<String, ByteString> {
    let CredentialsContent { host, username, database, ssl_mode, .. } = content;
    let (port, password) = (content.port.to_string(), content.password.expose_secret());
    let encoded = |text| utf8_percent_encode(text, RESERVED);
    // An IPv6 address needs brackets to be told from its port.
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let path = format!("{authority}/{}?", encoded(database));
    let uri = format!("postgresql://{}:{}@{path}sslmode={ssl_mode}", encoded(username), encoded(password));
    let jdbc = format!("jdbc:postgresql://{path}user={}&password={}&sslmode={ssl_mode}", encoded(username), encoded(password));
    let pgpass = [host, &port, database, username, password].map(pgpass_field).join(":") + "\n";
    // Spring Cloud Bindings and Quarkus take `jdbc-url` before anything else, and then know no file to verify the server with. Where they need one, they make
    // the URL themselves: from host, port, database and `sslmode`, and from `sslrootcert`, the name of a file beside it.
    let (authority_file, jdbc_url) = match content.certificates {
        Some(_) => (Some(("sslrootcert", CERTIFICATES)), None),
        None => (None, Some(format!("jdbc:postgresql://{path}sslmode={ssl_mode}"))),
    };
    let text = [
        ("type", "postgresql"),
        ("provider", "dailycare"),
        ("host", host),
        ("port", &port),
        ("username", username),
        ("user", username),
        ("password", password),
        ("database", database),
        ("dbname", database),
        ("uri", &uri),
        ("jdbc-uri", &jdbc),
        ("pgpass", &pgpass),
        ("sslmode", ssl_mode),
    ];
    let text = text.into_iter().chain(authority_file).chain(jdbc_url.as_deref().map(|url| ("jdbc-url", url)));
    let certificates = content.certificates.iter().map(|pem| (CERTIFICATES.to_owned(), ByteString(pem.clone())));
    text.map(|(key, value)| (key.to_owned(), ByteString(value.into()))).chain(certificates).collect()
}

/// libpq's password file escapes its separator and its escape.
fn pgpass_field(text: &str) -> String {
    text.replace('\\', "\\\\").replace(':', "\\:")
}
