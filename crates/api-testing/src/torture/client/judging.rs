//! The judgement of one answer: whose bytes it holds, whether it is one that the request may get, and what it says of the rows.
//!
//! Must not send.

use serde_json::json;

use super::super::schools::{Made, Phase, Subject};
use super::request::{Caller, Named, Operation, Then, refusal};
use super::{Answer, Client};

impl Client<'_> {
    pub(super) fn judge(
        &self,
        subject: &Subject,
        caller: Caller,
        named: Named,
        operation: &Operation,
        answer: &Answer,
        (before, after): (Phase, Phase),
    ) {
        let findings = &self.arena.findings;
        findings.answered(answer.status);
        let context = |what: &str| {
            let text = String::from_utf8_lossy(&answer.bytes);
            format!("{what}: {} as {caller:?} with {named:?}: {operation:?}\n  {} {text:.600}", subject.marker, answer.status)
        };
        let refusal = refusal(caller, named);
        let own = matches!((caller, &refusal), (Caller::Admin | Caller::Reader, None)).then_some(subject.index);
        self.search(own, operation, answer, &context);

        let code = answer.body["error"]["code"].as_str().unwrap_or_default();
        let for_now = matches!(answer.status, 429 | 503);
        if for_now && !answer.headers.contains_key("retry-after") {
            findings.unexpected(|| context("without Retry-After"));
        }
        if let Some((status, expected)) = refusal {
            if !(answer.status == status && (expected.is_empty() || code == expected) || answer.status == 503) {
                findings.unexpected(|| context("not refused as it should be"));
            }
            return;
        }
        let suspended = answer.status == 403 && code == "TENANT_SUSPENDED";
        let (closed, open) = (before == after && before.suspended(), before == after && before.serves());
        let right =
            if closed { suspended } else { for_now || operation.expected.contains(&answer.status) && !suspended || suspended && !open };
        if !right {
            findings.unexpected(|| context(if closed { "suspended" } else { "not as expected" }));
        }
        if open {
            findings.entitled(!for_now);
        }
        if answer.status == 200 && !Self::shows_as_it_should(subject, operation, answer) {
            findings.unexpected(|| context("shows other than it should"));
        }
    }

    /// The one question of all this: is anything of anybody else's in the answer?
    pub(super) fn search(&self, own: Option<usize>, operation: &Operation, answer: &Answer, context: &impl Fn(&str) -> String) {
        let oracle = &self.arena.oracle;
        // Who reads an audit reads which ids were asked for, and those may be another school's: a record of it tells what a caller sent, not what it got.
        let requested = |bytes: &[u8]| oracle.markers_in(own, bytes);
        let shown = |bytes: &[u8]| oracle.foreign(own, bytes);
        let found = if operation.path.starts_with("/audit") {
            requested(&answer.bytes)
        } else if operation.path.ends_with("/export") && answer.status == 200 {
            let mut rest = answer.body.clone();
            let accesses = rest["data"]["accesses"].take();
            [requested(accesses.to_string().as_bytes()), shown(rest.to_string().as_bytes())].concat()
        } else {
            shown(&answer.bytes)
        };
        let headers = answer.headers.values().flat_map(|value| shown(value.as_bytes()));
        for found in headers.chain(found) {
            self.arena.findings.foreign(|| context(&format!("{found:?}")));
        }
    }

    pub(super) fn shows_as_it_should(subject: &Subject, operation: &Operation, answer: &Answer) -> bool {
        match operation.then {
            Then::Shows => answer.body.to_string().contains(&subject.marker),
            Then::ShowsNothing => answer.body["data"] == json!([]),
            _ => true,
        }
    }

    pub(super) fn learn(&self, subject: &Subject, operation: &Operation, answer: Option<&Answer>) {
        let status = answer.map(|answer| answer.status);
        let id = || answer.and_then(|answer| answer.body["data"]["id"].as_str()).and_then(|id| id.parse().ok());
        match operation.then {
            Then::Nothing | Then::Shows | Then::ShowsNothing => {}
            Then::List => {
                if let Some(cursor) = answer.and_then(|answer| answer.body["next"].as_str()) {
                    subject.keep_cursor(cursor.to_owned());
                }
            }
            Then::Made(serial) => match id().filter(|_| status == Some(201)) {
                Some(id) => {
                    self.arena.oracle.learn(subject.index, id);
                    subject.children().present.push(Made { serial, id });
                }
                None => subject.children().unknown.push(serial),
            },
            Then::Same(made) => {
                if status == Some(201) && id() != Some(made.id) {
                    self.arena.findings.wrong_row(|| format!("{}: {made:?} asked for again is {:?}", subject.marker, id()));
                }
            }
            Then::Removed { made, first } => match status {
                Some(204) => subject.children().removed.push(made.serial),
                Some(404) => {
                    if first {
                        self.arena.findings.wrong_row(|| format!("{}: {made:?} is lost", subject.marker));
                    }
                    subject.children().removed.push(made.serial);
                }
                _ => subject.children().removing.push(made),
            },
        }
    }
}
