//! Running the controller of one kind: watch its objects, and reconcile each when it changes, when somebody asks for it, or when its time has come.
//!
//! Must not reconcile by itself: that is the engine's.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::Resource as _;
use kube::runtime::controller::Controller;
use kube::runtime::{PredicateConfig, WatchStreamExt as _, watcher};
use telemetry::logs::chain;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Kind, reconcile};
use crate::controller::context::Context;
use crate::controller::watch;

/// Runs until `stop` and until the running reconciles have ended. Drops `starting` when the first reconcile may begin.
pub(in crate::controller) async fn control<K: Kind>(ctx: Arc<Context>, starting: mpsc::Sender<()>, stop: CancellationToken) {
    if stop.run_until_cancelled(K::before_start(&ctx)).await.is_none() {
        return;
    }
    drop(starting);
    let cache = K::cache(&ctx);
    let Some(writer) = cache.take_writer() else {
        return tracing::error!(kind = K::NAME, "two controllers of one kind; please report this");
    };
    let listing = Arc::clone(&ctx);
    let listed = move |event: &watcher::Event<K::Object>| match event {
        watcher::Event::InitDone => {
            K::listed(&listing);
            listing.changes.all();
        }
        watcher::Event::Apply(object) => listing.changes.object(object.meta().uid.as_deref().unwrap_or_default()),
        watcher::Event::Delete(_) | watcher::Event::Init | watcher::Event::InitApply(_) => {}
    };
    let watched = watch::valid::<K::Object>(ctx.client.clone(), ctx.heartbeat.clone()).reflect(writer).inspect_ok(listed);
    let changed = watched.applied_objects().predicate_filter(watch::requested, PredicateConfig::default());
    Controller::for_stream(changed, cache.clone_store())
        .reconcile_on(K::requeue(&ctx).stream())
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile::<K>, |_, error: &Infallible, _| match *error {}, ctx)
        .for_each(|outcome| {
            if let Err(error) = outcome {
                tracing::debug!(kind = K::NAME, error = chain(&error), "not reconciled");
            }
            ready(())
        })
        .await;
}
