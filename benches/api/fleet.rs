//! Ten thousand registered tenants: what an API that knows them all needs of memory and time, and what finding one of them costs a request.
//!
//! Must not judge.

use std::time::{Duration, Instant};

use api::access::tenant;
use api::identity::{self, Identity};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use domain::names::TenantId;
use domain::tenant::TenantState;
use postgres::session::Credentials;
use provisioning::master::keyring::Keyring;
use registry::seal::OpeningKeys;
use serde::Serialize;
use sqlx::postgres::PgPoolOptions;
use tenancy::limits::{Quota, TenantLimits};
use tenancy::registry_cache::{self, RegistryCache};
use testing::School;
use uuid::Uuid;

use crate::fixture::Fixture;
use crate::print::{Table, count};
use crate::processes::Memory;
use crate::{Options, Outcome};

/// What was measured.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Fleet {
    tenants: usize,
    /// MiB, and milliseconds to ready: with the few schools of the bench, and with all of them.
    few: Start,
    all: Start,
    pieces: Pieces,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Start {
    memory: Memory,
    ready_ms: f64,
}

/// Nanoseconds of the parts of a request that come before its first query.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Pieces {
    find_by_id: f64,
    resolve_by_claim: f64,
    resolve_with_header: f64,
    admit: f64,
    verify_anew: f64,
    verify_again: f64,
}

pub(crate) async fn run(fixture: &Fixture, options: &Options) -> Outcome<Fleet> {
    let (school, _) = fixture.school("frota", 1).await?;
    let few = start(fixture).await?;
    let ids = register(fixture, &school, options.fleet).await?;
    let all = start(fixture).await?;
    let pieces = pieces(fixture, &ids).await?;
    fixture.master("DELETE FROM registry.tenants WHERE code LIKE 'frota-%'").await?;
    Ok(Fleet { tenants: ids.len(), few, all, pieces })
}

async fn start(fixture: &Fixture) -> Outcome<Start> {
    let api = fixture.api(&[]).await?;
    let (memory, ready_ms) = (Memory::of(api.program.pid())?, api.program.start.as_secs_f64() * 1e3);
    Ok(Start { memory, ready_ms })
}

/// Rows like a real school's, each with its own database, login and sealed password; no database is behind them.
async fn register(fixture: &Fixture, like: &School, rows: usize) -> Outcome<Vec<TenantId>> {
    let keyring = Keyring::parse(&fixture.platform.sealing_keys)?;
    let password = fixture.platform.publication(like, TenantState::Active).password.ok_or("a publication without a password")?;
    let (mut ids, mut names, mut sealed) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..rows {
        let (id, name) = (Uuid::new_v4(), format!("frota-{number:05}"));
        let credentials = Credentials { username: name.replace('-', "_"), password: password.clone() };
        sealed.push(keyring.seal(TenantId(id), &credentials)?.bytes);
        ids.push(id);
        names.push(name);
    }
    let insert = "
        INSERT INTO registry.tenants (id, code, name, email, school_uid, cluster_uid, school_namespace, school_name, state, is_active, activated_at,
            server, host, port, tls_mode, database_name, login, credentials, key_id, schema_version, epoch)
        SELECT new.id, new.code, 'Escola ' || new.code, 'geral@' || new.code || '.example', gen_random_uuid(), t.cluster_uid, t.school_namespace,
            new.code, t.state, t.is_active, t.activated_at, t.server, t.host, t.port, t.tls_mode, replace(new.code, '-', '_'),
            replace(new.code, '-', '_'), new.credentials, t.key_id, t.schema_version, t.epoch
        FROM unnest($2::uuid[], $3::text[], $4::bytea[]) AS new (id, code, credentials), registry.tenants t WHERE t.id = $1";
    let query = sqlx::query(insert).bind(like.tenant.id.0).bind(&ids).bind(&names).bind(&sealed);
    query.execute(&fixture.platform.operator).await?;
    Ok(ids.into_iter().map(TenantId).collect())
}

async fn pieces(fixture: &Fixture, ids: &[TenantId]) -> Outcome<Pieces> {
    let pool = PgPoolOptions::new().max_connections(4).connect(&fixture.platform.api_url()).await?;
    let opening = OpeningKeys::parse(&fixture.platform.opening_keys)?;
    let registry_cache = RegistryCache::load(pool.clone(), opening, registry_cache::Settings::default()).await?;
    let settings = identity::Settings::new("https://dailycare.local", "dailycare-api", fixture.files.path().join("signing-keys"));
    let identity = Identity::start(settings, pool).await?;
    let tokens: Vec<String> = (0..ITERATIONS).map(|iteration| fixture.signer.token(ids[iteration % ids.len()])).collect();
    let verify = async |iteration: usize| identity.verify(&tokens[iteration]).await.map(drop).map_err(|error| format!("{error:?}").into());
    let mut principals = Vec::new();
    for id in ids.iter().take(1000) {
        let headers = HeaderMap::from_iter([(HeaderName::from_static(tenant::HEADER), HeaderValue::from_str(&id.to_string())?)]);
        principals.push((identity.verify(&fixture.signer.token(*id)).await.map_err(|error| format!("{error:?}"))?, headers));
    }
    let (none, huge) = (HeaderMap::new(), std::num::NonZeroU32::MAX);
    let limits = TenantLimits::new(Quota { rate: huge, burst: huge, in_flight: u32::MAX });
    let find = async |iteration: usize, with_header: bool| {
        let (principal, headers) = &principals[iteration % principals.len()];
        let entry = tenant::resolve(principal, if with_header { headers } else { &none }, &registry_cache)
            .await
            .map_err(|error| format!("{error:?}"))?;
        tenant::serving(entry).map_err(|error| format!("{error:?}"))?;
        Outcome::Ok(())
    };
    let pieces = Pieces {
        find_by_id: each(async |iteration| {
            registry_cache.by_id(ids[iteration % ids.len()]).await?.map(drop).ok_or_else(|| "a tenant is not known".into())
        })
        .await?,
        resolve_by_claim: each(async |iteration| find(iteration, false).await).await?,
        resolve_with_header: each(async |iteration| find(iteration, true).await).await?,
        admit: each(async |iteration| {
            limits.admit(ids[iteration % ids.len()], uuid::Uuid::nil()).map(drop).map_err(|error| format!("{error:?}").into())
        })
        .await?,
        verify_anew: each(async |iteration| verify(iteration).await).await?,
        verify_again: each(async |iteration| verify(iteration % 64).await).await?,
    };
    Ok(pieces)
}

const BATCH: usize = 1000;
const BATCHES: usize = 9;
const ITERATIONS: usize = BATCH * BATCHES;

/// Nanoseconds of one iteration, in the middle of repeated batches.
async fn each(work: impl AsyncFn(usize) -> Outcome) -> Outcome<f64> {
    let mut batches = Vec::with_capacity(BATCHES);
    for batch in 0..BATCHES {
        let begun = Instant::now();
        for iteration in 0..BATCH {
            work(batch * BATCH + iteration).await?;
        }
        batches.push(nanoseconds(begun.elapsed()) / count(BATCH));
    }
    Ok(crate::spread::Spread::of(batches).median)
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

pub(crate) fn print(out: &mut Table, fleet: &Fleet) {
    let Fleet { tenants, few, all, pieces } = fleet;
    out.title(&format!("B  {tenants} registered tenants"));
    out.head("", &["few", "all", "KiB each"]);
    let each = (all.memory.now - few.memory.now) * 1024.0 / count(*tenants);
    out.row("memory of the API when ready, MiB", &[few.memory.now, all.memory.now, each]);
    out.row("memory at most so far, MiB", &[few.memory.peak, all.memory.peak]);
    out.row("from its start to ready, ms", &[few.ready_ms, all.ready_ms]);
    out.title("C  what a request pays before its first query, ns (one core, these tenants in turn)");
    out.row("tenant looked up by id", &[pieces.find_by_id]);
    out.row("tenant resolved by the claim, state and schema checked", &[pieces.resolve_by_claim]);
    out.row("the same with X-Tenant-Id, which must agree", &[pieces.resolve_with_header]);
    out.row("rate and concurrency admitted", &[pieces.admit]);
    out.row("token verified, seen for the first time (EdDSA)", &[pieces.verify_anew]);
    out.row("token verified, seen before", &[pieces.verify_again]);
}
