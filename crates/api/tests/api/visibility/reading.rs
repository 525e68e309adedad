//! Reads everything that the document says can be read, and tells which canaries came back.

use std::collections::BTreeSet;

use api_testing::{Answer, Client};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::canaries::{Canaries, Place};

/// Every GET of the document, with every id that its path can name, as a list in pages of one and whole, and narrowed to each child.
pub(super) async fn read_everything<'c>(client: &Client, canaries: &'c Canaries) -> BTreeSet<&'c Place> {
    let mut read = BTreeSet::new();
    for path in paths(client, canaries) {
        let answer = client.get(&path).await;
        read.extend(canaries.found(&everything(&answer)));
        let mut next = answer.body.get("next").and_then(Value::as_str).map(str::to_owned);
        while let Some(after) = next.filter(|_| path.ends_with("?limit=1")) {
            let page = client.get(&format!("{path}&after={after}")).await;
            read.extend(canaries.found(&everything(&page)));
            next = page.body.get("next").and_then(Value::as_str).map(str::to_owned);
        }
    }
    read
}

/// All that an answer says: its body, its headers, and what its cursor holds.
fn everything(answer: &Answer) -> String {
    let cursor = answer.body.get("next").and_then(Value::as_str).and_then(|next| URL_SAFE_NO_PAD.decode(next).ok()).unwrap_or_default();
    format!("{} {:?} {}", answer.body, answer.headers, String::from_utf8_lossy(&cursor))
}

fn paths(client: &Client, canaries: &Canaries) -> Vec<String> {
    let document = api::router::document();
    let mut paths = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let (Some(operation), Some(path)) = (item.get("get"), path.strip_prefix("/api/v1")) else { continue };
        let parameters = operation["parameters"].as_array();
        let takes = |name: &str| parameters.into_iter().flatten().any(|parameter| parameter["name"] == name);
        for path in spelled(path, client, canaries) {
            paths.push(path.clone());
            // Reading the audit adds to it: page by page it would have no end.
            if takes("limit") && !canaries.ids(&path.trim_start_matches('/').replace('-', "_")).is_empty() {
                paths.push(format!("{path}?limit=1"));
            }
            if takes("child_id") {
                paths.extend(canaries.ids("children").into_iter().map(|child| format!("{path}?child_id={child}")));
            }
        }
    }
    paths
}

/// A path with its placeholders filled in, in every way that may name something.
fn spelled(path: &str, client: &Client, canaries: &Canaries) -> Vec<String> {
    let table = path.split('/').nth(1).unwrap_or_default().replace('-', "_");
    let user = client.user.to_string();
    let mut spelled = vec![path.to_owned()];
    for (name, values) in [
        ("{id}", if canaries.ids(&table).is_empty() { vec![user.as_str()] } else { canaries.ids(&table) }),
        ("{guardian_id}", canaries.ids("guardians")),
        ("{code}", vec!["Guardian"]),
        ("{key}", vec!["medication.require_witness"]),
    ] {
        spelled = spelled.iter().flat_map(|path| values.iter().map(|value| path.replace(name, value)).collect::<BTreeSet<_>>()).collect();
    }
    assert!(spelled.iter().all(|path| !path.contains('{')), "{path} has a placeholder that the test does not know");
    spelled
}
