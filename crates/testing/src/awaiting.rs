//! Waiting for what another task, process or server does.
//!
//! The bound is only for a broken machine or product: a test must not measure time with it.
#![expect(clippy::missing_panics_doc, clippy::panic, reason = "an assertion of tests")]

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Longer than anything takes on a machine that compiles beside the tests.
pub const PATIENCE: Duration = Duration::from_mins(3);

const POLL: Duration = Duration::from_millis(10);

/// Returns when the condition is true, and fails when it is not within [`PATIENCE`].
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    until_some(what, async || condition().await.then_some(())).await;
}

/// Returns the first value that there is, and fails when there is none within [`PATIENCE`].
pub async fn until_some<T>(what: &str, find: impl AsyncFnMut() -> Option<T>) -> T {
    eventually(find).await.unwrap_or_else(|| panic!("waited in vain: {what}"))
}

/// The first value that there is; none when there was none within [`PATIENCE`]. For a caller that can say more of the failure.
pub async fn eventually<T>(mut find: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let found = async {
        loop {
            if let Some(value) = find().await {
                return value;
            }
            sleep(POLL).await;
        }
    };
    timeout(PATIENCE, found).await.ok()
}
