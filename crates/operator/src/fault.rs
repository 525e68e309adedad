//! Fault points: in a test build the process can be told to die before or after any effect, by its name.
//!
//! `DAILYCARE_ABORT=before:claim_database` or `after:claim_database`. Without the feature `testing` this is nothing.

/// Before or after an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The effect has not begun.
    Before,
    /// The effect has landed; nobody knows yet.
    After,
}

/// Dies here if told to: at once, without unwinding, as by SIGKILL.
#[cfg(feature = "fault-points")]
pub fn point(moment: Moment, action: &str) {
    static REQUESTED: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| std::env::var("DAILYCARE_ABORT").ok());
    let here = match moment {
        Moment::Before => "before",
        Moment::After => "after",
    };
    if REQUESTED.as_deref().and_then(|requested| requested.split_once(':')) == Some((here, action)) {
        std::process::abort();
    }
}

/// Nothing, in the product.
#[cfg(not(feature = "fault-points"))]
pub fn point(_: Moment, _: &str) {}
