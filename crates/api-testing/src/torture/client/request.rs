//! The requests: what they do, who sends them, for which school, and the answers that they may get.
//!
//! Must not send.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::schools::{Made, Subject, key};

/// Who sends the request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Caller {
    Admin,
    Reader,
    Forged(u64),
    Nobody,
    /// Signed as it should be, for a school that there is not.
    OfNoSchool,
    /// Of the platform, where every school is another's.
    Staff,
}

/// What the request says of the school beside its token.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named {
    Nothing,
    Id,
    Code,
    /// In headers that nobody may believe.
    Forwarded,
    OtherId,
    OtherCode,
    Twice,
    TwoSchools,
    Malformed(u64),
}

/// One request to send.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Option<Value>,
    pub(super) key: Option<String>,
    pub(super) condition: Option<&'static str>,
    /// What somebody entitled is answered.
    pub(super) expected: &'static [u16],
    pub(super) then: Then,
}

/// What the answer means for what is known.
#[derive(Clone, Debug)]
pub(super) enum Then {
    Nothing,
    /// It shows something of the school's own.
    Shows,
    /// A list that must hold nothing.
    ShowsNothing,
    List,
    Made(u64),
    /// Sent again: the same row as before.
    Same(Made),
    Removed {
        made: Made,
        /// No attempt was made before whose outcome is unknown.
        first: bool,
    },
}

pub(super) const READS: &[u16] = &[200];
pub(super) const GONE: &[u16] = &[404];

/// How a request is refused before anything is looked at; none for one that is let in. An empty code is any.
pub(super) fn refusal(caller: Caller, named: Named) -> Option<(u16, &'static str)> {
    match (caller, named) {
        (_, Named::Twice | Named::TwoSchools) => Some((400, "MALFORMED_REQUEST")),
        (Caller::Forged(_) | Caller::Nobody, _) => Some((401, "UNAUTHENTICATED")),
        (_, Named::Malformed(_)) | (Caller::OfNoSchool, _) => Some((400, "INVALID_TENANT")),
        (Caller::Staff, _) => Some((403, "FORBIDDEN")),
        (_, Named::OtherId | Named::OtherCode) => Some((403, "TENANT_MISMATCH")),
        (Caller::Admin | Caller::Reader, Named::Nothing | Named::Id | Named::Code | Named::Forwarded) => None,
    }
}

/// Texts that a lenient reader would take for a school's name.
pub(super) fn malformed(way: u64, subject: &Subject, other: &Subject) -> String {
    let (id, code) = (subject.tenant.to_string(), &subject.marker);
    match way % 9 {
        0 => id.to_uppercase().replacen(|c: char| c.is_ascii_digit(), "A", 1),
        1 => format!("{id},{}", other.tenant),
        2 => format!("{id}, {id}"),
        3 => String::new(),
        4 => format!("{id}_"),
        5 => format!("%63{}", &code[1..]),
        6 => code.to_uppercase(),
        7 => format!("{code}' OR '1'='1"),
        _ => format!("{{{id}}}"),
    }
}

pub(super) fn read(path: String, expected: &'static [u16], then: Then) -> Operation {
    Operation { method: Method::GET, path, body: None, key: None, condition: None, expected, then }
}

pub(super) fn create(subject: &Subject, serial: u64) -> Operation {
    let (body, key) = (Some(subject.child(serial)), Some(key(serial)));
    Operation { method: Method::POST, body, key, ..read("/children".into(), &[201], Then::Made(serial)) }
}

pub(super) fn change(id: Uuid, marker: &str, expected: &'static [u16]) -> Operation {
    let body = Some(json!({ "notes": format!("{marker} alterada") }));
    Operation { method: Method::PATCH, body, condition: Some("*"), ..read(format!("/children/{id}"), expected, Then::Nothing) }
}

pub(super) fn remove(made: Made, first: bool) -> Operation {
    let then = Then::Removed { made, first };
    Operation {
        method: Method::DELETE,
        condition: Some("*"),
        ..read(format!("/children/{}", made.id), if first { &[204] } else { &[204, 404] }, then)
    }
}
