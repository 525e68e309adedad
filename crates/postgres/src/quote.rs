//! The only place where text becomes part of a statement. Utility statements (CREATE, ALTER, GRANT, COMMENT) take no parameters, so identifiers and
//! literals are quoted here, by PostgreSQL's own rules, and nowhere else.
//!
//! Must not send anything.

use std::fmt;

/// A quoted identifier: `"name"`, with inner quotes doubled.
#[derive(Clone, Copy, Debug)]
pub struct Ident<'a>(pub &'a str);

impl fmt::Display for Ident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A quoted literal that means the same whatever `standard_conforming_strings` says: backslashes make it an `E''` string.
#[derive(Clone, Copy)]
pub struct Literal<'a>(pub &'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.replace('\'', "''");
        if text.contains('\\') { write!(f, " E'{}'", text.replace('\\', "\\\\")) } else { write!(f, "'{text}'") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_cannot_end_what_they_stand_in() {
        assert_eq!(Ident("a\"; drop database b; --").to_string(), "\"a\"\"; drop database b; --\"");
        assert_eq!(Literal("it's").to_string(), "'it''s'");
        assert_eq!(Literal("a\\'b").to_string(), " E'a\\\\''b'");
    }
}
