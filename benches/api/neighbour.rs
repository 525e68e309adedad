//! A quiet school beside one that sends a hundred times its load, and slow queries at that: with the limits that the API has unless told otherwise.
//!
//! Must not judge.

use std::time::Duration;

use serde::Serialize;

use crate::client::{Load, pace};
use crate::fixture::Fixture;
use crate::print::{Table, count};
use crate::spread::Latency;
use crate::{Options, Outcome};

/// Requests a second of the quiet school.
const QUIET: u32 = 25;
const TIMES: u32 = 100;
const CONNECTIONS: u32 = 64;

/// How the noisy school's queries are slow, as what its database computes for each row that it reads.
const SLOW: [(&str, &str); 2] = [
    ("queries that wait 50 ms", "pg_sleep(0.05) IS NOT NULL"),
    ("queries that compute for some 10 ms", "(SELECT sum(n) FROM generate_series((id IS NULL)::int, 100000) n) > 0"),
];

/// One kind of noise.
#[derive(Debug, Serialize)]
pub(crate) struct Noise {
    kind: &'static str,
    alone: Latency,
    beside: Latency,
    /// Requests of the quiet school that were not answered by 200.
    refused: usize,
    /// Requests a second of the noisy school: answered by 200, and told to wait.
    served_rate: f64,
    refused_rate: f64,
}

pub(crate) async fn run(fixture: &Fixture, options: &Options) -> Outcome<Vec<Noise>> {
    let (quiet, children) = fixture.school("calma", 200).await?;
    let (loud, loud_children) = fixture.school("barulho", 1).await?;
    let api = fixture.api(&[]).await?;
    let (ours, theirs) = (fixture.child(&quiet, children[0]), fixture.child(&loud, loud_children[0]));
    let mut conn = fixture.platform.superuser(&loud).await?;
    let mut noises = Vec::new();
    for (kind, slow) in SLOW {
        let policy = format!(
            "ALTER TABLE app.children ENABLE ROW LEVEL SECURITY; DROP POLICY IF EXISTS slow ON app.children; CREATE POLICY slow ON app.children USING ({slow})"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(policy)).execute(&mut conn).await?;
        let (mut alone, mut beside, mut noise) = (Load::default(), Load::default(), Load::default());
        // The first round warms up.
        for round in 0..=options.noise_rounds {
            let time = if round == 0 { Duration::from_secs(1) } else { options.noise() };
            let silent = pace(api.address, ours.clone(), 1, QUIET, time).await?;
            let shouting = pace(api.address, theirs.clone(), CONNECTIONS, QUIET * TIMES, time);
            let (shouted, heard) = tokio::try_join!(shouting, pace(api.address, ours.clone(), 1, QUIET, time))?;
            if round > 0 {
                alone.merge(silent);
                beside.merge(heard);
                noise.merge(shouted);
            }
        }
        let refused = alone.others + beside.others;
        let (served_rate, refused_rate) = (noise.rate(), count(noise.others) / noise.seconds);
        let (alone, beside) = (Latency::of(alone.latencies), Latency::of(beside.latencies));
        noises.push(Noise { kind, alone, beside, refused, served_rate, refused_rate });
    }
    Ok(noises)
}

pub(crate) fn print(out: &mut Table, noises: &[Noise]) {
    out.title(&format!(
        "E  a quiet school ({QUIET} requests a second), alone and beside one that sends {TIMES} times as many, all parts on these cores"
    ));
    for noise in noises {
        let Noise { kind, alone, beside, refused, served_rate, refused_rate } = noise;
        out.head(kind, &["alone", "beside", "ratio"]);
        out.row("p50 of the quiet school, ms", &[alone.p50, beside.p50, beside.p50 / alone.p50]);
        out.row("p99 of the quiet school, ms                (aim ratio < 2)", &[alone.p99, beside.p99, beside.p99 / alone.p99]);
        out.row("its requests that were not answered by 200     (aim 0)", &[count(*refused)]);
        out.row("noisy requests a second: served, told to wait", &[*served_rate, *refused_rate]);
        out.verdict(*refused == 0 && beside.p99 < 2.0 * alone.p99);
    }
}
