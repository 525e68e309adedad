//! Holds the operator's alerts to the metrics that there are.
//!
//! Must not list a metric or a page by hand: [`testing::alerts`] compares what the files say.

use testing::alerts::Alerts;

use super::METRICS;

fn alerts() -> Alerts {
    Alerts { program: "operator", metrics: vec![&METRICS], prefixes: &["dailycare_operator_"], is_value: |_, _| true }
}

#[test]
fn every_rule_has_a_page_of_the_same_form_with_the_same_expression_and_every_page_a_rule() {
    let pages = alerts().check_pages().unwrap();
    assert!(pages >= 2, "{pages}");
}

#[test]
fn every_expression_asks_for_metrics_labels_and_values_that_there_are() {
    alerts().check_expressions().unwrap();
}
