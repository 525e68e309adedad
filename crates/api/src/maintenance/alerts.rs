//! Holds the alerts together: the rules that Prometheus takes, their pages in the runbook, and the metrics that there are.
//!
//! Must not list a metric or a page by hand: it compares what the files say.

use std::path::Path;

use serde::Deserialize;
use telemetry::metrics::{Kind, Metric};
use tenancy::{audit, cache};

use crate::error::Code;
use crate::metrics as api;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(rename = "name")]
    _name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    #[serde(default, rename = "for")]
    _for: Option<String>,
    labels: Labels,
    annotations: Annotations,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    severity: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotations {
    summary: String,
    runbook: String,
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rules() -> Vec<Rule> {
    let Rules { groups } = serde_yaml::from_str(&read("config/alerts/api.yaml")).unwrap();
    groups.into_iter().flat_map(|group| group.rules).collect()
}

fn normalized(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_rule_has_a_page_of_the_same_form_with_the_same_expression_and_every_page_a_rule() {
    let (rules, index) = (rules(), read("docs/running/runbook/README.md"));
    for Rule { alert, expr, labels, annotations, .. } in &rules {
        let path = format!("docs/running/runbook/api/{alert}.md");
        let page = read(&path);
        assert!(page.starts_with(&format!("# {alert}\n")), "{alert} has another title");
        for part in ["**Alert**", "**Affected.**", "**See**", "**Do**", "**Then, by itself.**", "**Do not**"] {
            assert!(page.contains(&format!("\n{part}")), "{alert} lacks {part}");
        }
        assert!(index.contains(&format!("\n| [{alert}](api/{alert}.md) |")), "README.md does not list {alert}");
        assert_eq!(normalized(page.split("```").nth(1).unwrap()), normalized(expr), "{alert}");
        assert_eq!(annotations.runbook, path);
        assert!(["warning", "critical"].contains(&&*labels.severity), "{alert}");
    }
    let pages = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/running/runbook/api")).unwrap();
    let mut pages: Vec<_> = pages.map(|page| page.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let mut alerts: Vec<_> = rules.into_iter().map(|rule| rule.alert).collect();
    pages.sort();
    alerts.sort();
    assert_eq!(pages, alerts);
    assert!(alerts.len() >= 9, "{alerts:?}");
}

#[test]
fn every_expression_asks_for_metrics_labels_and_values_that_there_are() {
    for Rule { alert, expr, annotations, .. } in rules() {
        if let Err(fault) = check(&expr) {
            panic!("{alert}: {fault}");
        }
        for part in annotations.summary.split("$labels.").skip(1) {
            let label: String = part.chars().take_while(|&c| is_word(c)).collect();
            assert!(expr.contains(&format!("by ({label})")), "{alert} tells {label}, which its expression does not keep");
        }
    }
}

#[test]
fn every_page_of_the_runbook_names_metrics_that_there_are() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/running/runbook/api");
    for page in std::fs::read_dir(directory).unwrap().map(|page| page.unwrap().path()) {
        let text = std::fs::read_to_string(&page).unwrap();
        let ours = |name: &&str| name.starts_with("dailycare_api_") || name.starts_with("dailycare_tenant_");
        for name in text.split(|c| !is_word(c)).filter(ours) {
            // A page may search for several at once by what their names begin with.
            let found = series(name).is_ok() || tables().into_iter().flatten().any(|metric| metric.name.starts_with(name));
            assert!(found, "{}: {name} is no series", page.display());
        }
    }
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
        assert!(check(wrong).is_err(), "{wrong}");
    }
}

/// Every metric of a process of the API.
fn tables() -> [&'static [Metric]; 4] {
    [&api::METRICS, &audit::metrics::METRICS, &cache::metrics::METRICS, &tenancy::maintenance::metrics::METRICS]
}

/// A series as an expression names it: its metric and the labels that it has.
fn series(name: &str) -> Result<Vec<&'static str>, String> {
    let find = |name: &str| tables().into_iter().flatten().find(|metric| metric.name == name);
    if let Some(metric) = find(name).filter(|metric| metric.kind != Kind::Histogram) {
        return Ok(metric.labels.to_vec());
    }
    for (suffix, label) in [("_bucket", Some("le")), ("_sum", None), ("_count", None)] {
        let metric = name.strip_suffix(suffix).and_then(find).filter(|metric| metric.kind == Kind::Histogram);
        if let Some(metric) = metric {
            return Ok(metric.labels.iter().copied().chain(label).collect());
        }
    }
    Err(format!("{name} is no series"))
}

/// Every series with its selector, and the labels that are kept of each (`by (…)` stands before what it is kept of).
fn check(expression: &str) -> Result<(), String> {
    let (mut rest, mut kept, mut found) = (expression, Vec::new(), false);
    while let Some(start) = rest.find(is_word) {
        rest = &rest[start..];
        let (word, after) = rest.split_at(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
        rest = after;
        if word == "by" {
            let (labels, after) = rest.trim_start().strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or("by what?")?;
            kept = labels.split(',').map(str::trim).collect();
            rest = after;
        } else if word.starts_with("dailycare_") {
            found = true;
            let labels = series(word)?;
            if let Some((selector, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
                selector.split(',').try_for_each(|matcher| check_matcher(matcher, &labels))?;
                rest = after;
            }
            if let Some(label) = std::mem::take(&mut kept).into_iter().find(|label| !labels.contains(label)) {
                return Err(format!("{word} has no {label}"));
            }
        }
    }
    found.then_some(()).ok_or_else(|| "asks for nothing".to_owned())
}

fn check_matcher(matcher: &str, labels: &[&str]) -> Result<(), String> {
    let (label, condition) = matcher.split_at(matcher.find(['=', '!']).ok_or("no matcher")?);
    if !labels.contains(&label) {
        return Err(format!("there is no {label}"));
    }
    let values = condition.split('"').nth(1).ok_or("no value")?;
    let is_known = |value: &&str| match label {
        "code" => Code::ALL.iter().any(|code| code.label() == *value),
        "class" => ["1xx", "2xx", "3xx", "4xx", "5xx", "aborted"].contains(value),
        _ => true,
    };
    match values.split('|').find(|value| !is_known(value)) {
        Some(value) => Err(format!("{label} is never {value}")),
        None => Ok(()),
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
