//! Rust source as words and signs: comments, literals and code for tests taken out. Only as exact as finding paths needs.

/// The words and signs of a source text, `::` as one sign, without what `#[cfg(test)]` stands before.
pub(crate) fn of(source: &str) -> Vec<String> {
    without_tests(&split(&strip(source)))
}

/// The modules that `#[cfg(test)]` keeps in files of their own.
pub(crate) fn test_modules(source: &str) -> Vec<String> {
    let tokens = split(&strip(source));
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    let starts =
        (0..tokens.len()).filter(|&at| tokens[at..].iter().zip(attribute).filter(|(token, expected)| token == expected).count() == 8);
    starts.filter_map(|at| tokens.get(at + 8).cloned()).collect()
}

/// Replaces comments, strings and characters by a space.
fn strip(source: &str) -> String {
    let text: Vec<char> = source.chars().collect();
    let (mut at, mut code) = (0, String::with_capacity(source.len()));
    while at < text.len() {
        let rest = &text[at..];
        let length = match rest {
            ['/', '/', ..] => rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => rest.windows(2).position(|pair| pair == ['*', '/']).map_or(rest.len(), |end| end + 2),
            ['r', '"' | '#', ..] => raw_string(rest),
            ['"', ..] => {
                1 + rest[1..]
                    .iter()
                    .scan(false, |escaped, &c| Some(closes(escaped, c)))
                    .position(|end| end)
                    .map_or(rest.len(), |end| end + 1)
            }
            ['\'', '\\', _, ..] => 3 + rest[3..].iter().position(|&c| c == '\'').map_or(0, |end| end + 1),
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        if length == 0 {
            code.push(text[at]);
            at += 1;
        } else {
            code.push(' ');
            at += length;
        }
    }
    code
}

/// Whether this character ends a string; remembers whether the last one was a backslash that escapes.
fn closes(escaped: &mut bool, c: char) -> bool {
    let end = c == '"' && !*escaped;
    *escaped = c == '\\' && !*escaped;
    end
}

/// The length of a raw string, 0 for anything else that starts with an `r`.
fn raw_string(text: &[char]) -> usize {
    let hashes = text[1..].iter().take_while(|&&c| c == '#').count();
    if text.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let start = 2 + hashes;
    let ends = |at: &usize| text[*at] == '"' && text[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
    (start..text.len()).find(ends).map_or(text.len(), |end| end + 1 + hashes)
}

fn split(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in code.chars().chain([' ']) {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            tokens.push(std::mem::take(&mut word));
        }
        match tokens.last_mut() {
            Some(last) if c == ':' && last == ":" => last.push(':'),
            _ if c.is_whitespace() => {}
            _ => tokens.push(c.into()),
        }
    }
    tokens
}

/// Leaves out each item that `#[cfg(test)]` stands before: up to its semicolon, or to the end of its braces.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut at) = (Vec::with_capacity(tokens.len()), 0);
    while at < tokens.len() {
        if tokens[at..].iter().zip(attribute).filter(|(token, expected)| token == expected).count() < attribute.len() {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let mut depth = 0;
        for token in &tokens[at..] {
            at += 1;
            match token.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 && (token == "}" || token == ";") {
                break;
            }
        }
    }
    kept
}

#[test]
fn comments_literals_and_tests_are_left_out() {
    let source = "use crate::a; // crate::b\nlet x = \"crate::c \\\" crate::d\"; let c = 'x'; let r = r#\"crate::e\"#; fn f<'a>() {}\n\
                  #[cfg(test)] mod tests { use crate::f; fn g() {} } #[cfg(test)] mod other; use super::h;";
    let tokens = of(source).join(" ");
    assert_eq!(tokens, "use crate :: a ; let x = ; let c = ; let r = ; fn f < ' a > ( ) { } use super :: h ;");
    assert_eq!(test_modules(source), ["tests", "other"]);
}
