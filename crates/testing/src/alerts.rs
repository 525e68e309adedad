//! Holds a program's alerts together: the rules that Prometheus takes, their pages in the runbook, and the metrics that there are.
//!
//! Must not list a metric or a page by hand: it compares what the files say.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use telemetry::metrics::{Kind, Metric};

/// The alerts of one program: `config/alerts/<program>.yaml`, with a page for each in `docs/running/runbook/<program>`.
pub struct Alerts {
    /// The program.
    pub program: &'static str,
    /// Its metrics.
    pub metrics: Vec<&'static [Metric]>,
    /// What the names of its metrics begin with.
    pub prefixes: &'static [&'static str],
    /// Whether a label may have this value.
    pub is_value: fn(label: &str, value: &str) -> bool,
}

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

/// What every page has.
const PARTS: [&str; 6] = ["**Alert**", "**Affected.**", "**See**", "**Do**", "**Then, by itself.**", "**Do not**"];

impl Alerts {
    /// Every rule has a page of the same form with the same expression, and every page a rule, and names only metrics that there are. Says how many.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check_pages(&self) -> Result<usize, String> {
        let (rules, index) = (self.rules()?, read("docs/running/runbook/README.md")?);
        for Rule { alert, expr, labels, annotations, .. } in &rules {
            let file = format!("{}/{alert}.md", self.pages());
            let page = read(&file)?;
            demand(page.starts_with(&format!("# {alert}\n")), || format!("{alert} has another title"))?;
            for part in PARTS {
                demand(page.contains(&format!("\n{part}")), || format!("{alert} lacks {part}"))?;
            }
            let listed = format!("\n| [{alert}]({}/{alert}.md) |", self.program);
            demand(index.contains(&listed), || format!("README.md does not list {alert}"))?;
            let shown = page.split("```").nth(1).unwrap_or_default();
            demand(normalized(shown) == normalized(expr), || format!("the page of {alert} has another expression"))?;
            demand(annotations.runbook == file, || format!("{alert} leads to {}", annotations.runbook))?;
            demand(["warning", "critical"].contains(&&*labels.severity), || format!("{alert} has severity {}", labels.severity))?;
        }
        let pages = std::fs::read_dir(path(&self.pages())).map_err(|error| format!("{}: {error}", self.pages()))?;
        for page in pages.filter_map(Result::ok) {
            let name = page.file_name().to_string_lossy().into_owned();
            let rule = rules.iter().any(|rule| format!("{}.md", rule.alert) == name);
            demand(rule, || format!("{name} has no rule"))?;
            self.check_page(&name, &std::fs::read_to_string(page.path()).map_err(|error| format!("{name}: {error}"))?)?;
        }
        Ok(rules.len())
    }

    /// Every expression asks for metrics, labels and values that there are, and every summary tells labels that its expression keeps.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check_expressions(&self) -> Result<(), String> {
        for Rule { alert, expr, annotations, .. } in self.rules()? {
            self.check(&expr).map_err(|fault| format!("{alert}: {fault}"))?;
            for part in annotations.summary.split("$labels.").skip(1) {
                let label: String = part.chars().take_while(|&c| is_word(c)).collect();
                demand(expr.contains(&format!("by ({label})")), || format!("{alert} tells {label}, which its expression does not keep"))?;
            }
        }
        Ok(())
    }

    /// Every series with its selector, and the labels that are kept of each (`by (…)` stands before what it is kept of).
    ///
    /// # Errors
    /// What there is not.
    pub fn check(&self, expression: &str) -> Result<(), String> {
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
                let labels = self.series(word)?;
                if let Some((selector, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
                    selector.split(',').try_for_each(|matcher| self.check_matcher(matcher, &labels))?;
                    rest = after;
                }
                if let Some(label) = std::mem::take(&mut kept).into_iter().find(|label| !labels.contains(label)) {
                    return Err(format!("{word} has no {label}"));
                }
            }
        }
        found.then_some(()).ok_or_else(|| "asks for nothing".to_owned())
    }

    fn check_matcher(&self, matcher: &str, labels: &[&str]) -> Result<(), String> {
        let (label, condition) = matcher.split_at(matcher.find(['=', '!']).ok_or("no matcher")?);
        demand(labels.contains(&label), || format!("there is no {label}"))?;
        let values = condition.split('"').nth(1).ok_or("no value")?;
        match values.split('|').find(|value| !(self.is_value)(label, value)) {
            Some(value) => Err(format!("{label} is never {value}")),
            None => Ok(()),
        }
    }

    /// A page names only metrics that there are. It may search for several at once by what their names begin with.
    fn check_page(&self, page: &str, text: &str) -> Result<(), String> {
        let ours = |name: &&str| self.prefixes.iter().any(|prefix| name.starts_with(prefix));
        for name in text.split(|c| !is_word(c)).filter(ours) {
            let found = self.series(name).is_ok() || self.all().any(|metric| metric.name.starts_with(name));
            demand(found, || format!("{page}: {name} is no series"))?;
        }
        Ok(())
    }

    /// A series as an expression names it: its metric and the labels that it has.
    fn series(&self, name: &str) -> Result<Vec<&'static str>, String> {
        if let Some(metric) = self.all().find(|metric| metric.name == name && metric.kind != Kind::Histogram) {
            return Ok(metric.labels.to_vec());
        }
        for (suffix, label) in [("_bucket", Some("le")), ("_sum", None), ("_count", None)] {
            let Some(name) = name.strip_suffix(suffix) else { continue };
            if let Some(metric) = self.all().find(|metric| metric.name == name && metric.kind == Kind::Histogram) {
                return Ok(metric.labels.iter().copied().chain(label).collect());
            }
        }
        Err(format!("{name} is no series"))
    }

    fn all(&self) -> impl Iterator<Item = &'static Metric> {
        self.metrics.iter().flat_map(|metrics| metrics.iter())
    }

    fn rules(&self) -> Result<Vec<Rule>, String> {
        let file = format!("config/alerts/{}.yaml", self.program);
        let Rules { groups } = serde_yaml::from_str(&read(&file)?).map_err(|error| format!("{file}: {error}"))?;
        Ok(groups.into_iter().flat_map(|group| group.rules).collect())
    }

    fn pages(&self) -> String {
        format!("docs/running/runbook/{}", self.program)
    }
}

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)
}

fn read(file: &str) -> Result<String, String> {
    std::fs::read_to_string(path(file)).map_err(|error| format!("{file}: {error}"))
}

fn demand(is_met: bool, fault: impl FnOnce() -> String) -> Result<(), String> {
    if is_met { Ok(()) } else { Err(fault()) }
}

fn normalized(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
