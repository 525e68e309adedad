//! What every phase needs: a durable PostgreSQL server with the master database and schools, and APIs started on it as users start them.
//!
//! Must not measure.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use secrecy::ExposeSecret as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;
use testing::{Platform, PostgresOptions, School, Version};
use uuid::Uuid;

use crate::Outcome;
use crate::bare::Bare;
use crate::client::{self, Request};
use crate::program::{Program, free};
use crate::tokens::Signer;

/// The master database.
const MASTER: &str = "dailycare_master";

/// No limit that a slice of load could meet, where something else is measured.
pub(crate) const UNLIMITED: [&str; 4] = ["--tenant-rate", "1000000", "--tenant-burst", "1000000"];

/// See the module.
pub(crate) struct Fixture {
    pub(crate) platform: Platform,
    pub(crate) signer: Signer,
    pub(crate) files: TempDir,
    api: PathBuf,
}

/// A running API.
pub(crate) struct Api {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
}

/// The bare server's addresses: see [`Bare`].
pub(crate) struct Bares {
    pub(crate) program: Program,
    pub(crate) plain: SocketAddr,
    pub(crate) checked: SocketAddr,
    pub(crate) edged: SocketAddr,
}

impl Fixture {
    pub(crate) async fn start(api: Option<PathBuf>) -> Outcome<Self> {
        let beside = || -> Option<PathBuf> { Some(std::env::current_exe().ok()?.parent()?.parent()?.join("dailycare")) };
        let api = api.or_else(beside).filter(|program| program.exists()).ok_or("dailycare is missing: run cargo build --release")?;
        let options = PostgresOptions { fsync: true, ..PostgresOptions::default() };
        let options = options.with("shared_buffers", "512MB").with("max_connections", "300");
        let platform = Platform::start(Version::V18, options).await?;
        let (signer, files) = (Signer::new()?, tempfile::tempdir()?);
        std::fs::write(files.path().join("opening-keys"), platform.opening_keys.expose_secret())?;
        std::fs::write(files.path().join("signing-keys"), signer.file.expose_secret())?;
        Ok(Self { platform, signer, files, api })
    }

    /// A school and its children.
    pub(crate) async fn school(&self, code: &str, children: i32) -> Outcome<(School, Vec<Uuid>)> {
        let school = self.platform.school(code).await?;
        let insert = "
            INSERT INTO app.children (full_name, birth_date, home_language, address)
            SELECT 'Maria da Conceição ' || n, date '2021-03-01' + n % 900, 'pt', 'Rua das Flores ' || n || ', 4000-123 Porto'
            FROM generate_series(1, $1) n RETURNING id";
        let mut conn = self.platform.superuser(&school).await?;
        let children = sqlx::query_scalar(insert).bind(children).fetch_all(&mut conn).await?;
        sqlx::raw_sql("ANALYZE").execute(&mut conn).await?;
        conn.close().await?;
        Ok((school, children))
    }

    /// `GET` of a child, as a new user of the school.
    pub(crate) fn child(&self, school: &School, child: Uuid) -> Request {
        client::get(&child_path(child), &self.signer.token(school.tenant.id))
    }

    /// An API with these settings.
    pub(crate) async fn api(&self, settings: &[&str]) -> Outcome<Api> {
        let (address, http) = (free()?, free()?);
        let mut command = Command::new(&self.api);
        command.arg("api").args(settings).env_clear().env("DAILYCARE_MASTER_URL", self.platform.api_url());
        command.env("DAILYCARE_OPENING_KEY_FILE", self.files.path().join("opening-keys"));
        command.env("DAILYCARE_SIGNING_KEY_FILE", self.files.path().join("signing-keys"));
        command.args(["--address", &address.to_string(), "--http-address", &http.to_string(), "--grace-seconds", "0"]);
        // For profiling: what a person sets for this program is meant for the API.
        command.envs(std::env::vars().filter(|(name, _)| name == "DAILYCARE_LOG"));
        let program = Program::start(&mut command, &self.files.path().join("api.log"), http, "/readyz").await?;
        Ok(Api { program, address })
    }

    /// The bare server on this school's database, as this school's login.
    pub(crate) async fn bare(&self, school: &School, child: Uuid, connections: u32) -> Outcome<Bares> {
        let route = self.platform.publication(school, domain::tenant::TenantState::Active);
        let (host, port, database) = (&route.route.endpoint.host, route.route.endpoint.port, &route.route.database);
        let url = format!(
            "postgres://{}:{}@{host}:{port}/{database}?sslmode=disable",
            route.route.login,
            route.password.as_ref().map_or("", |password| password.expose_secret())
        );
        let (plain, checked, edged) = (free()?, free()?, free()?);
        let mut command = Command::new(std::env::current_exe()?);
        command.args([Bare::NAME, "--plain", &plain.to_string(), "--checked", &checked.to_string(), "--edged", &edged.to_string()]);
        command.args(["--connections", &connections.to_string()]).env_clear().env("BENCH_DATABASE_URL", url);
        let program = Program::start(&mut command, &self.files.path().join("bare.log"), edged, &child_path(child)).await?;
        Ok(Bares { program, plain, checked, edged })
    }

    /// Runs SQL in the master database as a superuser.
    pub(crate) async fn master(&self, sql: &str) -> Outcome {
        let mut conn = PgConnection::connect(&self.platform.server.superuser_url(MASTER)).await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await?;
        Ok(())
    }
}

pub(crate) fn child_path(child: Uuid) -> String {
    format!("/api/v1/children/{child}")
}
