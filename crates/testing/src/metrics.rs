//! What a scrape must show.
//!
//! Must not start anything.
#![expect(clippy::missing_panics_doc, reason = "an assertion of tests")]

use telemetry::metrics::Metric;

/// Fails unless a scrape shows every one of these metrics, with its labels, its type and its help.
pub fn assert_exposed(text: &str, metrics: &[Metric]) {
    for Metric { name, kind, labels, help } in metrics {
        let kind = format!("{kind:?}").to_lowercase();
        assert!(text.contains(&format!("# TYPE {name} {kind}")), "{name}\n{text}");
        assert!(text.contains(&format!("# HELP {name} {help}")), "{name}\n{text}");
        for label in *labels {
            let labelled = |line: &str| line.starts_with(name) && line.contains(&format!("{label}=\""));
            assert!(text.lines().any(labelled), "{name} {label}\n{text}");
        }
    }
    assert_eq!(text.matches("# TYPE").count(), metrics.len(), "{text}");
}
