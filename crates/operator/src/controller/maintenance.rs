//! What goes on although nothing happens: the proof that the API server still answers, the count of Schools for the metrics, and the release of places that
//! nobody has any more, and of the registry's columns that only the former release reads.
//!
//! Must not change any object or a school's database.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::condition::{ConditionStatus, ConditionType};
use domain::names::{SchoolUid, TenantId};
use domain::tier::Tier;
use kube::api::ListParams;
use kube::{Api, Client};
use provisioning::master::tenants::{self, Occupancy};
use telemetry::health::Heartbeat;
use telemetry::logs::chain;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::context::Context;
use super::requeue_waiting;
use crate::crd::{DatabaseServer, School};
use crate::kubernetes::within;
use crate::metrics::{self, Group, SchoolCounts};

/// Rows named in one line of the log.
const NAMED: usize = 5;

/// Asks the API server until `stop`, from before the election on: a standby needs a heartbeat too.
///
/// It lists one object, not from a cache: a watch can die silently, and without objects nothing else is heard.
pub(super) async fn probe_api_server(client: Client, heartbeat: Heartbeat, every: Duration, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(every);
    let (servers, one) = (Api::<DatabaseServer>::all(client), ListParams::default().limit(1));
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        match within("listing one DatabaseServer", servers.list_metadata(&one)).await {
            Ok(_) => heartbeat.beat(),
            Err(error) => tracing::info!(error = chain(&error), "the API server does not answer"),
        }
    }
}

/// Runs until `stop`.
pub(super) async fn run(context: Arc<Context>, stop: CancellationToken) {
    let counts = SchoolCounts::default();
    let mut ticks = tokio::time::interval(context.timing.maintenance);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = release_orphans(&context).await {
            tracing::info!(error = chain(&error), "the reserved places could not be compared with the registry");
        }
        if let Err(error) = tenants::clear_former_authorities(&context.registry).await {
            tracing::info!(error = chain(&error), "the registry's former column of authorities could not be emptied");
        }
        offer_places(&context);
        counts.record(context.schools.state().iter().map(|school| group(school)));
        for (name, _) in context.servers.all() {
            metrics::server_schools(name.as_str(), "allocated", context.reservations.schools_on(&name));
        }
    }
}

/// Those that were chosen when a place became free may not have wanted it. As long as a server has room, a few others are asked each time.
fn offer_places(context: &Context) {
    for (name, state) in context.servers.all() {
        let room = state.desired.max_schools.is_none_or(|most| context.reservations.schools_on(&name) < most);
        if room && state.placeable {
            requeue_waiting::for_a_place(context, &name);
        }
    }
}

/// A School can be deleted between being placed and being reserved in the registry. Nothing reports that, so its place is released here.
async fn release_orphans(context: &Context) -> Result<(), provisioning::master::Error> {
    if !context.reservations_loaded.initialized() {
        return Ok(());
    }
    let occupancy = tenants::occupancy(&context.registry, context.cluster).await?;
    report_odd_rows(&occupancy);
    let registered: HashSet<_> = occupancy.tenants().collect();
    let assigned: HashSet<_> = context.schools.state().iter().filter_map(|school| tenant(context, school)).collect();
    for server in context.reservations.retain(|tenant| registered.contains(&tenant) || assigned.contains(&tenant)) {
        requeue_waiting::for_a_place(context, &server);
    }
    Ok(())
}

/// Rows that could not be counted are in the metrics for as long as they are there, and in the log, some of them by name.
pub(super) fn report_odd_rows(occupancy: &Occupancy) {
    let odd = &occupancy.odd;
    metrics::odd_rows(odd.len());
    if !odd.is_empty() {
        let tenants: Vec<_> = odd.iter().take(NAMED).map(ToString::to_string).collect();
        tracing::warn!(
            count = odd.len(),
            tenants = tenants.join(", "),
            "registry rows name no possible server; they count nowhere, correct their column server"
        );
    }
}

/// The tenant of a School, as it was computed when the School was new.
pub(super) fn tenant(context: &Context, school: &School) -> Option<TenantId> {
    let uid = Uuid::parse_str(school.metadata.uid.as_deref()?).ok()?;
    Some(TenantId::of(context.cluster, SchoolUid(uid)))
}

fn group(school: &School) -> Group {
    let status = school.status.as_ref();
    let placement = status.and_then(|status| status.placement.as_ref());
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let tier = match placement.and_then(|placement| placement.tier) {
        Some(crate::crd::school::Tier::Premium) => Tier::Premium.label(),
        Some(crate::crd::school::Tier::Basic) => Tier::Basic.label(),
        Some(crate::crd::school::Tier::Standard) => Tier::Standard.label(),
        Some(crate::crd::school::Tier::Unknown) | None => "",
    };
    Group {
        ready: conditions
            .iter()
            .any(|written| written.type_ == ConditionType::Ready.label() && written.status == ConditionStatus::True.label()),
        tier,
        server: placement.and_then(|placement| placement.server_name.clone()).unwrap_or_default(),
    }
}
