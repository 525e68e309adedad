//! `dailycare platform-admin`: creates and removes accounts of the platform's staff and resets their passwords. It shows a temporary password once.
//! It needs the operator's access to the master database, which forbids the API to create or change such an account.
//!
//! Must not write SQL: `provisioning::master::users` does.

use std::error::Error;

use clap::{Args, Subcommand};
use domain::tenant::Person;
use provisioning::master::users;
use sqlx::Connection as _;

use super::accounts::{connect, email, show, temporary};
use crate::args::MasterArgs;

/// What to do, and where the master database is.
#[derive(Args, Clone, Debug)]
pub(super) struct PlatformAdminArgs {
    #[command(flatten)]
    master: MasterArgs,
    #[command(subcommand)]
    job: Job,
}

#[derive(Subcommand, Clone, Debug)]
enum Job {
    /// Creates an account with a temporary password, and prints that password.
    Create {
        #[command(flatten)]
        account: AccountArgs,
        /// The person's name.
        #[arg(long, value_parser = name)]
        name: String,
    },
    /// Replaces a lost password with a temporary one, prints it, ends the account's sessions and unlocks it.
    ResetPassword(AccountArgs),
    /// Removes an account and ends its sessions. The audit keeps what it did.
    Remove(AccountArgs),
}

#[derive(Args, Clone, Debug)]
struct AccountArgs {
    /// The e-mail address to log in with, unique over all accounts.
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

/// Runs the subcommand.
///
/// # Errors
/// When the e-mail address is taken or nobody's, or the master database does not answer, is not prepared, or its login is not the operator's.
pub(super) async fn run(args: &PlatformAdminArgs) -> Result<(), Box<dyn Error>> {
    let mut conn = connect(&args.master).await?;
    match &args.job {
        Job::Create { account, name } => {
            let person = Person { name: name.clone(), email: account.email.clone() };
            let (password, hash) = temporary().await?;
            let mut transaction = conn.begin().await?;
            let made = users::create_platform_admin(&mut transaction, &person, &hash).await?;
            let id = made.ok_or_else(|| Refusal::Taken(person.email.clone()))?;
            show(id, &person.email, &password)?;
            transaction.commit().await?;
            eprintln!("The password is temporary and is not shown again: the first login must replace it.");
        }
        Job::ResetPassword(AccountArgs { email }) => {
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
        Job::Remove(AccountArgs { email }) => {
            let removed = users::remove_platform_admin(&mut conn, email).await?;
            removed.ok_or_else(|| Refusal::Nobody(email.clone()))?;
            eprintln!("The account {email} and its sessions have ended.");
        }
    }
    Ok(())
}

fn name(text: &str) -> Result<String, String> {
    let usable = !text.trim().is_empty() && text.chars().count() <= 200 && !text.contains(char::is_control);
    if usable { Ok(text.trim().to_owned()) } else { Err("give a name of at most 200 characters".to_owned()) }
}
