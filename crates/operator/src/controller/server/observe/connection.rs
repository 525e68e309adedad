//! How to connect to a server as its admin, from the object and its Secrets.
//!
//! Must not connect. A connection of which nothing changed is kept, with its pool.

use std::sync::Arc;

use domain::condition::Reason;
use domain::names::{SecretName, ServerName};
use domain::server::observed::Obstacle;
use domain::server::{DesiredServer, TlsMode};
use postgres::certificates;
use postgres::session::{Credentials, Endpoint, Tls};
use secrecy::ExposeSecret as _;

use crate::controller::context::Context;
use crate::controller::error::Result;
use crate::controller::server_connection::ServerConnection;
use crate::crd::{DatabaseServer, convert};
use crate::kubernetes::secrets;

/// The maintenance database when the admin Secret names none.
const MAINTENANCE: &str = "postgres";

/// The connection, or what the Secrets lack.
pub(super) async fn observe(
    ctx: &Context,
    object: &DatabaseServer,
    name: &ServerName,
    desired: &DesiredServer,
) -> Result<Result<Arc<ServerConnection>, Obstacle>> {
    let referred = convert::secrets(object)?;
    let Some(secret) = secrets::read(&ctx.client, &ctx.namespace, referred.admin.as_str()).await? else {
        return Ok(lacks(format!(
            "Secret {} is not in namespace {}; create it with keys username and password",
            referred.admin, ctx.namespace
        )));
    };
    let (Some(username), Some(password)) = (secret.value("username"), secret.password()) else {
        return Ok(lacks(format!("Secret {} lacks the key username or password", referred.admin)));
    };
    let tls = match tls(ctx, desired, referred.authority.as_ref()).await? {
        Ok(tls) => tls,
        Err(obstacle) => return Ok(Err(obstacle)),
    };
    let endpoint = Endpoint { host: desired.host.to_string(), port: desired.port, tls };
    let admin = Credentials { username: username.expose_secret().to_owned(), password };
    let maintenance = secret.value("database").map_or_else(|| MAINTENANCE.to_owned(), |name| name.expose_secret().to_owned());
    let present = ctx.servers.get(name).and_then(|state| state.connection);
    let kept = present.filter(|connection| connection.is_to(&endpoint, &admin, &maintenance));
    Ok(Ok(kept.unwrap_or_else(|| Arc::new(ServerConnection::new(endpoint, admin, maintenance, ctx.concurrency.admin_connections())))))
}

/// TLS as the spec asks for it, with the authority's certificates when they are needed.
async fn tls(ctx: &Context, desired: &DesiredServer, authority: Option<&(SecretName, String)>) -> Result<Result<Tls, Obstacle>> {
    let pem = match authority {
        Some((secret, key)) if desired.tls.verifies() => {
            let Some(value) = secrets::read(&ctx.client, &ctx.namespace, secret.as_str()).await?.and_then(|ca| ca.value(key)) else {
                return Ok(lacks(format!(
                    "Secret {secret} in namespace {} lacks the key {key} with the authority's certificates",
                    ctx.namespace
                )));
            };
            // Schools get these certificates, and nothing else that stands in the same key.
            match certificates::only(value.expose_secret().as_bytes()) {
                Ok(pem) => pem.into_bytes(),
                Err(error) => return Ok(lacks(format!("the key {key} of Secret {secret} in namespace {} {error}", ctx.namespace))),
            }
        }
        Some(_) | None => Vec::new(),
    };
    Ok(Ok(match desired.tls {
        TlsMode::Disable => Tls::Disable,
        TlsMode::Require => Tls::Require,
        TlsMode::VerifyCa => Tls::VerifyCa(pem.into()),
        TlsMode::VerifyFull => Tls::VerifyFull(pem.into()),
    }))
}

fn lacks<T>(message: String) -> Result<T, Obstacle> {
    Err(Obstacle { reason: Reason::AdminSecretInvalid, message })
}
