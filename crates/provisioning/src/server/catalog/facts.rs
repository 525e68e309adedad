//! The catalog query about schools, and the facts in its rows.
//!
//! Must not judge: what a row means is in `judge`.

use secrecy::SecretString;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Passwords;
use crate::server::{APP, OWNER, sql};

/// One row for each school, in the order of the parameters.
pub(super) fn query(passwords: Passwords) -> String {
    let stored = match passwords {
        Passwords::Readable => "coalesce((SELECT a.rolpassword FROM pg_authid a WHERE a.oid = r.oid), '')",
        Passwords::Hidden => "NULL::text",
    };
    format!(
        "SELECT EXISTS (SELECT FROM pg_database s WHERE {spare} AND starts_with(s.datname, $3)) AS spare,
            EXISTS (SELECT FROM pg_database t WHERE t.datname = $4 AND {template}) AS template,
            d.datname IS NOT NULL AS database_exists, shobj_description(d.oid, 'pg_database') AS database_comment,
            coalesce(d.datconnlimit = -2, false) AS interrupted, coalesce(d.datallowconn, false) AS allows,
            coalesce(d.datconnlimit = -1 AND NOT d.datistemplate AND pg_get_userbyid(d.datdba) = '{OWNER}' AND {found}, false) AS database_plain,
            CASE WHEN d.oid IS NOT NULL THEN {acl} ELSE '{{}}' END AS acl,
            {stored} AS stored_password, r.rolname IS NOT NULL AS login_exists, shobj_description(r.oid, 'pg_authid') AS login_comment,
            coalesce(r.rolcanlogin, false) AS can_login, coalesce(r.rolconnlimit, 0) AS connection_limit,
            coalesce(NOT (r.rolsuper OR r.rolcreatedb OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls) AND r.rolinherit
                AND coalesce(r.rolvaliduntil, 'infinity') = 'infinity', false) AS login_plain,
            coalesce(NOT r.rolcanlogin, false) AND EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = d.datname AND a.usename = r.rolname) AS lingers,
            (SELECT coalesce(bool_and(g.rolname = '{APP}' AND NOT m.admin_option AND to_jsonb(m)->>'inherit_option' IS DISTINCT FROM 'false'), false)
               FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid) AS member
        FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS expected (database, login, place)
        LEFT JOIN pg_database d ON d.datname = expected.database::name
        LEFT JOIN pg_roles r ON r.rolname = expected.login::name
        ORDER BY place",
        spare = sql::is_spare("s"),
        template = sql::is_template("t"),
        acl = sql::acl_of("d"),
        found = sql::finds_tables("d"),
    )
}

/// One row of [`query`]: the database and the login of one school, as far as they exist.
#[derive(Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one column of the catalogs")]
pub(super) struct Facts {
    pub(super) spare: bool,
    pub(super) template: bool,
    pub(super) database_exists: bool,
    pub(super) database_comment: Option<String>,
    pub(super) interrupted: bool,
    pub(super) allows: bool,
    pub(super) database_plain: bool,
    pub(super) acl: Vec<String>,
    pub(super) login_exists: bool,
    pub(super) login_comment: Option<String>,
    /// What PostgreSQL stores of the login's password, empty for no password; none where it is hidden.
    pub(super) stored_password: Option<SecretString>,
    pub(super) can_login: bool,
    /// The login may not log in, but a session of it is left.
    pub(super) lingers: bool,
    pub(super) connection_limit: i32,
    pub(super) login_plain: bool,
    pub(super) member: bool,
}

impl Facts {
    pub(super) fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            spare: row.try_get("spare")?,
            template: row.try_get("template")?,
            database_exists: row.try_get("database_exists")?,
            database_comment: row.try_get("database_comment")?,
            interrupted: row.try_get("interrupted")?,
            allows: row.try_get("allows")?,
            database_plain: row.try_get("database_plain")?,
            acl: row.try_get("acl")?,
            login_exists: row.try_get("login_exists")?,
            login_comment: row.try_get("login_comment")?,
            stored_password: row.try_get::<Option<String>, _>("stored_password")?.map(SecretString::from),
            can_login: row.try_get("can_login")?,
            lingers: row.try_get("lingers")?,
            connection_limit: row.try_get("connection_limit")?,
            login_plain: row.try_get("login_plain")?,
            member: row.try_get("member")?,
        })
    }
}
