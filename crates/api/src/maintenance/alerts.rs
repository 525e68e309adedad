//! Holds the API's alerts to the metrics and codes that there are.
//!
//! Must not list a metric or a page by hand: [`testing::alerts`] compares what the files say.

use tenancy::{audit, cache};
use testing::alerts::Alerts;

use crate::error::Code;
use crate::metrics as api;

fn alerts() -> Alerts {
    Alerts {
        program: "api",
        metrics: vec![&api::METRICS, &audit::metrics::METRICS, &cache::metrics::METRICS, &tenancy::maintenance::metrics::METRICS],
        prefixes: &["dailycare_api_", "dailycare_tenant_"],
        is_value: |label, value| match label {
            "code" => Code::ALL.iter().any(|code| code.label() == value),
            "class" => ["1xx", "2xx", "3xx", "4xx", "5xx", "aborted"].contains(&value),
            _ => true,
        },
    }
}

#[test]
fn every_rule_has_a_page_of_the_same_form_with_the_same_expression_and_every_page_a_rule() {
    let pages = alerts().check_pages().unwrap();
    assert!(pages >= 9, "{pages}");
}

#[test]
fn every_expression_asks_for_metrics_labels_and_values_that_there_are() {
    alerts().check_expressions().unwrap();
}

#[test]
fn what_there_is_not_is_found() {
    for wrong in [
        "rate(dailycare_api_nothing_total[5m]) > 1",
        "dailycare_api_tenants_bucket > 1",
        r#"rate(dailycare_tenant_requests_total{code="X"}[5m])"#,
        r#"rate(dailycare_api_refusals_total{code="FORBIDEN"}[5m])"#,
        r#"rate(dailycare_api_requests_total{class=~"5xx|6xx"}[5m])"#,
        "sum by (tenant) (rate(dailycare_api_refusals_total[5m]))",
        "sum by (le) (rate(dailycare_api_request_duration_seconds_count[5m]))",
        "vector(1)",
    ] {
        assert!(alerts().check(wrong).is_err(), "{wrong}");
    }
}
