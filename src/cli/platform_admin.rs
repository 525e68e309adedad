//! `dailycare platform-admin`: an account of the platform's staff, whose temporary password is shown once. Works as the operator, because the database
//! forbids the API to make one.

use std::error::Error;
use std::io::{self, Write as _};

use clap::Args;
use secrecy::ExposeSecret as _;
use sqlx::Connection as _;

use crate::config::Master;
use crate::domain::school::wanted::Person;
use crate::registry::bootstrap::OPERATOR;
use crate::registry::{password, users};
use crate::sql::session::{self, Purpose};

/// Whose account.
#[derive(Args, Clone, Debug)]
pub(super) struct Account {
    #[command(flatten)]
    master: Master,
    /// The e-mail address to log in with; of no other account.
    #[arg(long, value_parser = email)]
    email: String,
    /// The person's name.
    #[arg(long, value_parser = name)]
    name: String,
}

/// Another account has the e-mail address.
#[derive(Debug, thiserror::Error)]
#[error("{0} has an account already; nothing was changed")]
struct Taken(String);

/// Makes the account.
///
/// # Errors
/// When the e-mail address is taken, or the master database does not answer, is not prepared, or its login is not the operator's.
pub(super) async fn run(account: &Account) -> Result<(), Box<dyn Error>> {
    let target = account.master.target().await?;
    let password = password::generate_temporary_password()?;
    let hash = password::hash_argon2id(&password).await?;
    let options = session::options(&target.endpoint, &target.credentials, &target.database, Purpose::Registry);
    let mut conn = session::connect(&options.options([("role", OPERATOR)]), "connecting to the master database as the operator").await?;
    let mut transaction = conn.begin().await?;
    let person = Person { name: account.name.clone(), email: account.email.clone() };
    let id = users::create_platform_admin(&mut transaction, &person, &hash).await?.ok_or_else(|| Taken(account.email.clone()))?;
    // Shown before it counts: an account whose password nobody saw could not be made a second time.
    let text = format!("account   {id}\nemail     {}\npassword  {}\n", person.email, password.expose_secret());
    io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush())?;
    transaction.commit().await?;
    eprintln!("The password is temporary and is not shown again: the first login must replace it.");
    Ok(())
}

/// As the master database holds it.
fn email(text: &str) -> Result<String, String> {
    let parts = text.split_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
    let usable = parts.is_some() && text.chars().count() <= 200 && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if usable { Ok(text.to_owned()) } else { Err("give an e-mail address of at most 200 characters".to_owned()) }
}

fn name(text: &str) -> Result<String, String> {
    let usable = !text.trim().is_empty() && text.chars().count() <= 200 && !text.contains(char::is_control);
    if usable { Ok(text.trim().to_owned()) } else { Err("give a name of at most 200 characters".to_owned()) }
}
