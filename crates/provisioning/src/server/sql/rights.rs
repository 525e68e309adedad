//! A tenant database's rights: reading them, what they should be, and correcting them.
//!
//! Must not send anything: this is only text.

use postgres::quote::{Ident, Literal};

use super::block::end;
use crate::server::{MIGRATOR, MONITOR, OWNER, TenantObjects};

/// A database's rights as `text[]`, one entry `grantee=RIGHT` each, with `*` when it has the grant option. PUBLIC's grantee is empty.
pub(in crate::server) fn acl_of(database: &str) -> String {
    format!(
        "ARRAY(SELECT DISTINCT coalesce(grantee.rolname, '') || '=' || entry.privilege_type || CASE WHEN entry.is_grantable THEN '*' ELSE '' END \
         FROM aclexplode(coalesce({database}.datacl, acldefault('d', {database}.datdba))) entry LEFT JOIN pg_roles grantee ON grantee.oid = entry.grantee)"
    )
}

/// The rights that a tenant database should have, in the form of [`acl_of`]: the owner's, the migrator's, those of monitoring
/// roles, and the login's while it is open.
pub(in crate::server) fn desired_acl(login: Option<&str>) -> Vec<String> {
    let owner = ["CREATE", "TEMPORARY", "CONNECT"].map(|right| format!("{OWNER}={right}"));
    let connect = login.into_iter().chain([MIGRATOR, MONITOR]).map(|role| format!("{role}=CONNECT"));
    owner.into_iter().chain(connect).collect()
}

/// Where a session looks for tables when its client says nothing, so that an application that has only the Secret finds them. Our own sessions say it
/// themselves, and a school may say something else for its login. `public` is for extensions of the server's owner.
const SEARCH_PATH: &str = "app, public";

/// An SQL condition: sessions in this database look for tables where they are.
pub(in crate::server) fn finds_tables(database: &str) -> String {
    format!(
        "EXISTS (SELECT FROM pg_db_role_setting setting WHERE setting.setdatabase = {database}.oid AND setting.setrole = 0 AND {} = ANY (setting.setconfig))",
        Literal(&format!("search_path={SEARCH_PATH}"))
    )
}

/// Lets sessions in this database look for tables where they are.
pub(super) fn set_search_path(database: &str) -> String {
    format!("ALTER DATABASE {} SET search_path = {SEARCH_PATH};", Ident(database))
}

/// Brings `the_database` to its owner, to its rights, to its search path and to accepting connections, writing only what differs.
///
/// Rights are revoked while the admin owns the database: revoking the right of a member of the owner does not revoke what it granted to others, because
/// PostgreSQL still lets it grant as a member. A grant whose grantor has lost its grant option can only be revoked together with such an option, so each
/// grantee gets one first.
pub(super) fn correct_database(objects: &TenantObjects, login_may_connect: bool) -> String {
    let (database, owner) = (Ident(objects.database.as_str()), Ident(OWNER));
    let login = login_may_connect.then_some(objects.login.as_str());
    let desired: Vec<String> = desired_acl(login).iter().map(|right| Literal(right).to_string()).collect();
    let admitted: Vec<String> = login.into_iter().chain([MIGRATOR, MONITOR]).map(|role| Ident(role).to_string()).collect();
    let differs = format!(
        "NOT (SELECT acl <@ desired AND desired <@ acl FROM (SELECT {} AS acl, ARRAY[{}]::text[] AS desired) AS rights)",
        acl_of("the_database"),
        desired.join(", ")
    );
    format!(
        "IF the_database.datdba <> {owner_text}::regrole THEN ALTER DATABASE {database} OWNER TO {owner}; {again} END IF; \
         IF {differs} THEN \
           ALTER DATABASE {database} OWNER TO CURRENT_USER; \
           FOR the_row IN SELECT DISTINCT r.rolname AS name FROM aclexplode(the_database.datacl) entry JOIN pg_roles r ON r.oid IN (entry.grantee, entry.grantor) LOOP \
             EXECUTE format('GRANT ALL ON DATABASE %I TO %I WITH GRANT OPTION', the_database.datname, the_row.name); \
             EXECUTE format('REVOKE ALL ON DATABASE %I FROM %I CASCADE', the_database.datname, the_row.name); \
           END LOOP; \
           REVOKE ALL ON DATABASE {database} FROM PUBLIC; ALTER DATABASE {database} OWNER TO {owner}; \
           GRANT ALL ON DATABASE {database} TO {owner}; GRANT CONNECT ON DATABASE {database} TO {admitted}; {again} \
           IF {differs} THEN {remain} END IF; \
         END IF; \
         the_text := concat_ws(' ', CASE WHEN NOT the_database.datallowconn THEN 'ALLOW_CONNECTIONS true' END, \
           CASE WHEN the_database.datistemplate THEN 'IS_TEMPLATE false' END, CASE WHEN the_database.datconnlimit <> -1 THEN 'CONNECTION LIMIT -1' END); \
         IF the_text <> '' THEN EXECUTE format('ALTER DATABASE %I ', the_database.datname) || the_text; END IF; \
         IF NOT {found} THEN {set_search_path} END IF;",
        found = finds_tables("the_database"),
        set_search_path = set_search_path(objects.database.as_str()),
        owner_text = Literal(&owner.to_string()),
        admitted = admitted.join(", "),
        again = "SELECT * INTO the_database FROM pg_database WHERE oid = the_database.oid;",
        remain = end("rights remain"),
    )
}
