//! The place that a reconcile has among others on its object's server: waiting for it, and giving it up while slow work waits for another.
//!
//! Must not hold two places at once, nor one while waiting, and must notice when something else is desired of the object meanwhile.

use kube::Resource as _;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::OwnedSemaphorePermit;

use super::{Kind, Limit};
use crate::controller::changes::Subscription;
use crate::controller::concurrency::Work;
use crate::controller::context::Context;
use crate::metrics;

/// A place, if the kind has limits.
pub(super) struct Permit(Option<OwnedSemaphorePermit>);

impl Permit {
    /// No place yet.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Gives up the present place and waits for one for `work`. False when something else was desired of the object before there was one.
    pub(super) async fn exchange<K: Kind>(&mut self, ctx: &Context, changes: &Subscription<'_>, object: &K::Object, work: Work) -> bool {
        let Limit::PerServer(server) = K::limit(object) else { return true };
        self.0 = None;
        let _waiting = Waiting::begin::<K>();
        tokio::select! {
            // What is desired counts first.
            biased;
            () = changes.until(|| newer::<K>(ctx, object).is_some()) => false,
            permit = ctx.concurrency.acquire(server.as_ref(), work) => {
                self.0 = permit;
                true
            }
        }
    }
}

/// Waits for the place that a pass over the object needs, and brings the object to what the watch cache has by then. An object that needs another place
/// meanwhile, because it is to be suspended or deleted, waits for that one.
pub(super) async fn queue<K: Kind>(ctx: &Context, changes: &Subscription<'_>, object: &mut K::Object) -> Permit {
    let _waiting = Waiting::begin::<K>();
    loop {
        if let Some(newer) = newer::<K>(ctx, object) {
            *object = newer;
        }
        let (limit, work) = (K::limit(object), K::work(object));
        let Limit::PerServer(server) = &limit else { return Permit::none() };
        let elsewhere = || newer::<K>(ctx, object).is_some_and(|newer| K::work(&newer) != work || K::limit(&newer) != limit);
        tokio::select! {
            biased;
            () = changes.until(elsewhere) => {}
            permit = ctx.concurrency.acquire(server.as_ref(), work) => {
                if let Some(newer) = newer::<K>(ctx, object) {
                    *object = newer;
                }
                return Permit(permit);
            }
        }
    }
}

/// The object in the watch cache, if something else is desired of it than of `object`: another spec, or its deletion.
pub(super) fn newer<K: Kind>(ctx: &Context, object: &K::Object) -> Option<K::Object> {
    let cached = K::cache(ctx).get(&ObjectRef::from_obj(object))?;
    (cached.meta().uid == object.meta().uid && is_later::<K>(object, &cached)).then(|| K::Object::clone(&cached))
}

/// `now` has a later generation than `then`, or is being deleted as `then` was not. Of two versions this tells the later one, which their
/// `resourceVersion` does not.
pub(super) fn is_later<K: Kind>(then: &K::Object, now: &K::Object) -> bool {
    let (then, now) = (then.meta(), now.meta());
    now.generation > then.generation || (now.deletion_timestamp.is_some() && then.deletion_timestamp.is_none())
}

/// Counts an object that waits, until dropped.
struct Waiting(&'static str);

impl Waiting {
    fn begin<K: Kind>() -> Self {
        metrics::enqueued(K::NAME);
        Self(K::NAME)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        metrics::dequeued(self.0);
    }
}
