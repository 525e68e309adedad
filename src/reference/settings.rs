//! The flags of every subcommand and their environment variables, from clap: `docs/using/settings.md`.
//!
//! Must not describe a flag itself: its docstring does.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use super::{code, head, hold, table};
use crate::cli::Cli;

const INTRODUCTION: &str = "Every flag can be given as its environment variable instead; the flag wins. Flags marked * are required, and one of `--master-url-file` and `--master-url` is. \
The operator, `plan` and `server` need the same master database and keys, `platform-admin` and `school-admin` that master database. \
The configuration of Kubernetes comes from `KUBECONFIG`, `~/.kube/config` or the pod.\n\n\
The URL of a database has the form `postgres://user:password@host:port/database?sslmode=…&sslrootcert=file`; \
`sslmode` is `disable`, `require`, `verify-ca` or `verify-full`. `dailycare SUBCOMMAND --help` prints the same descriptions.\n";

#[test]
fn the_page_of_settings_is_what_the_command_line_says() {
    let mut command = Cli::command();
    command.build();
    let mut page = head("Settings", "the flags in `src/args` and `src/cli`") + INTRODUCTION;
    let _ = write!(page, "\n## Every subcommand\n\n{}", flags(command.get_arguments()));
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        section(subcommand, "dailycare", &mut page);
    }
    hold("docs/using/settings.md", &page);
}

fn section(command: &Command, parent: &str, page: &mut String) {
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = write!(page, "\n## {name}\n\n{}.\n", about.trim_end_matches('.'));
    let own: Vec<_> = command.get_arguments().filter(|arg| !arg.is_global_set()).collect();
    if own.iter().any(|arg| !is_usual(arg)) {
        let _ = write!(page, "\n{}", flags(own.into_iter()));
    }
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        section(subcommand, &name, page);
    }
}

fn is_usual(arg: &Arg) -> bool {
    ["help", "version"].contains(&arg.get_id().as_str())
}

fn flags<'a>(args: impl Iterator<Item = &'a Arg>) -> String {
    table(["flag", "variable", "default", "meaning"], args.filter(|arg| !is_usual(arg) && !arg.is_hide_set()).map(row))
}

fn row(arg: &Arg) -> [String; 4] {
    let name = arg.get_long().map_or_else(|| format!("`{}`", arg.get_id().as_str().to_uppercase()), |long| format!("`--{long}`"));
    let star = if arg.is_required_set() { "*" } else { "" };
    let variable = arg.get_env().and_then(|name| name.to_str()).map(|name| format!("`{name}`")).unwrap_or_default();
    let default = if arg.get_action().takes_values() {
        code(arg.get_default_values().iter().filter_map(|value| value.to_str()))
    } else {
        String::new()
    };
    let mut meaning = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    if !meaning.ends_with('.') {
        meaning.push('.');
    }
    let values = arg.get_possible_values();
    if arg.get_action().takes_values() && !values.is_empty() {
        let _ = write!(meaning, " One of {}.", code(values.iter().map(clap::builder::PossibleValue::get_name)));
    }
    [format!("{name}{star}"), variable, default, meaning]
}
