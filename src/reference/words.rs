//! The conditions and reasons that `docs/using/concepts.md` explains by hand: each of them is there.

use std::path::Path;

use domain::condition;

#[test]
fn the_concepts_explain_every_condition_and_reason() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/using/concepts.md")).unwrap();
    for kind in condition::ConditionType::ALL {
        assert!(page.contains(&format!("\n| `{}` |", kind.label())), "no row for condition {}", kind.label());
    }
    for reason in condition::Reason::ALL {
        let word = reason.label();
        let entry = if reason.is_problem() { format!("\n| [`{word}`](../running/runbook/{word}.md) |") } else { format!("`{word}`") };
        assert!(page.contains(&entry), "no {entry}");
    }
}
