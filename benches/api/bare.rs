//! What the API is measured against: the same query and the same answer from one handler on one fixed pool, without tokens, tenants, rights or audit.
//!
//! A process of its own, as the API is, so that its processor time can be told apart. Must not do more than the query and its answer.

use std::net::SocketAddr;
use std::str::FromStr as _;
use std::sync::Arc;

use api::answer::{ETag, tagged};
use api::edge;
use api::error::Error;
use api::resource::select;
use api::school::children::Children;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use clap::Args;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use telemetry::logs;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Outcome;

/// What the process is told.
#[derive(Args)]
pub(crate) struct Bare {
    /// The school's database.
    #[arg(long, env = "BENCH_DATABASE_URL", hide_env_values = true)]
    database: String,
    /// Where the handler alone is: a pool that trusts its connections.
    #[arg(long)]
    plain: SocketAddr,
    /// Where the handler is on a pool as sqlx makes it, which asks a connection whether it lives before each use.
    #[arg(long)]
    checked: SocketAddr,
    /// Where the handler is with everything around it that the API has around its own: limits, ids, headers, log, metrics.
    #[arg(long)]
    edged: SocketAddr,
    /// Connections of each pool.
    #[arg(long)]
    connections: u32,
}

impl Bare {
    /// The subcommand.
    pub(crate) const NAME: &str = "bare";
}

/// Serves until it is killed.
pub(crate) async fn serve(bare: &Bare) -> Outcome {
    let _logs = logs::start(logs::Format::Human, "info,sqlx=warn")?;
    let _metrics = ::api::metrics::install()?;
    let options = PgConnectOptions::from_str(&bare.database)?.disable_statement_logging();
    let pool = |check| {
        let size = PgPoolOptions::new().max_connections(bare.connections).min_connections(bare.connections);
        size.test_before_acquire(check).connect_with(options.clone())
    };
    let (plain, checked) = (router(pool(false).await?), router(pool(true).await?));
    let edged = edge::layered(router(pool(false).await?), &edge::Settings::default(), None);
    let (one, two, three) = (listen(bare.plain).await?, listen(bare.checked).await?, listen(bare.edged).await?);
    let limits = edge::Limits::default();
    let (one, two) = (axum::serve(one, plain).into_future(), axum::serve(two, checked).into_future());
    tokio::try_join!(one, two, async {
        edge::serve(three, edged, &limits, CancellationToken::new()).await;
        Ok(())
    })?;
    Ok(())
}

async fn listen(address: SocketAddr) -> Outcome<TcpListener> {
    Ok(TcpListener::bind(address).await?)
}

fn router(pool: PgPool) -> Router {
    Router::new().route("/api/v1/children/{id}", get(child)).with_state(Arc::new(pool))
}

async fn child(State(pool): State<Arc<PgPool>>, Path(id): Path<Uuid>) -> Result<Response, Error> {
    let mut conn = pool.acquire().await?;
    let found = select::one::<Children>(&mut conn, id, None).await?;
    Ok(match found {
        Some(found) => tagged(StatusCode::OK, ETag(found.version), found.record),
        None => StatusCode::NOT_FOUND.into_response(),
    })
}
