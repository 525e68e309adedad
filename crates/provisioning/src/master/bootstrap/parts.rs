//! The parts of a prepared master database: which are missing, and creating each of them.
//!
//! Must not change a part that is there already.

use postgres::error::Doing as _;
use postgres::locale;
use postgres::quote::Ident;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::{API, OPERATOR};

/// What a prepared server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    OperatorRole,
    ApiRole,
    Membership,
    Database,
    Ownership,
    Rights,
}

/// The parts, each with what a person reads when it is missing, in the order in which they are created: each part needs those before it.
pub(super) const PARTS: [(Part, &str); 6] = [
    (Part::OperatorRole, "the role dailycare_operator does not exist"),
    (Part::ApiRole, "the role dailycare_api does not exist"),
    (Part::Membership, "the admin is no member of dailycare_operator; grant it WITH INHERIT TRUE, SET TRUE"),
    (Part::Database, "the database does not exist"),
    (Part::Ownership, "the database is not owned by dailycare_operator; change its owner"),
    (Part::Rights, "PUBLIC may connect to it, or dailycare_operator or dailycare_api may not; somebody else than its owner granted that"),
];

/// What a statement that reads the parts is doing.
pub(super) const OBSERVING: &str = "observing how the master database is prepared";

/// One query over shared catalogs, a column for each of [`PARTS`]: it gives the same answer in every database of the server.
const OBSERVE: &str = "
    SELECT operator.oid IS NOT NULL, api.oid IS NOT NULL,
           coalesce(pg_has_role(current_user, operator.oid, 'USAGE') AND pg_has_role(current_user, operator.oid,
               CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END), false),
           database.oid IS NOT NULL,
           coalesce(database.datdba = operator.oid, false),
           coalesce((SELECT count(*) FILTER (WHERE grantee = 0 AND privilege_type IN ('CONNECT', 'TEMPORARY')) = 0
                        AND count(DISTINCT grantee) FILTER (WHERE privilege_type = 'CONNECT' AND grantee IN (operator.oid, api.oid)) = 2
                     FROM aclexplode(coalesce(database.datacl, acldefault('d', database.datdba)))), false)
    FROM (SELECT) AS always
    LEFT JOIN pg_roles operator ON operator.rolname = $1
    LEFT JOIN pg_roles api ON api.rolname = $2
    LEFT JOIN pg_database database ON database.datname = $3";

/// The parts that are missing, in order.
pub(super) async fn missing(conn: &mut PgConnection, database: &str) -> postgres::Result<Vec<(Part, &'static str)>> {
    let row = sqlx::query(OBSERVE).bind(OPERATOR).bind(API).bind(database).fetch_one(conn).await.doing(OBSERVING)?;
    let mut missing = Vec::new();
    for (column, part) in PARTS.into_iter().enumerate() {
        if !row.try_get::<bool, _>(column).doing(OBSERVING)? {
            missing.push(part);
        }
    }
    Ok(missing)
}

/// Creates a missing part.
pub(super) async fn create(conn: &mut PgConnection, part: Part, database: &str) -> postgres::Result<()> {
    let (operator, api, database) = (Ident(OPERATOR), Ident(API), Ident(database));
    let (statement, doing) = match part {
        Part::OperatorRole => (format!("CREATE ROLE {operator} NOLOGIN"), "creating the role dailycare_operator"),
        Part::ApiRole => (format!("CREATE ROLE {api} NOLOGIN"), "creating the role dailycare_api"),
        Part::Membership => {
            // From PostgreSQL 16 on, the creator only has ADMIN and must name the options; 15 knows no options and grants both.
            let options = if version(conn).await? >= 160_000 { " WITH INHERIT TRUE, SET TRUE" } else { "" };
            (format!("GRANT {operator} TO CURRENT_USER{options}"), "becoming a member of dailycare_operator")
        }
        Part::Database => return create_database(conn, database, operator).await,
        Part::Ownership => (format!("ALTER DATABASE {database} OWNER TO {operator}"), "giving the master database to dailycare_operator"),
        Part::Rights => (
            format!(
                "REVOKE CONNECT, TEMPORARY ON DATABASE {database} FROM PUBLIC; GRANT CONNECT ON DATABASE {database} TO {operator}, {api}"
            ),
            "granting the master database's rights",
        ),
    };
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(conn).await.doing(doing).map(|_| ())
}

/// In the locale that is the same everywhere, so that no upgrade of a system breaks its text indexes; where the system lacks it, in the server's own.
async fn create_database(conn: &mut PgConnection, database: Ident<'_>, owner: Ident<'_>) -> postgres::Result<()> {
    let create = |locale: &str| format!("CREATE DATABASE {database} TEMPLATE template0 ENCODING 'UTF8' {locale} OWNER {owner}");
    let doing = "creating the master database";
    let portable = create(locale::portable(version(conn).await?));
    match sqlx::raw_sql(AssertSqlSafe(portable)).execute(&mut *conn).await.doing(doing) {
        Err(error) if locale::is_unknown(&error) => sqlx::raw_sql(AssertSqlSafe(create(""))).execute(conn).await.doing(doing).map(|_| ()),
        created => created.map(|_| ()),
    }
}

async fn version(conn: &mut PgConnection) -> postgres::Result<i32> {
    let version = sqlx::query_scalar("SELECT current_setting('server_version_num')::int4").fetch_one(conn).await;
    version.doing("reading the server's version")
}
