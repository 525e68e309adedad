//! Where a page ended: the last row's place in the order, and its id. Opaque to callers, and of no use under another list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::error::{Code, Error, Result};

/// Longer than any that is made: a name of 200 characters, an id, a list's name, in base64.
const LONGEST: usize = 2048;

/// A place in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The list.
    list: String,
    /// The place, as text of the order's type.
    pub place: String,
    /// Breaks ties.
    pub id: Uuid,
}

impl Cursor {
    /// The place of this row in this list.
    #[must_use]
    pub fn new(list: &str, place: String, id: Uuid) -> Self {
        Self { list: list.to_owned(), place, id }
    }

    /// As callers get it.
    #[must_use]
    pub fn text(&self) -> String {
        // Strings and an id always serialise.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&(&self.list, &self.place, self.id)).unwrap_or_default())
    }

    /// As callers send it back.
    ///
    /// # Errors
    /// [`Code::Malformed`] for what this list did not give out.
    pub fn parse(list: &str, text: &str) -> Result<Self> {
        let malformed = || Error::from(Code::Malformed);
        let bytes =
            Some(text).filter(|text| text.len() <= LONGEST).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or_else(malformed)?;
        let (of, place, id): (String, String, Uuid) = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
        if of == list && !place.contains('\0') { Ok(Self { list: of, place, id }) } else { Err(malformed()) }
    }
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
    fn what_was_never_given_out_is_refused() {
        let zero = URL_SAFE_NO_PAD.encode(r#"["children","a\u0000","00000000-0000-0000-0000-000000000007"]"#);
        for text in ["", "x", "W10", "%%%", zero.as_str(), &"A".repeat(4096)] {
            assert_eq!(Cursor::parse("children", text).unwrap_err().code, Code::Malformed, "{text}");
        }
    }
}
