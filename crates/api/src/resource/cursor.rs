//! Where a page ended: the last row's place in the order, and its id. Opaque to callers, and of no use under another list.
//!
//! A cursor fits into an address whatever the place is: of a long one it holds the beginning, and the list finds the rest by the id.
//!
//! Must not widen what a list shows: it is a position and no filter.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::answer::Page;
use crate::error::{Code, Error, Result};

/// The longest cursor that this program makes: [`LONGEST_PLACE`] bytes, each of which JSON may write as six, an id, a list's name, in base64.
const LONGEST: usize = 2048;

/// Bytes of a place that a cursor holds whole. A name of 200 characters may be sorted by thousands of bytes.
const LONGEST_PLACE: usize = 200;

/// A place in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The list.
    list: String,
    /// The place, as text of the order's type, or its beginning.
    pub place: String,
    /// Breaks ties.
    pub id: Uuid,
    /// Only the beginning of the place is here: the row of this id has the rest.
    pub is_cut: bool,
}

impl Cursor {
    /// The place of this row in this list.
    #[must_use]
    pub fn new(list: &str, mut place: String, id: Uuid) -> Self {
        let is_cut = place.len() > LONGEST_PLACE;
        place.truncate(place.floor_char_boundary(LONGEST_PLACE));
        Self { list: list.to_owned(), place, id, is_cut }
    }

    /// The place of a row in a list that is ordered by moments.
    #[must_use]
    pub fn at(list: &str, moment: DateTime<Utc>, id: Uuid) -> Self {
        Self::new(list, moment.to_rfc3339_opts(SecondsFormat::Micros, true), id)
    }

    /// The moment of such a row.
    ///
    /// # Errors
    /// [`Code::Malformed`] for a malformed cursor.
    pub fn moment(&self) -> Result<DateTime<Utc>> {
        self.place.parse().map_err(|error: chrono::ParseError| Error::new(Code::Malformed).because(error))
    }

    /// As callers get it.
    #[must_use]
    pub fn text(&self) -> String {
        // Strings and an id always serialise.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&(&self.list, &self.place, self.id, self.is_cut)).unwrap_or_default())
    }

    /// As callers send it back.
    ///
    /// # Errors
    /// [`Code::Malformed`] for what this list did not give out.
    pub fn parse(list: &str, text: &str) -> Result<Self> {
        let malformed = || Error::from(Code::Malformed);
        let bytes =
            Some(text).filter(|text| text.len() <= LONGEST).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or_else(malformed)?;
        let (of, place, id, is_cut): (String, String, Uuid, bool) = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
        // The shorter the beginning, the more of a row could be found out that the caller may not see.
        let is_long_enough = !is_cut || place.len() + char::MAX.len_utf8() > LONGEST_PLACE;
        if of == list && !place.contains('\0') && is_long_enough { Ok(Self { list: of, place, id, is_cut }) } else { Err(malformed()) }
    }
}

/// A page of at most `limit` of these rows, of which one more was asked for: it says whether another page follows.
pub fn page<T>(mut rows: Vec<T>, limit: u32, place: impl Fn(&T) -> Cursor) -> Page<T> {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|last| place(last).text());
    Page::new(rows, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_given_out_and_only_to_its_own_list() {
        let cursor = Cursor::new("children", "inês, \"a\"".into(), Uuid::from_u128(7));
        assert_eq!(Cursor::parse("children", &cursor.text()).unwrap(), cursor);
        assert_eq!(Cursor::parse("guardians", &cursor.text()).unwrap_err().code, Code::Malformed);
    }

    #[test]
    fn the_cursor_of_the_longest_place_comes_back_too() {
        for long in ["\u{1}".repeat(200), "강".repeat(2_000), "a".repeat(201), "€".repeat(67)] {
            let cursor = Cursor::new("medication_administrations", long.clone(), Uuid::from_u128(7));
            let read = Cursor::parse("medication_administrations", &cursor.text()).unwrap();
            assert!(long.starts_with(&read.place) && read.is_cut == (read.place != long), "{long:.9}");
            assert_eq!(read, cursor);
        }
    }

    #[test]
    fn a_moment_comes_back_to_the_microsecond() {
        let moment = DateTime::from_timestamp_micros(1_764_000_000_123_456).unwrap();
        let cursor = Cursor::at("audit", moment, Uuid::from_u128(7));
        assert_eq!(Cursor::parse("audit", &cursor.text()).unwrap().moment().unwrap(), moment);
        assert_eq!(Cursor::new("audit", "noon".into(), Uuid::nil()).moment().unwrap_err().code, Code::Malformed);
    }

    #[test]
    fn a_page_says_that_another_follows_only_if_one_does() {
        let place = |n: &u128| Cursor::new("n", n.to_string(), Uuid::from_u128(*n));
        let first = page(vec![1, 2, 3], 2, place);
        assert_eq!((first.data, first.next), (vec![1, 2], Some(place(&2).text())));
        assert_eq!(page(vec![1, 2], 2, place).next, None);
    }

    #[test]
    fn what_was_never_given_out_is_refused() {
        let zero = URL_SAFE_NO_PAD.encode(r#"["children","a\u0000","00000000-0000-0000-0000-000000000007",false]"#);
        let short = URL_SAFE_NO_PAD.encode(r#"["children","a","00000000-0000-0000-0000-000000000007",true]"#);
        for text in ["", "x", "W10", "%%%", zero.as_str(), &short, &"A".repeat(4096)] {
            assert_eq!(Cursor::parse("children", text).unwrap_err().code, Code::Malformed, "{text}");
        }
    }
}
