//! `dailycare plan school/NAME`: what is seen, the next step and why. Looks exactly as the operator does, and changes nothing.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use clap::{Args, ValueEnum};
use domain::school::observed::{Assignment, ObservedSchool, ServerObservation};
use domain::school::plan::{Plan, plan};
use domain::school::status::report;
use kube::api::ListParams;
use kube::runtime::reflector;
use operator::controller::context::{Context, Parts};
use operator::controller::school::observe::observe;
use operator::controller::server;
use operator::kubernetes::{client, cluster, within};
use postgres::session::{self, Purpose};
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;

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

/// Looks and plans.
///
/// # Errors
/// When a source does not answer or the School does not exist.
pub(super) async fn run(args: &CommonArgs, target: &Target) -> Result<String, Box<dyn Error>> {
    let ctx = context(args).await?;
    // Nothing is placed here, so no other School's place is in the way of the answer.
    let _ = ctx.reservations_loaded.set(());
    let school = within("reading the School", ctx.schools_in(&target.namespace).get(&target.object)).await?;
    let listed = within("listing the DatabaseServers", ctx.database_servers().list(&ListParams::default())).await?;
    for object in listed {
        let observation = server::observe::observe(&ctx, object).await?;
        server::note(&ctx, &observation);
    }
    let observation = Box::pin(observe(&ctx, school)).await?;
    let observed = observation.facts(&ctx);
    let next = plan(&observation.wanted, &observed);
    let conditions = report(&observation.wanted, &observed, &next, false);
    let conditions = conditions.iter().map(|c| (c.type_.label(), format!("{} {}: {}", c.status.label(), c.reason.label(), c.message)));
    let facts = facts(&observed);
    let (step, why) = step(&next);
    match target.output {
        Output::Json => {
            let document = json!({
                "school": {"namespace": target.namespace, "name": target.object},
                "seen": facts.iter().cloned().collect::<serde_json::Map<String, Value>>(),
                "next": {"step": step, "why": why},
                "conditions": conditions.map(|(kind, text)| (kind.to_owned(), Value::from(text))).collect::<serde_json::Map<String, Value>>(),
            });
            Ok(serde_json::to_string_pretty(&document)? + "\n")
        }
        Output::Text => {
            let mut text = format!("School {}/{}\n\nSeen\n", target.namespace, target.object);
            for (name, value) in &facts {
                writeln!(text, "  {name:<14} {}", value.as_str().unwrap_or_default())?;
            }
            writeln!(text, "\nNext step\n  {step}\n  {why}\n\nConditions that the status would show")?;
            for (kind, line) in conditions {
                writeln!(text, "  {kind:<17} {line}")?;
            }
            Ok(text)
        }
    }
}

/// As the operator's, but with nothing running behind it: no watch, no lease, no events, and the master database is neither made nor migrated.
async fn context(args: &CommonArgs) -> Result<Context, Box<dyn Error>> {
    let client = client::client(client::config().await?)?;
    let target = args.master().await?;
    let options = session::options(&target.endpoint, &target.credentials, &target.database, Purpose::Registry);
    let registry = PgPoolOptions::new().max_connections(2).acquire_timeout(Duration::from_secs(5)).connect_lazy_with(options);
    Ok(Context::new(Parts {
        cluster: cluster::cluster_uid(&client).await?,
        recorder: operator::kubernetes::events::recorder(client.clone(), "dailycare-plan").0,
        client,
        namespace: args.namespace().to_owned(),
        registry,
        keyring: args.keyring().await?,
        migrations: args.migrations()?,
        pooling: args.pooling(),
        lease: None,
        schools: reflector::store().0,
        server_objects: reflector::store().0,
        heartbeat: telemetry::health::Heartbeat::default(),
        concurrency: 1,
        resync: Duration::MAX,
        progress_deadline: Duration::MAX,
    }))
}

/// The facts, by name, in the order in which the planner asks for them.
fn facts(observed: &ObservedSchool) -> Vec<(String, Value)> {
    let mut facts = vec![("finalizer".to_owned(), json!(if observed.finalizer { "present" } else { "absent" }))];
    let mut say = |name: &str, value: String| facts.push((name.to_owned(), Value::from(value)));
    match &observed.assignment {
        Assignment::Unassigned(Ok(choice)) => say("would go to", format!("{} ({})", choice.server, choice.reason)),
        Assignment::Unassigned(Err(unplaced)) => say("would go to", unplaced.message.clone()),
        Assignment::Assigned(bound) => {
            say("tenant id", bound.names.tenant.to_string());
            say("server", bound.names.server.to_string());
            say("registry", format!("{:?}", bound.tenant));
            say("secret", format!("{} {:?}", bound.names.secret, bound.secret));
            say("administrator", format!("{:?}", bound.admin));
            match bound.server {
                ServerObservation::Unavailable(away) => say("on the server", format!("unknown: {away:?}")),
                ServerObservation::Available(here) => {
                    say("database", format!("{} {:?}", bound.names.database, here.database));
                    say("login", format!("{} {:?}", bound.names.login, here.login));
                    say("spare", if here.spare { "one is staged" } else { "none is staged" }.to_owned());
                }
            }
        }
    }
    facts
}

fn step(next: &Plan) -> (String, String) {
    match next {
        Plan::Execute(action) => (action.label().to_owned(), action.purpose().to_owned()),
        Plan::Wait(waiting) => ("wait".to_owned(), format!("{waiting:?}")),
        Plan::Refuse(refusal) => ("none".to_owned(), format!("refused: {refusal:?}; a person must decide")),
        Plan::Settled => ("none".to_owned(), "what is wanted is what is".to_owned()),
    }
}
