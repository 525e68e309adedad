//! A server on which there may be a master database, administered as superuser or as the plain admin that hosted PostgreSQL gives.
//!
//! Must not know the API.
#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc, reason = "a fixture fails as a test's assertions do")]

use std::fs;

use postgres::schema::Migrations;
use postgres::url::Target;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::{AssertSqlSafe, ConnectOptions as _};

use super::{Postgres, PostgresOptions, Version};

/// The database's name.
pub const DATABASE: &str = "dailycare_master";

/// The plain admin's login.
const PLAIN: &str = "plain";

/// As whom the product administers a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    /// The server's superuser.
    Superuser,
    /// A login with CREATEDB and CREATEROLE, as hosted PostgreSQL gives.
    Plain,
}

/// Every supported version with each kind of admin.
pub const EVERYWHERE: [(Version, Admin); 4] =
    [(Version::V15, Admin::Plain), (Version::V15, Admin::Superuser), (Version::V18, Admin::Plain), (Version::V18, Admin::Superuser)];

/// A server with an admin, on which there may be a master database.
#[derive(Debug)]
pub struct Master {
    /// The server.
    pub server: Postgres,
    /// The admin's login.
    pub admin: String,
    /// The admin's password.
    pub password: String,
}

impl Master {
    /// A server that logs every statement, without a master database yet.
    pub async fn start(version: Version, admin: Admin) -> Self {
        Self::start_with(version, admin, PostgresOptions::default().with("log_statement", "all")).await
    }

    /// A server with these options, without a master database yet.
    pub async fn start_with(version: Version, admin: Admin, options: PostgresOptions) -> Self {
        Self::administered(Postgres::start(version, options).await.unwrap(), admin).await
    }

    /// A server that logs every statement and has the master database, which a plain admin made once for each build of a test program; and its owner's pool.
    pub async fn bootstrapped(version: Version) -> (Self, PgPool) {
        let prepare = async |server| {
            let master = Self::administered(server, Admin::Plain).await;
            // Its sessions end before the server does.
            master.bootstrap().await.close().await;
            Ok((master.server, master.password))
        };
        let options = PostgresOptions::default().with("log_statement", "all");
        let (server, password) = Box::pin(Postgres::start_prepared(version, options, "master", prepare)).await.unwrap();
        let master = Self { server, admin: PLAIN.to_owned(), password };
        let pool = master.bootstrap().await;
        (master, pool)
    }

    async fn administered(server: Postgres, admin: Admin) -> Self {
        let (admin, password) = match admin {
            Admin::Superuser => ("postgres".to_owned(), server.superuser_password().to_owned()),
            Admin::Plain => (PLAIN.to_owned(), server.create_plain_admin(PLAIN).await.unwrap()),
        };
        Self { server, admin, password }
    }

    /// The URL of a database for the admin, without parameters.
    #[must_use]
    pub fn address(&self, database: &str) -> String {
        format!("postgres://{}:{}@{}:{}/{database}", self.admin, self.password, self.server.host(), self.server.port())
    }

    /// Where the product finds the master database.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::parse(&format!("{}?sslmode=disable", self.address(DATABASE)).into()).unwrap()
    }

    /// Makes or migrates the master database, and opens the pool of its owner.
    pub async fn bootstrap(&self) -> PgPool {
        provisioning::master::bootstrap(&self.target(), &Migrations::master().unwrap()).await.unwrap()
    }

    /// A superuser's session.
    pub async fn superuser(&self, database: &str) -> PgConnection {
        self.login("postgres", self.server.superuser_password(), database).await.unwrap()
    }

    /// A session of this login.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn login(&self, user: &str, password: &str, database: &str) -> Result<PgConnection, sqlx::Error> {
        let options = PgConnectOptions::new_without_pgpass().host(self.server.host()).port(self.server.port());
        options.username(user).password(password).database(database).connect().await
    }

    /// Everything that the server logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.server.log_path()).unwrap()
    }
}

/// Runs SQL, and fails with it when it fails.
pub async fn execute(conn: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(conn).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// The tables of a database, PostgreSQL's own included, in which some column of some row contains `text`, as text or as bytes. The session must be a
/// superuser's.
pub async fn tables_with(conn: &mut PgConnection, text: &str) -> Vec<String> {
    let tables = "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'm') AND relpersistence <> 't' ORDER BY 1";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut *conn).await.unwrap();
    let mut found = Vec::new();
    for table in tables {
        let search = format!(
            "SELECT EXISTS (SELECT FROM {table} AS searched WHERE strpos(searched::text, $1) > 0
                 OR strpos(searched::text, encode(convert_to($1, 'UTF8'), 'hex')) > 0)"
        );
        if sqlx::query_scalar::<_, bool>(AssertSqlSafe(search)).bind(text).fetch_one(&mut *conn).await.unwrap() {
            found.push(table);
        }
    }
    found
}
