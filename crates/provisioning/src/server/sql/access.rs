//! Who may enter a school's database: open, closed, barred. Each block takes the lock and checks the ownership comment before it changes anything.
//!
//! Must not send anything.

use postgres::quote::{Ident, Literal};

use super::block::{block, end, lock};
use super::ownership::{NOT_INTERRUPTED, find_database, find_login, need_database, need_login};
use super::rights::correct_database;
use super::role::{RoleAttributes, correct_role};
use crate::server::{APP, TenantObjects};

/// Lets the school's login and the migrator enter, and nobody else.
pub(in crate::server) fn open(objects: &TenantObjects, connection_limit: u16) -> String {
    let desired = RoleAttributes { login: Some(true), limit: Some(connection_limit.into()), member_of: Some(APP) };
    block(&format!(
        "{} {} {NOT_INTERRUPTED} {} {} {}",
        lock(objects.database.as_str()),
        need_database(objects),
        need_login(objects),
        correct_role(desired),
        correct_database(objects, true),
    ))
}

/// Lets the migrator enter, and nobody else. Of a login that is missing or foreign, only CONNECT is revoked. While the login is ours, a database that is
/// missing or foreign is no reason to leave it LOGIN; of the database nothing is changed then.
pub(in crate::server) fn close(objects: &TenantObjects) -> String {
    let desired = RoleAttributes { login: Some(false), limit: None, member_of: Some(APP) };
    block(&format!(
        "{} {} IF the_login.oid IS NULL THEN {} ELSE {} END IF; {NOT_INTERRUPTED} \
         IF the_login.oid IS NOT NULL THEN {} END IF; IF the_database.oid IS NOT NULL THEN {} END IF;",
        lock(objects.database.as_str()),
        find_login(objects),
        need_database(objects),
        find_database(objects),
        correct_role(desired),
        correct_database(objects, false),
    ))
}

/// Lets nobody enter. `check` may end the block before it changes anything.
fn bar_if(objects: &TenantObjects, check: &str) -> String {
    let database = Ident(objects.database.as_str());
    block(&format!(
        "{} {} {NOT_INTERRUPTED} {check} \
         IF the_database.datallowconn OR the_database.datistemplate THEN ALTER DATABASE {database} ALLOW_CONNECTIONS false IS_TEMPLATE false; END IF;",
        lock(objects.database.as_str()),
        need_database(objects),
    ))
}

/// Lets nobody enter.
pub(in crate::server) fn bar(objects: &TenantObjects) -> String {
    bar_if(objects, "")
}

/// Lets nobody enter, if the login could not enter before.
pub(in crate::server) fn bar_closed(objects: &TenantObjects) -> String {
    let check = format!(
        "SELECT * INTO the_login FROM pg_roles WHERE rolname = {}; \
         IF the_database.datallowconn AND the_login.rolcanlogin AND has_database_privilege(the_login.oid, the_database.oid, 'CONNECT') THEN {} END IF;",
        Literal(objects.login.as_str()),
        end("database open"),
    );
    bar_if(objects, &check)
}
