//! The result for a person.
//!
//! Must not compute figures.

use std::fmt::Write as _;

/// Lines of figures.
#[derive(Default)]
pub(crate) struct Table(pub(crate) String);

impl Table {
    pub(crate) fn line(&mut self, text: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{text}");
    }

    pub(crate) fn title(&mut self, text: &str) {
        self.line(&format!("\n{text}"));
    }

    pub(crate) fn head(&mut self, name: &str, columns: &[&str]) {
        let columns: Vec<String> = columns.iter().map(|column| format!("{column:>10}")).collect();
        self.line(format!("   {name:<56}{}", columns.concat()).trim_end());
    }

    pub(crate) fn row(&mut self, name: &str, figures: &[f64]) {
        let figures: Vec<String> = figures.iter().map(|figure| format!("{figure:>10.2}")).collect();
        self.line(&format!("   {name:<56}{}", figures.concat()));
    }

    /// Whether the aim of the lines before is met.
    pub(crate) fn verdict(&mut self, met: bool) {
        self.line(if met { "   => met" } else { "   => NOT met" });
    }
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
pub(crate) fn count(figure: usize) -> f64 {
    figure as f64
}
