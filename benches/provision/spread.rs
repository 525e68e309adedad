//! Figures of repeated measurements: how far they lie apart is part of the result.
//!
//! Must not round.

use serde::Serialize;

/// The least, the middle and the greatest of some figures.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let sorted = sorted(figures);
        Self { min: at(&sorted, 0.0), median: at(&sorted, 0.5), max: at(&sorted, 1.0) }
    }
}

/// The middle and the ends of latencies, in the unit that they came in.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Latency {
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let sorted = sorted(figures);
        Self { p50: at(&sorted, 0.5), p95: at(&sorted, 0.95), p99: at(&sorted, 0.99), max: at(&sorted, 1.0) }
    }
}

fn sorted(figures: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures
}

/// The nearest rank.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index into a short list")]
fn at(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((part * last as f64).ceil() as usize).copied().unwrap_or_default()
}
