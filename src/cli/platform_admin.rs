//! `dailycare platform-admin`: the accounts of the platform's staff; temporary passwords are shown once. Works as the operator, because the database
//! forbids the API to make or change such an account.

use std::error::Error;
use std::io::{self, Write as _};

use clap::{Args, Subcommand};
use domain::tenant::Person;
use postgres::session::{self, Purpose};
use provisioning::master::bootstrap::OPERATOR;
use provisioning::master::users;
use registry::password;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::args::MasterArgs;

/// What to do, and where.
#[derive(Args, Clone, Debug)]
pub(super) struct Line {
    #[command(flatten)]
    master: MasterArgs,
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand, Clone, Debug)]
enum Work {
    /// Makes an account, with a temporary password.
    Create {
        #[command(flatten)]
        whose: Whose,
        /// The person's name.
        #[arg(long, value_parser = name)]
        name: String,
    },
    /// Replaces a lost password by a temporary one; ends the account's sessions and its lock.
    ResetPassword(Whose),
    /// Ends an account and its sessions. What it did stays on record.
    Remove(Whose),
}

#[derive(Args, Clone, Debug)]
struct Whose {
    /// The e-mail address to log in with; of no other account.
    #[arg(long, value_parser = email)]
    email: String,
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0} has an account already; nothing was changed")]
    Taken(String),
    #[error("no account of the platform's staff has the address {0}; nothing was changed")]
    Nobody(String),
}

/// Does it.
///
/// # Errors
/// When the e-mail address is taken or nobody's, or the master database does not answer, is not prepared, or its login is not the operator's.
pub(super) async fn run(line: &Line) -> Result<(), Box<dyn Error>> {
    let mut conn = connect(&line.master).await?;
    match &line.work {
        Work::Create { whose, name } => {
            let person = Person { name: name.clone(), email: whose.email.clone() };
            let (password, hash) = temporary().await?;
            let mut transaction = conn.begin().await?;
            let made = users::create_platform_admin(&mut transaction, &person, &hash).await?;
            let id = made.ok_or_else(|| Refusal::Taken(person.email.clone()))?;
            show(id, &person.email, &password)?;
            transaction.commit().await?;
            eprintln!("The password is temporary and is not shown again: the first login must replace it.");
        }
        Work::ResetPassword(Whose { email }) => {
            let (password, hash) = temporary().await?;
            let mut transaction = conn.begin().await?;
            let reset = users::reset_platform_admin(&mut transaction, email, &hash).await?;
            let id = reset.ok_or_else(|| Refusal::Nobody(email.clone()))?;
            show(id, email, &password)?;
            transaction.commit().await?;
            eprintln!(
                "The password is temporary and is not shown again: the next login must replace it. The account's sessions have ended."
            );
        }
        Work::Remove(Whose { email }) => {
            let removed = users::remove_platform_admin(&mut conn, email).await?;
            removed.ok_or_else(|| Refusal::Nobody(email.clone()))?;
            eprintln!("The account {email} and its sessions have ended.");
        }
    }
    Ok(())
}

async fn connect(master: &MasterArgs) -> Result<PgConnection, Box<dyn Error>> {
    let target = master.target().await?;
    let options = session::options(&target.endpoint, &target.credentials, &target.database, Purpose::Registry);
    Ok(session::connect(&options.options([("role", OPERATOR)]), "connecting to the master database as the operator").await?)
}

async fn temporary() -> Result<(SecretString, String), Box<dyn Error>> {
    let password = password::generate_temporary_password()?;
    let hash = password::hash_argon2id(&password).await?;
    Ok((password, hash))
}

/// Before it counts: a password that nobody saw would be lost.
fn show(id: Uuid, email: &str, password: &SecretString) -> io::Result<()> {
    let text = format!("account   {id}\nemail     {email}\npassword  {}\n", password.expose_secret());
    io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush())
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
