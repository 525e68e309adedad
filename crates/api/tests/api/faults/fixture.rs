//! Databases that are barred, and answers that must tell nothing.

use std::time::Duration;

use api_testing::{Answer, Client, PASSWORD, School, World};
use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

pub(crate) const LONG: Duration = Duration::from_mins(1);
pub(crate) const MASTER: &str = "dailycare_master";

pub(crate) async fn superuser(world: &World, database: &str) -> PgConnection {
    PgConnection::connect(&world.platform.server.superuser_url(database)).await.unwrap()
}

/// Runs statements one by one, as some may not share a transaction.
pub(crate) async fn run(conn: &mut PgConnection, statements: &[String]) {
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut *conn).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// Nobody may enter the database from now on, and nobody is in it.
pub(crate) fn bar(database: &str) -> [String; 2] {
    [
        format!("ALTER DATABASE \"{database}\" ALLOW_CONNECTIONS false"),
        format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{database}'"),
    ]
}

pub(crate) fn unbar(database: &str) -> [String; 1] {
    [format!("ALTER DATABASE \"{database}\" ALLOW_CONNECTIONS true")]
}

pub(crate) fn database(school: &School) -> String {
    school.school.objects.database.to_string()
}

/// A 503 that says when to come back, and nothing about where.
pub(crate) fn unavailable(world: &World, school: &School, answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
    reveals_nothing(world, school, answer);
}

/// No SQL, host, port, database, login or secret.
pub(crate) fn reveals_nothing(world: &World, school: &School, answer: &Answer) {
    let text = answer.body.to_string().to_lowercase();
    let (database, login, port) = (database(school), school.school.objects.login.to_string(), world.platform.server.port().to_string());
    for word in [
        "select",
        "insert",
        "sqlx",
        "postgres",
        "sqlstate",
        "relation",
        "password",
        "127.0.0.1",
        MASTER,
        "api_login",
        PASSWORD,
        &database,
        &login,
        &port,
    ] {
        // A request's id is random hexadecimal digits, which may hold a port's.
        assert!(
            !answer.body["error"]["message"].to_string().to_lowercase().contains(word) && (*word == port || !text.contains(word)),
            "{word}: {text}"
        );
    }
}

pub(crate) async fn name(conn: &Client, child: &str) -> Answer {
    conn.post("/children", json!({ "full_name": child })).await
}
