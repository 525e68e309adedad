//! `traceparent` (W3C Trace Context): the caller's trace, for the log.
//!
//! Must not pass on anything but a well-formed id.

use axum::http::HeaderMap;

/// The trace that the caller's request belongs to, by W3C Trace Context.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let hex = |part: &str, length| part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = text.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let whole = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    // Later versions may append parts; the first has four.
    let ended = version != "00" || parts.next().is_none();
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    (whole && ended && !zero(trace) && !zero(parent)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_traceparent_names_a_trace() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (text, valid) in [
            (format!("00-{trace}-00f067aa0ba902b7-01"), true),
            (format!("01-{trace}-00f067aa0ba902b7-01-more"), true),
            (format!("00-{trace}-00f067aa0ba902b7-01-more"), false),
            (format!("ff-{trace}-00f067aa0ba902b7-01"), false),
            (format!("00-{trace}-0000000000000000-01"), false),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), false),
            (format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()), false),
            (format!("00-{trace}-00f067aa0ba902b7"), false),
            (String::new(), false),
        ] {
            let headers = [(axum::http::HeaderName::from_static("traceparent"), text.parse().unwrap())].into_iter().collect();
            assert_eq!(trace_id(&headers), valid.then_some(trace), "{text}");
        }
    }
}
