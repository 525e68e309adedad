//! What the commands about accounts have in common: the operator's session of the master database, and temporary passwords that are shown once.
//!
//! Must not change an account: each command does its own work.

use std::error::Error;
use std::io::{self, Write as _};

use postgres::session::{self, Purpose};
use provisioning::master::bootstrap::OPERATOR;
use registry::password;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::args::MasterArgs;

/// A session of the master database's operator.
pub(super) async fn connect(master: &MasterArgs) -> Result<PgConnection, Box<dyn Error>> {
    let target = master.target().await?;
    let options = session::options(&target.endpoint, &target.credentials, &target.database, Purpose::Registry);
    Ok(session::connect(&options.options([("role", OPERATOR)]), "connecting to the master database as the operator").await?)
}

/// A temporary password and its hash.
pub(super) async fn temporary() -> Result<(SecretString, String), Box<dyn Error>> {
    let password = password::generate_temporary_password()?;
    let hash = password::hash_argon2id(&password).await?;
    Ok((password, hash))
}

/// Prints the password before it takes effect: nobody could use one that was never shown.
pub(super) fn show(id: Uuid, email: &str, password: &SecretString) -> io::Result<()> {
    let text = format!("account   {id}\nemail     {email}\npassword  {}\n", password.expose_secret());
    io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush())
}

/// An e-mail address as the master database accepts it.
pub(super) fn email(text: &str) -> Result<String, String> {
    let parts = text.split_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
    let usable = parts.is_some() && text.chars().count() <= 200 && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if usable { Ok(text.to_owned()) } else { Err("give an e-mail address of at most 200 characters".to_owned()) }
}
