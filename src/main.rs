//! The one binary. It only hands over to the command line; nothing is decided here.
//!
//! Must not decide anything.

mod args;
#[cfg(test)]
mod citations;
mod cli;
#[cfg(test)]
mod reference;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
