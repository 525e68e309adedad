//! Holds the operator's alerts together: the rules that Prometheus takes, their pages in the runbook, and the metrics that there are.
//!
//! Must not list a metric or a page by hand: it compares what the files say.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::METRICS;

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn rules() -> Vec<Value> {
    let file: Value = serde_yaml::from_str(&read("config/alerts/operator.yaml")).unwrap();
    let groups = file["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn metrics_in(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|name| name.starts_with("dailycare_")).collect()
}

fn assert_known(what: &str, text: &str) {
    for name in metrics_in(text) {
        assert!(METRICS.iter().any(|metric| metric.name == name), "{what}: {name} is no metric of the operator");
    }
}

#[test]
fn every_rule_has_a_page_of_the_same_form_with_the_same_expression_and_every_page_a_rule() {
    let (index, mut alerts) = (read("docs/running/runbook/README.md"), Vec::new());
    for rule in rules() {
        let (alert, expression) = (rule["alert"].as_str().unwrap(), rule["expr"].as_str().unwrap());
        let file = format!("docs/running/runbook/operator/{alert}.md");
        let page = read(&file);
        assert!(page.starts_with(&format!("# {alert}\n")), "{alert} has another title");
        for part in ["**Alert**", "**Affected.**", "**See**", "**Do**", "**Then, by itself.**", "**Do not**"] {
            assert!(page.contains(&format!("\n{part}")), "{alert} lacks {part}");
        }
        assert_eq!(page.split("```").nth(1).unwrap().trim(), expression, "{alert}");
        assert!(index.contains(&format!("\n| [{alert}](operator/{alert}.md) |")), "README.md does not list {alert}");
        assert_eq!(rule["annotations"]["runbook"], file);
        assert!(["warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{alert}");
        assert!(!metrics_in(expression).is_empty(), "{alert} asks for nothing");
        assert_known(alert, expression);
        assert_known(alert, &page);
        alerts.push(format!("{alert}.md"));
    }
    let pages = std::fs::read_dir(path("docs/running/runbook/operator")).unwrap();
    let mut pages: Vec<_> = pages.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    pages.sort();
    alerts.sort();
    assert_eq!(pages, alerts);
}
