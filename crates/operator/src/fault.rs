//! Fault points: a test build can be made to abort before or after any action, by the action's name.
//!
//! `DAILYCARE_ABORT=before:claim_database` or `after:claim_database`. Must do nothing, and read no environment, without the feature `fault-points`.

/// Before or after an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The action has not begun.
    Before,
    /// The action has landed; nothing has recorded it yet.
    After,
}

/// Aborts here if the environment says so: at once, without unwinding, as by SIGKILL.
#[cfg(feature = "fault-points")]
pub fn point(moment: Moment, action: &str) {
    static REQUESTED: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| std::env::var("DAILYCARE_ABORT").ok());
    let here = match moment {
        Moment::Before => "before",
        Moment::After => "after",
    };
    if REQUESTED.as_deref().and_then(|requested| requested.split_once(':')) == Some((here, action)) {
        // So that the test can read what came before.
        telemetry::logs::flush();
        std::process::abort();
    }
}

/// Does nothing in the product.
#[cfg(not(feature = "fault-points"))]
pub fn point(_: Moment, _: &str) {}
