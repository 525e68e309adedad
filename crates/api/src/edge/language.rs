//! Which of the two languages the caller reads.
//!
//! Must not hold texts: `error` does.

use axum::http::{HeaderMap, header};

use crate::error::Language;

/// The language that `Accept-Language` weighs highest; the first of equals; Portuguese when neither is asked for.
#[must_use]
pub fn language(headers: &HeaderMap) -> Language {
    let ranges = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    let mut best = (0, Language::default());
    for (weight, language) in ranges.filter_map(weighed) {
        if weight > best.0 {
            best = (weight, language);
        }
    }
    best.1
}

/// One range, such as `en-GB;q=0.8`: its weight in thousandths and what it matches.
fn weighed(range: &str) -> Option<(u16, Language)> {
    let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
    let language = match tag.trim().split('-').next()?.to_ascii_lowercase().as_str() {
        "pt" | "*" => Language::Portuguese,
        "en" => Language::English,
        _ => return None,
    };
    let weight = match parameters.trim().strip_prefix("q=").or_else(|| parameters.trim().strip_prefix("Q=")) {
        None => 1000,
        Some(text) => thousandths(text.trim())?,
    };
    Some((weight, language))
}

/// `0`, `0.5`, `1.000`: at most three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    match whole {
        "0" => Some(decimals),
        "1" if decimals == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_weight_decides_and_portuguese_is_the_default() {
        for (text, english) in [
            ("", false),
            ("en", true),
            ("pt", false),
            ("EN-gb", true),
            ("fr, de;q=0.5", false),
            ("fr, en;q=0.1", true),
            ("pt;q=0.5, en;q=0.9", true),
            ("en;q=0.5, pt-PT", false),
            ("en, pt", true),
            ("pt, en", false),
            ("en;q=0", false),
            ("*, en;q=0.5", false),
            ("en;q=2", false),
            ("en;q=0.1234", false),
            ("en;q=é", false),
            ("english", false),
            (";;;,=,", false),
        ] {
            let headers = [(header::ACCEPT_LANGUAGE, text.parse().unwrap())].into_iter().collect();
            assert_eq!(language(&headers) == Language::English, english, "{text}");
        }
    }
}
