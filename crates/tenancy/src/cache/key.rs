//! The names of values in Redis.
//!
//! Text must not reach Redis except through the encoding here: no caller's text can end a name, begin another tenant's, or hold a pattern or a line
//! break.

use std::fmt::{self, Display};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use domain::names::TenantId;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters that are not encoded. Encoded are `:`, which separates parts, `#`, which marks versions, and `~`, which marks a digest.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');
/// A longer part is replaced by its digest: Redis compares and stores names whole.
const LONGEST_PART: usize = 128;

/// What is cached within a tenant, such as `settings` or `classes:<id>`. Two keys are equal only if all their parts are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    name: &'static str,
    text: Arc<str>,
}

impl Key {
    /// The key of a thing of which a tenant has one. Choose another name when the cached type changes its meaning.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, text: encoded(name).into() }
    }

    /// The key of one of several things. `part` may be any text, also what a person wrote.
    #[must_use]
    pub fn of(name: &'static str, part: &(impl Display + ?Sized)) -> Self {
        Self::new(name).and(part)
    }

    /// This key with one more part.
    #[must_use]
    pub fn and(self, part: &(impl Display + ?Sized)) -> Self {
        Self { name: self.name, text: format!("{}:{}", self.text, encoded(&part.to_string())).into() }
    }

    /// Its first part. No person wrote it, so it may be logged.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn encoded(part: &str) -> String {
    let text = utf8_percent_encode(part, PLAIN).to_string();
    if text.len() <= LONGEST_PART {
        return text;
    }
    digest(&SHA256, part.as_bytes()).as_ref().iter().fold("~".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// One key of one tenant: the whole address of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TenantKey {
    pub(super) tenant: TenantId,
    pub(super) key: Key,
}

impl TenantKey {
    /// The name of the value.
    pub(super) fn value(&self) -> String {
        format!("tenant:{}:{}", self.tenant, self.key)
    }

    /// The name of the key's version.
    pub(super) fn stamp(&self) -> String {
        format!("tenant:{}:{}#stamp", self.tenant, self.key)
    }
}

/// The name of the tenant's version.
pub(super) fn generation(tenant: TenantId) -> String {
    format!("tenant:{tenant}:#generation")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_callers_text_cannot_leave_its_part_of_the_name() {
        let tenant = TenantId(Uuid::from_u128(7));
        for text in ["*", "a:b", "\r\nFLUSHALL\r\n", "{x}", "#generation", "x#stamp", "~", "\0", "ção", "", "?[a-z]", "%3A"] {
            let name = TenantKey { tenant, key: Key::of("classes", text) }.value();
            let part = name.strip_prefix(&format!("tenant:{tenant}:classes:")).unwrap();
            assert!(part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.%".contains(&b)), "{text:?} gave {part}");
        }
    }

    #[test]
    fn different_parts_make_different_keys() {
        let long = "a".repeat(500);
        let keys = [
            Key::new("a"),
            Key::of("a", ""),
            Key::of("a", "b"),
            Key::of("a", "b").and("c"),
            Key::of("a", "b:c"),
            Key::of("a", "b%3Ac"),
            Key::of("a", &long),
            Key::of("a", &long[1..]),
            Key::of("a", &Key::of("a", &long).to_string()[2..]),
        ];
        let texts: std::collections::HashSet<String> = keys.iter().map(Key::to_string).collect();
        assert_eq!(texts.len(), keys.len(), "{texts:?}");
        assert!(texts.iter().all(|text| text.len() <= 2 * LONGEST_PART), "{texts:?}");
    }
}
