//! Splits a migration's text into statements exactly where psql and PostgreSQL do, and keeps the first tokens of each.
//!
//! Must not judge whether the text is valid SQL: PostgreSQL does. It only has to find where statements begin.

/// Tokens kept of each statement: more than any rule looks at.
const KEPT: usize = 16;

/// A piece of a statement, without comments and white space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword or a plain identifier, in lower case.
    Word(String),
    /// One character of an operator or of punctuation.
    Symbol(char),
    /// A literal, or an identifier in quotes.
    Other,
}

impl Token {
    /// The token is this word.
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own == word)
    }
}

/// The statements of a text, each as its first tokens; empty statements are left out.
pub(super) fn split(text: &str) -> Vec<Vec<Token>> {
    let mut scanner = Scanner { rest: text, ..Scanner::default() };
    while let Some(next) = scanner.rest.chars().next() {
        scanner.take(next);
    }
    scanner.end();
    scanner.statements
}

#[derive(Default)]
struct Scanner<'a> {
    rest: &'a str,
    statements: Vec<Vec<Token>>,
    current: Vec<Token>,
    /// Open parentheses: semicolons within them end nothing, as in `CREATE RULE … DO (a; b)`.
    parentheses: usize,
    /// Open `BEGIN` and `CASE` of a function body in SQL (`BEGIN ATOMIC … END`), which holds semicolons.
    body: usize,
}

impl Scanner<'_> {
    fn take(&mut self, next: char) {
        match next {
            '\'' => self.quoted('\'', false),
            '"' => self.quoted('"', false),
            'e' | 'E' if self.rest[1..].starts_with('\'') => {
                self.rest = &self.rest[1..];
                self.quoted('\'', true);
            }
            '$' if self.dollar_quoted() => {}
            '-' if self.rest.starts_with("--") => self.rest = after(self.rest, |c| c == '\n' || c == '\r'),
            '/' if self.rest.starts_with("/*") => self.block_comment(),
            ';' if self.parentheses == 0 && self.body == 0 => {
                self.rest = &self.rest[1..];
                self.end();
            }
            c if c.is_ascii_digit() => {
                self.rest = self.rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.');
                self.keep(Token::Other);
            }
            c if starts_word(c) => self.word(),
            c => {
                match c {
                    '(' => self.parentheses += 1,
                    ')' => self.parentheses = self.parentheses.saturating_sub(1),
                    _ => {}
                }
                self.rest = &self.rest[c.len_utf8()..];
                if !c.is_ascii_whitespace() {
                    self.keep(Token::Symbol(c));
                }
            }
        }
    }

    fn keep(&mut self, token: Token) {
        if self.current.len() < KEPT {
            self.current.push(token);
        }
    }

    fn end(&mut self) {
        let tokens = std::mem::take(&mut self.current);
        if !tokens.is_empty() {
            self.statements.push(tokens);
        }
        (self.parentheses, self.body) = (0, 0);
    }

    fn word(&mut self) {
        let rest = self.rest.trim_start_matches(|c: char| starts_word(c) || c.is_ascii_digit() || c == '$');
        let word = self.rest[..self.rest.len() - rest.len()].to_ascii_lowercase();
        self.rest = rest;
        if self.parentheses == 0 && self.makes_a_routine() {
            match word.as_str() {
                "begin" => self.body += 1,
                "case" if self.body > 0 => self.body += 1,
                "end" => self.body = self.body.saturating_sub(1),
                _ => {}
            }
        }
        self.keep(Token::Word(word));
    }

    /// `CREATE [OR REPLACE] FUNCTION` or `PROCEDURE`.
    fn makes_a_routine(&self) -> bool {
        let beginning: Vec<&str> =
            self.current.iter().map_while(|token| if let Token::Word(word) = token { Some(word.as_str()) } else { None }).collect();
        matches!(beginning.as_slice(), ["create", "function" | "procedure", ..] | ["create", "or", "replace", "function" | "procedure", ..])
    }

    /// A literal or a quoted identifier. A doubled quote ends one and begins the next, which is the same for finding the end.
    fn quoted(&mut self, quote: char, backslashes: bool) {
        loop {
            let mut escaped = false;
            let end = self.rest[1..].find(|c| {
                let ends = c == quote && !escaped;
                escaped = backslashes && c == '\\' && !escaped;
                ends
            });
            self.rest = end.map_or("", |at| &self.rest[at + 2..]);
            // After a doubled quote a backslash means what it meant before.
            if !(backslashes && self.rest.starts_with(quote)) {
                return self.keep(Token::Other);
            }
        }
    }

    /// `$$…$$` or `$tag$…$tag$`; false when the dollar sign begins neither.
    fn dollar_quoted(&mut self) -> bool {
        let tag = &self.rest[1..];
        let Some(length) = tag.find('$') else { return false };
        let inner = &tag[..length];
        if inner.starts_with(|c: char| c.is_ascii_digit()) || !inner.chars().all(|c| starts_word(c) || c.is_ascii_digit()) {
            return false;
        }
        let quote = &self.rest[..length + 2];
        let body = &self.rest[quote.len()..];
        self.rest = body.find(quote).map_or("", |at| &body[at + quote.len()..]);
        self.keep(Token::Other);
        true
    }

    /// Comments of this form nest.
    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while !self.rest.is_empty() {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.rest = &self.rest[2..];
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.rest = &self.rest[2..];
                if depth == 0 {
                    return;
                }
            } else {
                let mut characters = self.rest.chars();
                characters.next();
                self.rest = characters.as_str();
            }
        }
    }
}

/// Letters beyond ASCII are part of words, as PostgreSQL reads them.
fn starts_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn after(text: &str, ends: impl Fn(char) -> bool) -> &str {
    text.find(ends).map_or("", |at| &text[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first word of each statement.
    fn first(text: &str) -> Vec<String> {
        let word = |tokens: Vec<Token>| if let Some(Token::Word(word)) = tokens.into_iter().next() { word } else { "?".into() };
        split(text).into_iter().map(word).collect()
    }

    #[test]
    fn statements_end_at_semicolons_and_nowhere_else() {
        assert_eq!(first("SELECT 1; COMMIT; ; select 2"), ["select", "commit", "select"]);
        for whole in [
            "SELECT ';COMMIT;'",
            "SELECT 'it''s;'';COMMIT'",
            r"SELECT E'\';COMMIT;', e'\\', 'a\'",
            r"SELECT E'a'';\';COMMIT'",
            "SELECT \"a;\"\"COMMIT;\"",
            "SELECT $$;COMMIT;$$",
            "SELECT $a$;COMMIT;$$;$b$;$a$",
            "SELECT $ça$;COMMIT;$ça$",
            "SELECT 1 -- ;COMMIT;",
            "SELECT 1 /* ;COMMIT; /* ;COMMIT; */ ;COMMIT; */",
            "SELECT U&'\\0041;', b'1;', x'f;', N';'",
            "CREATE RULE r AS ON INSERT TO a DO (SELECT 1; COMMIT;)",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
            "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT 1; END",
            "SELECT 'never closed; COMMIT",
            "SELECT $x$ never closed; COMMIT",
        ] {
            assert_eq!(first(whole).len(), 1, "{whole}");
        }
    }

    #[test]
    fn what_only_looks_like_a_quote_hides_nothing() {
        for text in [
            r"SELECT 'a\'; COMMIT",
            "SELECT $1; COMMIT; SELECT $1",
            "SELECT a$$b; COMMIT; SELECT a$$b",
            "SELECT 1 AS e; COMMIT; SELECT ''",
            "SELECT some'x'; COMMIT",
            "SELECT 1 -- '\n; COMMIT",
            "SELECT 1 -- '\r; COMMIT",
            "/* ' */ SELECT 1; COMMIT",
            "SELECT 3 / 2; COMMIT",
            "SELECT 1 AS begin; COMMIT",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; COMMIT",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; $$; COMMIT",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN CASE WHEN true THEN 1 END; COMMIT",
            "CREATE TABLE é (ü int); COMMIT",
        ] {
            assert_eq!(first(text).get(1).map(String::as_str), Some("commit"), "{text}");
        }
    }

    #[test]
    fn any_text_is_split_without_a_panic() {
        for text in ["'", "E'", "e'\\", "$", "$$", "$é", "\"", "/*", "/* é", "*/", "--", "-", ";;", ")", "é'é", "\\", "1e'", "E'é\\"] {
            split(text);
        }
    }
}
