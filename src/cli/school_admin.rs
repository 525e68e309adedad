//! `dailycare school-admin`: lets a school in again whose only administrator has forgotten the password. It shows a temporary password once.
//! It needs the operator's access to the master database, as `platform-admin` does. Must not make an administrator: the operator and the API do.

use std::error::Error;

use clap::{Args, Subcommand};
use domain::names::SchoolCode;
use provisioning::master::users::{self, AdminReset};
use sqlx::Connection as _;

use super::accounts::{connect, email, show, temporary};
use crate::args::MasterArgs;

/// What to do, and where the master database is.
#[derive(Args, Clone, Debug)]
pub(super) struct SchoolAdminArgs {
    #[command(flatten)]
    master: MasterArgs,
    #[command(subcommand)]
    job: Job,
}

#[derive(Subcommand, Clone, Debug)]
enum Job {
    /// Replaces a lost password with a temporary one, prints it, ends the account's sessions and unlocks it.
    ResetPassword {
        /// The school's code.
        #[arg(long, value_parser = school_code)]
        school: SchoolCode,
        /// The e-mail address of the administrator; not needed when the school has only one.
        #[arg(long, value_parser = email)]
        email: Option<String>,
    },
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("no school has the code {0}; nothing was changed")]
    NoSchool(SchoolCode),
    #[error("the school {0} has no active administrator with that address; nothing was changed")]
    Nobody(SchoolCode),
    #[error("the school {0} has {1} active administrators: say whose password with --email; nothing was changed")]
    Several(SchoolCode, usize),
}

/// Runs the subcommand.
///
/// # Errors
/// When there is no such school or administrator, or the master database does not answer, is not prepared, or its login is not the operator's.
pub(super) async fn run(args: &SchoolAdminArgs) -> Result<(), Box<dyn Error>> {
    let Job::ResetPassword { school, email } = &args.job;
    let mut conn = connect(&args.master).await?;
    let (password, hash) = temporary().await?;
    let mut transaction = conn.begin().await?;
    match users::reset_school_admin(&mut transaction, school, email.as_deref(), &hash).await? {
        AdminReset::Done { id, email } => show(id, &email, &password)?,
        AdminReset::NoSchool => return Err(Refusal::NoSchool(school.clone()).into()),
        AdminReset::Nobody => return Err(Refusal::Nobody(school.clone()).into()),
        AdminReset::Several(count) => return Err(Refusal::Several(school.clone(), count).into()),
    }
    transaction.commit().await?;
    eprintln!("The password is temporary and is not shown again: the next login must replace it. The account's sessions have ended.");
    Ok(())
}

fn school_code(text: &str) -> Result<SchoolCode, String> {
    SchoolCode::parse(text).map_err(|error| error.to_string())
}
