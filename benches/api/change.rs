//! How soon a change of a route takes effect: from the commit of the row to the first answer by its new state.
//!
//! Must not judge.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use domain::tenant::{InactiveState, TenantState};
use provisioning::master::tenants;
use serde::Serialize;
use testing::School;
use tokio::task::JoinSet;

use crate::client::{Client, Request};
use crate::fixture::{Fixture, UNLIMITED};
use crate::print::Table;
use crate::spread::Latency;
use crate::{Options, Outcome};

/// Schools whose changes are spread over a poll's period.
const UNHEARD: u32 = 20;
const PERIOD: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(30);

/// Milliseconds until it took effect.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Change {
    suspended: Latency,
    resumed: Latency,
    unheard: Latency,
}

pub(crate) async fn run(fixture: &Fixture, options: &Options) -> Outcome<Change> {
    let api = fixture.api(&UNLIMITED).await?;
    let (school, children) = fixture.school("muda", 1).await?;
    let request = fixture.child(&school, children[0]);
    let mut client = Client::connect(api.address).await?;
    let (mut suspended, mut resumed) = (Vec::new(), Vec::new());
    for _ in 0..options.changes {
        suspend(fixture, &school).await?;
        suspended.push(until(&mut client, &request, 403, Duration::ZERO).await?);
        fixture.platform.publish(&school, TenantState::Active).await?;
        resumed.push(until(&mut client, &request, 200, Duration::ZERO).await?);
    }
    fixture.master("ALTER TABLE registry.tenants DISABLE TRIGGER tenants_announce_change").await?;
    let unheard = unheard(fixture, api.address).await;
    fixture.master("ALTER TABLE registry.tenants ENABLE TRIGGER tenants_announce_change").await?;
    Ok(Change { suspended: Latency::of(suspended), resumed: Latency::of(resumed), unheard: Latency::of(unheard?) })
}

async fn unheard(fixture: &Fixture, address: SocketAddr) -> Outcome<Vec<f64>> {
    let mut schools = Vec::new();
    for number in 0..UNHEARD {
        let (school, children) = fixture.school(&format!("muda-{number}"), 1).await?;
        let (request, mut client) = (fixture.child(&school, children[0]), Client::connect(address).await?);
        // A school that memory does not hold yet is looked up: from here on it is held.
        client.send(&request).await?;
        schools.push((school, request, client));
    }
    let mut waits = JoinSet::new();
    for (school, request, mut client) in schools {
        suspend(fixture, &school).await?;
        waits.spawn(async move { until(&mut client, &request, 403, Duration::from_millis(5)).await });
        tokio::time::sleep(PERIOD / UNHEARD).await;
    }
    let mut times = Vec::new();
    while let Some(time) = waits.join_next().await {
        times.push(time??);
    }
    Ok(times)
}

/// The row alone: the school's own door stays open, so that only the row can be what the API goes by.
async fn suspend(fixture: &Fixture, school: &School) -> Outcome {
    tenants::set_state(&fixture.platform.operator, school.tenant, InactiveState::Suspended).await?;
    Ok(())
}

/// Milliseconds from now, when the row is committed, until this is the answer.
async fn until(client: &mut Client, request: &Request, status: u16, pause: Duration) -> Outcome<f64> {
    let begun = Instant::now();
    while client.send(request).await? != status {
        if begun.elapsed() > PATIENCE {
            return Err(format!("a change took no effect; the last answer: {}", client.answer()).into());
        }
        tokio::time::sleep(pause).await;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

pub(crate) fn print(out: &mut Table, change: &Change) {
    out.title("F  from the commit of a tenant's row to the first answer that goes by it, ms");
    out.head("", &["p50", "p99", "max"]);
    let Change { suspended, resumed, unheard } = change;
    out.row("suspended, so 403                        (aim p99 < 50)", &[suspended.p50, suspended.p99, suspended.max]);
    out.row("resumed, so 200 with its child           (aim p99 < 50)", &[resumed.p50, resumed.p99, resumed.max]);
    out.verdict(suspended.p99 < 50.0 && resumed.p99 < 50.0);
    out.row("suspended, notifications cut        (aim max <= 10,000)", &[unheard.p50, unheard.p99, unheard.max]);
    out.verdict(unheard.max <= 10_000.0);
}
