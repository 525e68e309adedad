//! What the operator asked of the API server, by the API server's own word: its audit log.
//!
//! Must not count the requests of others than the operator.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use serde::Deserialize;

use crate::Outcome;

/// How the audit log names the operator.
pub(crate) const OPERATOR: &str = "system:serviceaccount:dailycare-system:dailycare-operator";

/// Calls by kind, such as `patch schools/status`.
pub(crate) type Calls = BTreeMap<String, u64>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    user: User,
    object_ref: Option<Reference>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct Reference {
    resource: Option<String>,
    subresource: Option<String>,
}

/// The end of the log as it is now.
pub(crate) fn end(log: &Path) -> Outcome<u64> {
    Ok(std::fs::metadata(log)?.len())
}

/// The operator's calls since `start`, the Lease's left out: they come with time, not with work.
pub(crate) fn calls(log: &Path, start: u64) -> Outcome<Calls> {
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(start))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let mut calls = Calls::new();
    for line in text.lines() {
        let event: Event = serde_json::from_str(line)?;
        let Some(Reference { resource: Some(resource), subresource }) = event.object_ref else { continue };
        if event.user.username != OPERATOR || event.stage != "ResponseComplete" || resource == "leases" {
            continue;
        }
        let part = subresource.map_or_else(String::new, |part| format!("/{part}"));
        *calls.entry(format!("{} {resource}{part}", event.verb)).or_default() += 1;
    }
    Ok(calls)
}

/// Those that change something.
pub(crate) fn writes(calls: &Calls) -> Calls {
    let reads = ["get ", "list ", "watch "];
    calls.iter().filter(|(kind, _)| !reads.iter().any(|read| kind.starts_with(read))).map(|(kind, count)| (kind.clone(), *count)).collect()
}
