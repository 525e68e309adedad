//! Generates the reference pages from the code and holds them to it: the custom resources' fields, the settings, the metrics.
//!
//! `make generate` writes the pages; without it, a test fails when a page is not what the code says. Must not hold what belongs beside a field, a flag or a
//! metric: their descriptions are written where they are, and only joined here.

mod conditions;
mod fields;
mod metrics;
mod settings;

use std::path::Path;

/// The first lines of every generated page.
fn head(title: &str, source: &str) -> String {
    format!("<!-- Generated from {source} by `make generate`. Do not edit: a test refuses the change. -->\n# {title}\n\n")
}

/// Writes the page when asked to, else refuses one that differs.
fn hold(page: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    if std::env::var_os("UPDATE_REFERENCE").is_some_and(|flag| flag == "1") {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(text.lines()).position(|(found, expected)| found != expected);
    assert!(found == text, "{page} is out of date, first at line {}: run `make generate`", differs.map_or(1, |line| line + 1));
}

/// A table in Markdown.
fn table<const COLUMNS: usize>(columns: [&str; COLUMNS], rows: impl IntoIterator<Item = [String; COLUMNS]>) -> String {
    let mut text = format!("{}|{}\n", line(&columns.map(str::to_owned)), "---|".repeat(COLUMNS));
    for row in rows {
        text += &line(&row);
    }
    text
}

fn line(cells: &[String]) -> String {
    let cells = cells.iter().map(|cell| format!(" {} |", escaped(cell)));
    format!("|{}\n", cells.collect::<String>().replace("|  |", "| |"))
}

/// A cell's text: bars would end the cell, and angle brackets outside of code would be taken for HTML.
fn escaped(cell: &str) -> String {
    let parts = cell.split('`').enumerate().map(|(index, part)| if index % 2 == 0 { part.replace('<', "\\<") } else { part.to_owned() });
    parts.collect::<Vec<_>>().join("`").replace('|', "\\|").replace('\n', " ")
}

/// Names in the type of code, separated by commas.
fn code<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
