//! Holds `docs/using/concepts.md`, which is written by hand, to the lists of conditions and reasons: it explains each of them.
//!
//! Must not write the page.

use std::path::Path;

use domain::condition;

#[test]
fn the_concepts_explain_every_condition_and_reason() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/using/concepts.md")).unwrap();
    for kind in condition::ConditionType::ALL {
        assert!(page.contains(&format!("\n| `{}` |", kind.label())), "no row for condition {}", kind.label());
    }
    for reason in condition::Reason::ALL {
        let label = reason.label();
        let entry = if reason.is_problem() {
            format!(
                "
| [`{label}`](../running/runbook/{label}.md) |"
            )
        } else {
            format!("`{label}`")
        };
        assert!(page.contains(&entry), "no {entry}");
    }
}
