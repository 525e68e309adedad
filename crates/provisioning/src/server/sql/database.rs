//! Creating, freezing and dropping databases that belong to no school (templates, buildings and spares), and dropping a school's.
//!
//! Must not send anything: this is only text.

use postgres::quote::{Ident, Literal};

use super::block::{block, end};
use super::ownership::NOT_INTERRUPTED;
use crate::server::{MIGRATOR, OWNER};

/// Creates a copy of the template that nobody but a superuser can enter, from its first moment on. Not `ALLOW_CONNECTIONS false`: with one such database
/// `pg_upgrade` refuses the whole server.
pub(in crate::server) fn create_spare(name: &str, template: &str) -> String {
    format!("CREATE DATABASE {} TEMPLATE {} STRATEGY WAL_LOG OWNER {} CONNECTION LIMIT 0", Ident(name), Ident(template), Ident(OWNER))
}

/// Creates an empty database that nobody can enter, to build a template in. `locale` is one of [`postgres::locale`], or nothing for the server's own.
pub(in crate::server) fn create_building(name: &str, locale: &str) -> String {
    format!("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' {locale} OWNER {} ALLOW_CONNECTIONS false", Ident(name), Ident(OWNER))
}

/// An SQL condition: the database's text is sorted as the system sorts it now. PostgreSQL copies no other database.
pub(in crate::server) fn collates_as_now(database: &str) -> String {
    format!("{database}.datcollversion IS NOT DISTINCT FROM pg_database_collation_actual_version({database}.oid)")
}

/// Lets the migrator, and nobody else, into a database under construction.
pub(in crate::server) fn admit_migrator(building: &str) -> String {
    let building = Ident(building);
    format!(
        "REVOKE ALL ON DATABASE {building} FROM PUBLIC; GRANT CONNECT ON DATABASE {building} TO {}; ALTER DATABASE {building} ALLOW_CONNECTIONS true",
        Ident(MIGRATOR)
    )
}

/// Turns a finished database into a template that nobody but a superuser can enter, and in which a superuser's session writes nothing unless it says so, in
/// one transaction and one message. Not `ALLOW_CONNECTIONS false`: with one such database `pg_upgrade` refuses the whole server.
pub(in crate::server) fn freeze(building: &str, template: &str) -> String {
    let (building, template) = (Ident(building), Ident(template));
    format!(
        "REVOKE ALL ON DATABASE {building} FROM PUBLIC, {}, {}; ALTER DATABASE {building} CONNECTION LIMIT 0 IS_TEMPLATE true; \
         ALTER DATABASE {building} SET default_transaction_read_only = on; ALTER DATABASE {building} RENAME TO {template}",
        Ident(OWNER),
        Ident(MIGRATOR),
    )
}

/// An SQL condition: only a superuser may enter the database.
pub(in crate::server) fn is_frozen(database: &str) -> String {
    // By name: a server that is not prepared yet has no such role.
    format!("{database}.datallowconn AND {database}.datconnlimit = 0 AND pg_get_userbyid({database}.datdba) = {}", Literal(OWNER))
}

/// A database with a template's name is one that can be copied.
pub(in crate::server) fn is_template(database: &str) -> String {
    format!("{database}.datistemplate AND {} AND {}", is_frozen(database), collates_as_now(database))
}

/// Makes a template, spare or building droppable, if it has a name and an owner of ours and no ownership comment.
pub(in crate::server) fn bar_ours(name: &str) -> String {
    let database = Ident(name);
    block(&format!(
        "SELECT * INTO the_database FROM pg_database WHERE datname = {} AND datdba = {}::regrole \
           AND datname ~ '^dc_(template_[0-9a-f]{{12}}|building_[0-9a-f]{{12}}|spare_[0-9a-f]{{12}}_[0-9a-f]{{32}})$' \
           AND shobj_description(oid, 'pg_database') IS NULL; \
         IF NOT FOUND THEN {} END IF; {NOT_INTERRUPTED} \
         IF the_database.datallowconn OR the_database.datistemplate THEN ALTER DATABASE {database} ALLOW_CONNECTIONS false IS_TEMPLATE false; END IF;",
        Literal(name),
        Literal(&Ident(OWNER).to_string()),
        end("database gone"),
    ))
}

/// `DROP DATABASE`, for a database that was checked under the held lock.
pub(in crate::server) fn drop_database(name: &str) -> String {
    format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", Ident(name))
}
