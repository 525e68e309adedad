//! A request through token, tenant, rights and pool to a select, beside the same query and answer without any of it. Short slices in turn, so that whatever
//! else the machine does hits every side.
//!
//! Must not judge.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::client::{Client, Crowd, Request, get};
use crate::fixture::{Fixture, UNLIMITED, child_path};
use crate::print::{Table, count};
use crate::processes::{family, own};
use crate::spread::{Latency, Spread};
use crate::{Options, Outcome};

/// Clients, and connections to the database of each side: the most that one school may have.
const CONNECTIONS: u32 = 8;

/// For the records of the audit to be written: what a side causes is counted as its own.
const SETTLE: Duration = Duration::from_millis(300);

/// One side in one round.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Slice {
    /// Requests a second.
    rate: f64,
    latency: Latency,
    /// Microseconds of processor time for each request: of the serving process, and of PostgreSQL.
    server_us: f64,
    postgres_us: f64,
}

/// All sides of one round.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Round {
    api: Slice,
    bare: Slice,
    bare_checked: Slice,
    bare_edged: Slice,
}

struct Side {
    crowd: Crowd,
    requests: Arc<[Request]>,
    pid: u32,
}

pub(crate) async fn run(fixture: &Fixture, options: &Options) -> Outcome<Vec<Round>> {
    let (school, children) = fixture.school("lado", 200).await?;
    let api = fixture.api(&UNLIMITED).await?;
    let bare = fixture.bare(&school, children[0], CONNECTIONS).await?;
    let token = fixture.signer.token(school.tenant.id);
    let requests = |token: &str| -> Arc<[Request]> { children.iter().map(|child| get(&child_path(*child), token)).collect() };
    same_answer(api.address, bare.plain, &requests(&token)[0], &requests("")[0]).await?;
    let side = async |address: SocketAddr, token: &str, pid| {
        Outcome::Ok(Side { crowd: Crowd::connect(address, CONNECTIONS as usize).await?, requests: requests(token), pid })
    };
    let pid = bare.program.pid();
    let mut sides = [
        side(api.address, &token, api.program.pid()).await?,
        side(bare.plain, "", pid).await?,
        side(bare.checked, "", pid).await?,
        side(bare.edged, "", pid).await?,
    ];
    let mut rounds = Vec::new();
    // The first round warms up.
    for round in 0..=options.rounds {
        let mut slices = [Slice::default(); 4];
        for offset in 0..sides.len() {
            let at = (offset + round) % sides.len();
            slices[at] = slice(fixture, &mut sides[at], options.slice()).await?;
        }
        let [api, bare, bare_checked, bare_edged] = slices;
        rounds.push(Round { api, bare, bare_checked, bare_edged });
    }
    Ok(rounds.split_off(1))
}

async fn slice(fixture: &Fixture, side: &mut Side, time: Duration) -> Outcome<Slice> {
    let postgres = || family(fixture.platform.server.pid());
    let (server_before, postgres_before) = (own(side.pid)?, postgres()?);
    let load = side.crowd.press(&side.requests, time).await?;
    tokio::time::sleep(SETTLE).await;
    if load.others > 0 {
        return Err(format!("{} requests of {} were not answered by 200", load.others, load.others + load.latencies.len()).into());
    }
    let each = |seconds: f64| seconds * 1e6 / count(load.latencies.len());
    let (server_us, postgres_us) = (each(own(side.pid)? - server_before), each(postgres()? - postgres_before));
    Ok(Slice { rate: load.rate(), latency: Latency::of(load.latencies), server_us, postgres_us })
}

/// The comparison would be worth nothing otherwise.
async fn same_answer(api: SocketAddr, bare: SocketAddr, of_api: &Request, of_bare: &Request) -> Outcome {
    let body = async |address, request: &Request| {
        let mut client = Client::connect(address).await?;
        client.send(request).await?;
        let answer = client.answer();
        Outcome::Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()))
    };
    if body(api, of_api).await? == body(bare, of_bare).await? { Ok(()) } else { Err("the two sides do not answer the same".into()) }
}

pub(crate) fn print(out: &mut Table, rounds: &[Round]) {
    out.title(&format!(
        "A  one child read: token, tenant, rights, pool, select, audit; {CONNECTIONS} clients, {} rounds in turn",
        rounds.len()
    ));
    out.head("", &["min", "median", "max"]);
    let mut ratio = |name: &str, of: fn(&Round) -> f64| {
        let Spread { min, median, max } = Spread::of(rounds.iter().map(|round| round.api.rate / of(round)));
        out.row(name, &[min, median, max]);
        median
    };
    let bare = ratio("requests a second / the handler alone       (aim 0.85)", |round| round.bare.rate);
    ratio("               / the handler, pool as sqlx makes it", |round| round.bare_checked.rate);
    ratio("               / the handler behind the same edge", |round| round.bare_edged.rate);
    out.verdict(bare >= 0.85);
    let spent = |slice: &Slice| slice.server_us + slice.postgres_us;
    let spread = Spread::of(rounds.iter().map(|round| spent(&round.bare) / spent(&round.api)));
    out.row("the same in processor time, without the load's", &[spread.min, spread.median, spread.max]);
    out.head("median", &["API", "alone", "sqlx pool", "edge"]);
    let median = |of: fn(&Slice) -> f64| {
        let side = |side: fn(&Round) -> &Slice| Spread::of(rounds.iter().map(|round| of(side(round)))).median;
        [side(|r| &r.api), side(|r| &r.bare), side(|r| &r.bare_checked), side(|r| &r.bare_edged)]
    };
    out.row("requests a second", &median(|slice| slice.rate));
    out.row("p50, ms", &median(|slice| slice.latency.p50));
    out.row("p99, ms", &median(|slice| slice.latency.p99));
    out.row("processor time of the server / request, us", &median(|slice| slice.server_us));
    out.row("processor time of PostgreSQL / request, us", &median(|slice| slice.postgres_us));
}
