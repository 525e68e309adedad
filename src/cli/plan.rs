//! `dailycare plan school/NAME`: prints what is observed, the next action, and why.
//!
//! Must not observe or plan by itself: [`operator::controller::preview`] does, exactly as the operator.

use std::error::Error;
use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use domain::school::observed::{Assignment, ObservedSchool, ServerObservation};
use domain::school::plan::Plan;
use operator::controller::preview::{self, Preview};
use serde_json::{Map, Value, json};

use crate::args::operator::CommonArgs;

/// Which object, and how to print.
#[derive(Args, Clone, Debug)]
pub(super) struct Target {
    /// `school/NAME`.
    #[arg(value_parser = school_name)]
    object: String,
    /// The School's namespace.
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// How to print.
    #[arg(short, long, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn school_name(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some(("school" | "schools" | "sch", name)) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err("give school/NAME".to_owned()),
    }
}

/// Observes, plans, and returns what to print.
///
/// # Errors
/// When a source does not answer or the School does not exist.
pub(super) async fn run(args: &CommonArgs, target: &Target) -> Result<String, Box<dyn Error>> {
    let preview = preview::school(args.preview().await?, &target.namespace, &target.object).await?;
    match target.output {
        Output::Text => text(target, &preview),
        Output::Json => document(target, &preview),
    }
}

fn text(target: &Target, preview: &Preview) -> Result<String, Box<dyn Error>> {
    let (action, why) = next(&preview.plan);
    let mut text = format!("School {}/{}\n\nObserved\n", target.namespace, target.object);
    for (name, value) in facts(&preview.observed) {
        writeln!(text, "  {name:<14} {value}")?;
    }
    writeln!(text, "\nNext action\n  {action}\n  {why}\n\nConditions that the status would show")?;
    for (type_, line) in conditions(preview) {
        writeln!(text, "  {type_:<17} {line}")?;
    }
    Ok(text)
}

fn document(target: &Target, preview: &Preview) -> Result<String, Box<dyn Error>> {
    let map =
        |pairs: Vec<(&str, String)>| pairs.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect::<Map<_, _>>();
    let (action, why) = next(&preview.plan);
    let document = json!({
        "school": {"namespace": target.namespace, "name": target.object},
        "observed": map(facts(&preview.observed)),
        "next": {"action": action, "why": why},
        "conditions": map(conditions(preview)),
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn conditions(preview: &Preview) -> Vec<(&'static str, String)> {
    let line = |condition: &domain::condition::Condition| {
        format!("{} {}: {}", condition.status.label(), condition.reason.label(), condition.message)
    };
    preview.conditions.iter().map(|condition| (condition.type_.label(), line(condition))).collect()
}

/// The facts, by name, in the order in which the planner needs them.
fn facts(observed: &ObservedSchool) -> Vec<(&'static str, String)> {
    let mut facts = vec![("finalizer", if observed.finalizer { "present" } else { "absent" }.to_owned())];
    let assigned = match &observed.assignment {
        Assignment::Unassigned(Ok(placement)) => {
            facts.push(("would go to", format!("{} ({})", placement.server, placement.reason)));
            return facts;
        }
        Assignment::Unassigned(Err(unplaced)) => {
            facts.push(("would go to", unplaced.message.clone()));
            return facts;
        }
        Assignment::Assigned(assigned) => assigned,
    };
    facts.extend([
        ("tenant id", assigned.names.tenant.to_string()),
        ("server", assigned.names.server.to_string()),
        ("on record", if assigned.existed { "the database existed" } else { "no database yet" }.to_owned()),
        ("registry", format!("{:?}", assigned.tenant)),
        ("secret", format!("{} {:?}", assigned.names.secret, assigned.secret)),
        ("administrator", format!("{:?}", assigned.admin)),
        ("another password", format!("{:?}", assigned.reset)),
    ]);
    match assigned.server {
        ServerObservation::Unavailable(unavailable) => facts.push(("on the server", format!("unknown: {unavailable:?}"))),
        ServerObservation::Available(catalog) => facts.extend([
            ("database", format!("{} {:?}", assigned.names.database, catalog.database)),
            ("login", format!("{} {:?}", assigned.names.login, catalog.login)),
            ("template", if catalog.template { "it stands" } else { "there is none of this schema" }.to_owned()),
            ("spare", if catalog.spare { "one is staged" } else { "none is staged" }.to_owned()),
        ]),
    }
    facts
}

fn next(plan: &Plan) -> (&'static str, String) {
    match plan {
        Plan::Execute(action) => (action.label(), action.purpose().to_owned()),
        Plan::Wait(waiting) => ("wait", format!("{waiting:?}")),
        Plan::Refuse(refusal) => ("none", format!("refused: {refusal:?}; a person must decide")),
        Plan::Settled => ("none", "nothing is left to do".to_owned()),
    }
}
