//! Waiting for what another task, process or server does. Fails rather than wait for ever.

use std::time::Duration;

/// Returns when the condition holds. The bound is only for a broken machine or product.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waiting).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}
