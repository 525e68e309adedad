//! Whose bytes are these? Every school has a marker that nobody could guess, in everything that it holds; ids are known by their school too.
//!
//! Must not ask the API.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// What every marker begins with; hexadecimal digits follow, and all of it is lower case, so that no normalisation hides it.
pub(crate) const PREFIX: &str = "canary";
/// Hexadecimal digits of a marker.
pub(crate) const DIGITS: usize = 24;
const UUID: usize = 36;

/// Knows each school's marker and ids.
pub(crate) struct Oracle {
    markers: HashMap<String, usize>,
    ids: RwLock<HashMap<Uuid, usize>>,
}

/// Something of another school's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// Whose it is; none for a marker that no school has.
    pub(crate) school: Option<usize>,
    pub(crate) text: String,
}

impl Oracle {
    pub(crate) fn new(markers: Vec<String>) -> Self {
        assert!(markers.iter().all(|marker| marker.starts_with(PREFIX) && marker.len() == PREFIX.len() + DIGITS), "{markers:?}");
        Self { markers: markers.into_iter().zip(0..).collect(), ids: RwLock::default() }
    }

    /// From now on this id is this school's.
    pub(crate) fn learn(&self, school: usize, id: Uuid) {
        self.ids.write().unwrap_or_else(PoisonError::into_inner).insert(id, school);
    }

    /// What in this answer is not this school's; for nobody's answer, what is anybody's. Cursors are looked into.
    pub(crate) fn foreign(&self, own: Option<usize>, bytes: &[u8]) -> Vec<Foreign> {
        let mut found = self.markers_in(own, bytes);
        let ids = self.ids.read().unwrap_or_else(PoisonError::into_inner);
        for text in uuids(bytes) {
            let school = Uuid::try_parse(text).ok().and_then(|id| ids.get(&id).copied());
            found
                .extend(school.filter(|school| Some(*school) != own).map(|school| Foreign { school: Some(school), text: text.to_owned() }));
        }
        found.extend(cursors(bytes).flat_map(|cursor| self.markers_in(own, &cursor)));
        found
    }

    /// The markers alone: for what may name another school's id because somebody asked for it.
    pub(crate) fn markers_in(&self, own: Option<usize>, bytes: &[u8]) -> Vec<Foreign> {
        let mut found = Vec::new();
        for at in positions(bytes, PREFIX.as_bytes()) {
            let end = (at + PREFIX.len() + DIGITS).min(bytes.len());
            let text = String::from_utf8_lossy(&bytes[at..end]).to_lowercase();
            let school = self.markers.get(&text).copied();
            if school.is_none() || school != own {
                found.push(Foreign { school, text });
            }
        }
        found
    }
}

/// Where `word` begins in `bytes`, in any case.
fn positions<'a>(bytes: &'a [u8], word: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = word[0];
    let starts = bytes.iter().enumerate().filter(move |(_, byte)| byte.to_ascii_lowercase() == first).map(|(at, _)| at);
    starts.filter(move |&at| bytes.get(at..at + word.len()).is_some_and(|here| here.eq_ignore_ascii_case(word)))
}

/// Texts that have a UUID's form.
fn uuids(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let hyphens = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'-').map(|(at, _)| at);
    let candidates = hyphens.filter_map(|at| at.checked_sub(8)).filter_map(|at| bytes.get(at..at + UUID));
    candidates.filter(|text| [8, 13, 18, 23].iter().all(|&at| text[at] == b'-')).filter_map(|text| std::str::from_utf8(text).ok())
}

/// What the page's cursor says, once decoded.
fn cursors(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    const NEXT: &[u8] = br#""next":""#;
    positions(bytes, NEXT).filter_map(|at| {
        let rest = bytes.get(at + NEXT.len()..)?;
        let end = rest.iter().position(|byte| *byte == b'"')?;
        URL_SAFE_NO_PAD.decode(&rest[..end]).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(digit: char) -> String {
        PREFIX.to_owned() + &digit.to_string().repeat(DIGITS)
    }

    #[test]
    fn a_foreign_marker_is_found_wherever_it_is_planted_and_ones_own_is_not() {
        let oracle = Oracle::new(vec![marker('a'), marker('b')]);
        let id = Uuid::new_v4();
        oracle.learn(1, id);
        let cursor = URL_SAFE_NO_PAD.encode(format!(r#"["children","{}","{id}"]"#, marker('b')));
        let planted = [
            format!(r#"{{"data":[{{"notes":"{}"}}]}}"#, marker('b')),
            marker('b').to_uppercase(),
            format!("{}{}", marker('a'), marker('b')),
            format!("x{id}y"),
            format!(r#"{{"data":[],"next":"{cursor}"}}"#),
            marker('c'),
            format!("{PREFIX}123"),
        ];
        for text in planted {
            assert_eq!(oracle.foreign(Some(0), text.as_bytes()).len(), 1, "{text}");
        }
        let own = format!(r#"{{"data":"{} {}","next":"{cursor}"}}"#, marker('b'), id);
        assert_eq!(oracle.foreign(Some(1), own.as_bytes()), []);
        assert_eq!(oracle.foreign(None, own.as_bytes()).len(), 3, "nobody may see anything");
        assert_eq!(oracle.foreign(Some(0), b"{\"success\":true}"), []);
    }
}
