//! `dailycare server accept-identity NAME`: records the identifier that a server has after an upgrade in place, once everything is proven to be on it.
//!
//! Must not prove or record anything by itself: [`operator::controller::acceptance`] does.

use std::error::Error;
use std::fmt::Write as _;

use clap::{Args, Subcommand};
use operator::controller::acceptance::{Acceptance, Missing, accept_identity};

use crate::args::operator::CommonArgs;

/// Of all that is missing, more than this only fills a screen.
const SHOWN: usize = 20;

/// What to do.
#[derive(Args, Clone, Debug)]
pub(super) struct ServerArgs {
    #[command(subcommand)]
    job: Job,
}

#[derive(Subcommand, Clone, Debug)]
enum Job {
    /// Records the server's new system identifier, as after `pg_upgrade`: only if every school's database and login is on it under its ownership comment.
    AcceptIdentity {
        #[command(flatten)]
        common: CommonArgs,
        /// The `DatabaseServer`.
        name: String,
    },
}

/// Does it, and returns what to print.
///
/// # Errors
/// When something is missing on the server, or a source does not answer.
pub(super) async fn run(args: &ServerArgs) -> Result<String, Box<dyn Error>> {
    let Job::AcceptIdentity { common, name } = &args.job;
    match accept_identity(common.preview().await?, name).await? {
        Acceptance::Unneeded => Ok("the server has the recorded identifier; nothing was changed\n".to_owned()),
        Acceptance::Recorded { before, now, schools } => {
            Ok(format!("databases and logins of {schools} schools are there; {now} is recorded in place of {before}\n"))
        }
        Acceptance::Missing(missing) => Err(refusal(&missing).into()),
    }
}

fn refusal(missing: &[Missing]) -> String {
    let mut text =
        format!("nothing was recorded: {} objects of schools are not on the server under their ownership comments:", missing.len());
    for Missing { tenant, name } in missing.iter().take(SHOWN) {
        let _ = write!(text, "\n  {name} of tenant {tenant}");
    }
    if missing.len() > SHOWN {
        text.push_str("\n  and more");
    }
    text
}
