//! The one binary. It only hands over to the command line; nothing is decided here.

use std::process::ExitCode;

fn main() -> ExitCode {
    dailycare::cli::main()
}
