//! The text of every statement that is built, and nothing else: pure functions, quoting only through [`postgres::quote`].
//!
//! Utility statements take no parameters and cannot branch, so a guarded action is a PL/pgSQL block that takes the lock, checks the mark and acts in one
//! message and one transaction, and ends by naming its outcome; raising an error instead would put the statement into the server's log. A statement
//! with a verifier never stands inside a block: PL/pgSQL repeats the statement in the context of an error.

use postgres::quote::{Ident, Literal};

use super::{APP, Holding, MIGRATOR, OWNER};

/// What a login is allowed: everything that was given beyond it is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowed<'a> {
    /// May log in; `None` leaves it as it is.
    pub(super) login: Option<bool>,
    /// `CONNECTION LIMIT`; `None` leaves it as it is.
    pub(super) limit: Option<i32>,
    /// The one role to be a member of.
    pub(super) member_of: Option<&'a str>,
}

/// A block that runs `body` and answers with the outcome that it named. `body` may use `the_database`, `the_login`, `the_row` and `the_text`.
pub(super) fn block(body: &str) -> String {
    let code = format!(
        "DECLARE the_database pg_catalog.pg_database; the_login pg_catalog.pg_roles; the_row record; the_text text; the_mark jsonb; \
         BEGIN PERFORM set_config('dailycare.outcome', '', true); {body} PERFORM set_config('dailycare.outcome', 'done', true); END"
    );
    format!("DO {}; SELECT current_setting('dailycare.outcome')", Literal(&code))
}

/// Ends a block with another outcome than `done`.
fn end(outcome: &str) -> String {
    format!("PERFORM set_config('dailycare.outcome', {}, true); RETURN;", Literal(outcome))
}

/// The key of the advisory lock that everybody who changes `name` holds, in the maintenance database.
fn key(name: &str) -> String {
    format!("hashtextextended({}, 0)", Literal(&format!("dailycare {name}")))
}

/// Waits for the lock of `name`, to be held until the transaction ends.
pub(super) fn lock(name: &str) -> String {
    format!("PERFORM pg_advisory_xact_lock({});", key(name))
}

/// Waits for the lock of `name`, to be held until the session ends or gives it back.
pub(super) fn hold(name: &str) -> String {
    format!("SELECT pg_advisory_lock({})", key(name))
}

/// Gives back a held lock.
pub(super) fn release(name: &str) -> String {
    format!("SELECT pg_advisory_unlock({})", key(name))
}

/// Reads a mark tolerantly into `the_mark` and runs `otherwise` unless it names the holding's tenant and cluster.
fn check_mark(object: &str, catalog: &str, holding: &Holding, otherwise: &str) -> String {
    format!(
        "BEGIN the_mark := shobj_description({object}.oid, {})::jsonb; EXCEPTION WHEN OTHERS THEN the_mark := NULL; END; \
         IF the_mark->>'tenant' IS DISTINCT FROM {} OR the_mark->>'cluster' IS DISTINCT FROM {} THEN {otherwise} END IF;",
        Literal(catalog),
        Literal(&holding.tenant.to_string()),
        Literal(&holding.cluster.to_string()),
    )
}

/// Reads the database and ends the block unless it is there and ours.
fn need_database(holding: &Holding) -> String {
    format!(
        "SELECT * INTO the_database FROM pg_database WHERE datname = {}; IF NOT FOUND THEN {} END IF; {}",
        Literal(holding.database.as_str()),
        end("database gone"),
        check_mark("the_database", "pg_database", holding, &end("database foreign")),
    )
}

/// Reads the login and ends the block unless it is there and ours.
fn need_login(holding: &Holding) -> String {
    format!(
        "SELECT * INTO the_login FROM pg_roles WHERE rolname = {}; IF NOT FOUND THEN {} END IF; {}",
        Literal(holding.login.as_str()),
        end("login gone"),
        check_mark("the_login", "pg_authid", holding, &end("login foreign")),
    )
}

/// Reads the login; afterwards `the_login.oid` is null unless it is there and ours.
fn find_login(holding: &Holding) -> String {
    format!(
        "SELECT * INTO the_login FROM pg_roles WHERE rolname = {}; {}",
        Literal(holding.login.as_str()),
        check_mark("the_login", "pg_authid", holding, "the_login := NULL;"),
    )
}

/// Brings `the_login` to what it is allowed, writing only what differs: a role that is not a superuser may not even name the attributes it lacks.
pub(super) fn rectify_role(allowed: Allowed<'_>) -> String {
    let login = match allowed.login {
        Some(true) => "CASE WHEN NOT the_login.rolcanlogin THEN 'LOGIN' END,",
        Some(false) => "CASE WHEN the_login.rolcanlogin THEN 'NOLOGIN' END,",
        None => "",
    };
    let limit =
        allowed.limit.map_or_else(String::new, |n| format!("CASE WHEN the_login.rolconnlimit <> {n} THEN 'CONNECTION LIMIT {n}' END,"));
    let group = allowed.member_of.map_or_else(|| "''".to_owned(), |name| Literal(name).to_string());
    let join = allowed.member_of.map_or_else(String::new, |name| {
        format!(
            "IF NOT EXISTS (SELECT FROM pg_auth_members WHERE member = the_login.oid AND roleid = {}::regrole) \
             THEN EXECUTE format('GRANT {} TO %I', the_login.rolname); END IF;",
            Literal(&Ident(name).to_string()),
            Ident(name),
        )
    });
    format!(
        "the_text := concat_ws(' ', {login} {limit} \
           CASE WHEN the_login.rolsuper THEN 'NOSUPERUSER' END, CASE WHEN the_login.rolcreatedb THEN 'NOCREATEDB' END, \
           CASE WHEN the_login.rolcreaterole THEN 'NOCREATEROLE' END, CASE WHEN the_login.rolreplication THEN 'NOREPLICATION' END, \
           CASE WHEN the_login.rolbypassrls THEN 'NOBYPASSRLS' END, CASE WHEN NOT the_login.rolinherit THEN 'INHERIT' END, \
           CASE WHEN the_login.rolvaliduntil < 'infinity' THEN 'VALID UNTIL ''infinity''' END); \
         IF the_text <> '' THEN EXECUTE format('ALTER ROLE %I ', the_login.rolname) || the_text; END IF; \
         FOR the_row IN SELECT group_.rolname AS name, grantor.rolname AS grantor FROM pg_auth_members m \
             JOIN pg_roles group_ ON group_.oid = m.roleid LEFT JOIN pg_roles grantor ON grantor.oid = m.grantor \
             WHERE m.member = the_login.oid AND (group_.rolname <> {group} OR m.admin_option OR to_jsonb(m)->>'inherit_option' = 'false') LOOP \
           EXECUTE format('REVOKE %I FROM %I', the_row.name, the_login.rolname) \
             || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN format(' GRANTED BY %I', the_row.grantor) ELSE '' END || ' CASCADE'; \
         END LOOP; {join}"
    )
}

/// Brings `the_database` to its owner, to its rights and to accepting connections, writing only what differs.
///
/// Rights are cleared while the admin owns the database: what a member of the owner has passed on does not go with its own right, because to PostgreSQL
/// it may still pass rights on. And what outlived a right to pass on goes only with such a right, so that is given for a moment.
fn rectify_database(holding: &Holding, login_may_connect: bool) -> String {
    let (database, owner) = (Ident(holding.database.as_str()), Ident(OWNER));
    let login = login_may_connect.then_some(holding.login.as_str());
    let wanted: Vec<String> = wanted_acl(login).iter().map(|right| Literal(right).to_string()).collect();
    let admitted: Vec<String> = login.into_iter().chain([MIGRATOR]).map(|role| Ident(role).to_string()).collect();
    let differs = format!(
        "NOT (SELECT acl <@ wanted AND wanted <@ acl FROM (SELECT {} AS acl, ARRAY[{}]::text[] AS wanted) AS rights)",
        acl_of("the_database"),
        wanted.join(", ")
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
         IF the_text <> '' THEN EXECUTE format('ALTER DATABASE %I ', the_database.datname) || the_text; END IF;",
        owner_text = Literal(&owner.to_string()),
        admitted = admitted.join(", "),
        again = "SELECT * INTO the_database FROM pg_database WHERE oid = the_database.oid;",
        remain = end("rights remain"),
    )
}

/// A database's rights as `text[]`, one entry `grantee=RIGHT` each, with `*` when it may be passed on. PUBLIC's grantee is empty.
pub(super) fn acl_of(database: &str) -> String {
    format!(
        "ARRAY(SELECT DISTINCT coalesce(grantee.rolname, '') || '=' || entry.privilege_type || CASE WHEN entry.is_grantable THEN '*' ELSE '' END \
         FROM aclexplode(coalesce({database}.datacl, acldefault('d', {database}.datdba))) entry LEFT JOIN pg_roles grantee ON grantee.oid = entry.grantee)"
    )
}

/// The rights that a tenant database should have, in the form of [`acl_of`]: the owner's, the migrator's, and the login's while it is open.
pub(super) fn wanted_acl(login: Option<&str>) -> Vec<String> {
    let owner = ["CREATE", "TEMPORARY", "CONNECT"].map(|right| format!("{OWNER}={right}"));
    let connect = login.into_iter().chain([MIGRATOR]).map(|role| format!("{role}=CONNECT"));
    owner.into_iter().chain(connect).collect()
}

const NOT_INTERRUPTED: &str =
    "IF the_database.datconnlimit = -2 THEN PERFORM set_config('dailycare.outcome', 'database interrupted', true); RETURN; END IF;";

/// The school's login and the migrator may enter, nobody else.
pub(super) fn open(holding: &Holding, connection_limit: u16) -> String {
    let allowed = Allowed { login: Some(true), limit: Some(connection_limit.into()), member_of: Some(APP) };
    block(&format!(
        "{} {} {NOT_INTERRUPTED} {} {} {}",
        lock(holding.database.as_str()),
        need_database(holding),
        need_login(holding),
        rectify_role(allowed),
        rectify_database(holding, true),
    ))
}

/// The migrator may enter, nobody else. A login that is missing or foreign has nothing to lose but CONNECT.
pub(super) fn close(holding: &Holding) -> String {
    let allowed = Allowed { login: Some(false), limit: None, member_of: Some(APP) };
    block(&format!(
        "{} {} {NOT_INTERRUPTED} {} IF the_login.oid IS NOT NULL THEN {} END IF; {}",
        lock(holding.database.as_str()),
        need_database(holding),
        find_login(holding),
        rectify_role(allowed),
        rectify_database(holding, false),
    ))
}

/// Nobody may enter. `checked` adds a condition under which the block ends without effect.
fn bar_if(holding: &Holding, checked: &str) -> String {
    let database = Ident(holding.database.as_str());
    block(&format!(
        "{} {} {NOT_INTERRUPTED} {checked} \
         IF the_database.datallowconn OR the_database.datistemplate THEN ALTER DATABASE {database} ALLOW_CONNECTIONS false IS_TEMPLATE false; END IF;",
        lock(holding.database.as_str()),
        need_database(holding),
    ))
}

/// Nobody may enter.
pub(super) fn bar(holding: &Holding) -> String {
    bar_if(holding, "")
}

/// Nobody may enter, provided that the login could not before.
pub(super) fn bar_closed(holding: &Holding) -> String {
    let checked = format!(
        "SELECT * INTO the_login FROM pg_roles WHERE rolname = {}; \
         IF the_database.datallowconn AND the_login.rolcanlogin AND has_database_privilege(the_login.oid, the_database.oid, 'CONNECT') THEN {} END IF;",
        Literal(holding.login.as_str()),
        end("database open"),
    );
    bar_if(holding, &checked)
}

/// The login, unable to log in, marked and a member of its group; left alone when it is there and ours.
pub(super) fn restore_login(holding: &Holding, mark: &str) -> String {
    let login = Ident(holding.login.as_str());
    block(&format!(
        "{} {} SELECT * INTO the_login FROM pg_roles WHERE rolname = {}; IF FOUND THEN {} ELSE \
           CREATE ROLE {login} NOLOGIN INHERIT IN ROLE {}; COMMENT ON ROLE {login} IS {}; END IF;",
        lock(holding.database.as_str()),
        need_database(holding),
        Literal(holding.login.as_str()),
        check_mark("the_login", "pg_authid", holding, &end("login foreign")),
        Ident(APP),
        Literal(mark),
    ))
}

/// Ends with `done` when the login is ours, holding the lock until the transaction ends.
pub(super) fn expect_login(holding: &Holding) -> String {
    block(&format!("{} {}", lock(holding.database.as_str()), need_login(holding)))
}

/// Gives the login a password and says so in its mark.
pub(super) fn set_password(login: &str, verifier: &str, mark: &str) -> String {
    let role = Ident(login);
    format!("ALTER ROLE {role} PASSWORD {}; COMMENT ON ROLE {role} IS {}", Literal(verifier), Literal(mark))
}

/// Drops the login, if it is there and ours and its database is not there.
pub(super) fn drop_login(holding: &Holding) -> String {
    let login = Literal(holding.login.as_str());
    block(&format!(
        "{} IF EXISTS (SELECT FROM pg_database WHERE datname = {}) THEN {} END IF; \
         SELECT * INTO the_login FROM pg_roles WHERE rolname = {login}; IF FOUND THEN {} DROP ROLE {}; END IF;",
        lock(holding.database.as_str()),
        Literal(holding.database.as_str()),
        end("database exists"),
        check_mark("the_login", "pg_authid", holding, &end("login foreign")),
        Ident(holding.login.as_str()),
    ))
}

/// `DROP DATABASE`, for a database that was checked under the held lock.
pub(super) fn drop_database(name: &str) -> String {
    format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", Ident(name))
}

/// Looks for what a claim needs, holding the locks until the transaction ends: `taken`, `none`, or the spare's name. That a spare is still one is asked
/// in a statement of its own, because each statement sees what was committed before it began, and the lock may have been free only just.
pub(super) fn choose_spare(database: &str, login: &str, digest: &str) -> String {
    let spare = "PERFORM set_config('dailycare.outcome', the_row.datname, true); RETURN;";
    block(&format!(
        "{} IF EXISTS (SELECT FROM pg_database WHERE datname = {}) OR EXISTS (SELECT FROM pg_roles WHERE rolname = {}) THEN {} END IF; \
         FOR the_row IN SELECT oid, datname FROM pg_database WHERE {} AND left(datname, {}) = {} ORDER BY oid LOOP \
           IF pg_try_advisory_xact_lock(hashtextextended('dailycare ' || the_row.datname, 0)) THEN \
             IF EXISTS (SELECT FROM pg_database WHERE oid = the_row.oid AND datname = the_row.datname) THEN {spare} END IF; \
           END IF; \
         END LOOP; {}",
        lock(database),
        Literal(database),
        Literal(login),
        end("taken"),
        is_spare("pg_database"),
        spare_prefix(digest).len(),
        Literal(&spare_prefix(digest)),
        end("none"),
    ))
}

/// The start of the names of all spares of a schema.
pub(super) fn spare_prefix(digest: &str) -> String {
    format!("dc_spare_{}_", postgres::schema::short(digest))
}

/// A condition: a whole staged database that belongs to no school.
pub(super) fn is_spare(database: &str) -> String {
    format!(
        "{database}.datname ~ '^dc_spare_[0-9a-f]{{12}}_[0-9a-f]{{32}}$' AND {database}.datdba = {}::regrole \
         AND NOT {database}.datallowconn AND {database}.datconnlimit = -1 AND shobj_description({database}.oid, 'pg_database') IS NULL",
        Literal(&Ident(OWNER).to_string())
    )
}

/// What a claim puts on a spare, and what it is to be called.
pub(super) struct Claiming<'a> {
    pub(super) spare: &'a str,
    pub(super) database: &'a str,
    pub(super) login: &'a str,
    pub(super) connection_limit: u16,
    pub(super) verifier: &'a str,
    pub(super) mark: &'a str,
    pub(super) login_mark: &'a str,
}

/// Login, rights, name and marks, and the commit, for a transaction that holds the locks.
pub(super) fn claim(claiming: &Claiming<'_>) -> String {
    let (spare, database, login) = (Ident(claiming.spare), Ident(claiming.database), Ident(claiming.login));
    format!(
        "CREATE ROLE {login} LOGIN PASSWORD {} CONNECTION LIMIT {} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT IN ROLE {}; \
         COMMENT ON ROLE {login} IS {}; \
         ALTER DATABASE {spare} RENAME TO {database}; \
         REVOKE ALL ON DATABASE {database} FROM PUBLIC; \
         GRANT CONNECT ON DATABASE {database} TO {login}, {}; \
         COMMENT ON DATABASE {database} IS {}; \
         ALTER DATABASE {database} ALLOW_CONNECTIONS true; \
         COMMIT",
        Literal(claiming.verifier),
        claiming.connection_limit,
        Ident(APP),
        Literal(claiming.login_mark),
        Ident(MIGRATOR),
        Literal(claiming.mark),
    )
}

/// A copy of the template that nobody can enter.
pub(super) fn create_spare(name: &str, template: &str) -> String {
    format!("CREATE DATABASE {} TEMPLATE {} STRATEGY WAL_LOG OWNER {} ALLOW_CONNECTIONS false", Ident(name), Ident(template), Ident(OWNER))
}

/// An empty database that nobody can enter, for building a template.
pub(super) fn create_building(name: &str) -> String {
    format!("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' OWNER {} ALLOW_CONNECTIONS false", Ident(name), Ident(OWNER))
}

/// Lets the migrator, and nobody else, into a database under construction.
pub(super) fn admit_migrator(building: &str) -> String {
    let building = Ident(building);
    format!(
        "REVOKE ALL ON DATABASE {building} FROM PUBLIC; GRANT CONNECT ON DATABASE {building} TO {}; ALTER DATABASE {building} ALLOW_CONNECTIONS true",
        Ident(MIGRATOR)
    )
}

/// A finished database becomes a template that nobody can enter or change: one transaction, one message.
pub(super) fn freeze(building: &str, template: &str) -> String {
    let (building, template) = (Ident(building), Ident(template));
    format!(
        "ALTER DATABASE {building} ALLOW_CONNECTIONS false; ALTER DATABASE {building} IS_TEMPLATE true; ALTER DATABASE {building} RENAME TO {template}"
    )
}

/// Makes a template, spare or building droppable, if it is exactly named and owned as ours are, and bears no mark.
pub(super) fn bar_ours(name: &str) -> String {
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

/// Sets a database's comment.
pub(super) fn comment_database(database: &str, mark: &str) -> String {
    format!("COMMENT ON DATABASE {} IS {}", Ident(database), Literal(mark))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use domain::names::{ClusterUid, DatabaseName, LoginName, TenantId};

    const HOSTILE: &str = "a'b\"c\\d; DROP DATABASE e; --";

    /// Takes quoted literals and identifiers out, by PostgreSQL's rules, so that what remains is what PostgreSQL would execute.
    fn bare(statement: &str) -> String {
        let (mut rest, mut bare) = (statement, String::new());
        while let Some(at) = rest.find(['\'', '"']) {
            let quote = rest.as_bytes()[at];
            let escapes = quote == b'\'' && rest[..at].ends_with('E');
            bare.push_str(&rest[..at]);
            let (mut end, text) = (at + 1, rest.as_bytes());
            loop {
                match text[end] {
                    b'\\' if escapes => end += 2,
                    b if b == quote && text.get(end + 1) == Some(&quote) => end += 2,
                    b if b == quote => break,
                    _ => end += 1,
                }
            }
            rest = &rest[end + 1..];
        }
        bare + rest
    }

    fn holding() -> Holding {
        Holding {
            database: DatabaseName::parse("dailycare_tenant_a").unwrap(),
            login: LoginName::parse("dailycare_tenant_a_a").unwrap(),
            tenant: TenantId(Uuid::from_u128(1)),
            cluster: ClusterUid(Uuid::from_u128(2)),
        }
    }

    #[test]
    fn hostile_text_stays_inside_its_quotes_in_every_statement() {
        let claiming = Claiming {
            spare: HOSTILE,
            database: HOSTILE,
            login: HOSTILE,
            connection_limit: 5,
            verifier: HOSTILE,
            mark: HOSTILE,
            login_mark: HOSTILE,
        };
        for statement in [
            claim(&claiming),
            choose_spare(HOSTILE, HOSTILE, "0123456789ab"),
            restore_login(&holding(), HOSTILE),
            set_password(HOSTILE, HOSTILE, HOSTILE),
            drop_database(HOSTILE),
            create_spare(HOSTILE, HOSTILE),
            create_building(HOSTILE),
            admit_migrator(HOSTILE),
            freeze(HOSTILE, HOSTILE),
            bar_ours(HOSTILE),
            comment_database(HOSTILE, HOSTILE),
            hold(HOSTILE),
            release(HOSTILE),
        ] {
            assert!(!bare(&statement).contains("DROP DATABASE e"), "{statement}");
        }
    }

    #[test]
    fn hostile_text_stays_inside_its_quotes_within_a_block_too() {
        let statement = restore_login(&holding(), HOSTILE);
        let code =
            statement.strip_prefix("DO  E'").and_then(|rest| rest.strip_suffix("'; SELECT current_setting('dailycare.outcome')")).unwrap();
        let executed = bare(&code.replace("''", "'").replace("\\\\", "\\"));
        assert!(executed.contains("CREATE ROLE") && !executed.contains("DROP DATABASE"), "{executed}");
    }

    #[test]
    fn every_action_on_a_school_locks_and_checks_the_mark_before_it_changes_anything() {
        for block in [
            open(&holding(), 5),
            close(&holding()),
            bar(&holding()),
            bar_closed(&holding()),
            restore_login(&holding(), "{}"),
            drop_login(&holding()),
        ] {
            let at = |text: &str| block.find(text).unwrap_or(usize::MAX);
            let first_change = ["ALTER ", "CREATE ", "DROP ", "GRANT ", "REVOKE "].map(at).into_iter().min().unwrap();
            assert!(at("pg_advisory_xact_lock") < at("the_mark->>") && at("the_mark->>") < first_change, "{block}");
        }
    }

    #[test]
    fn a_block_holds_no_verifier() {
        let statement = set_password("a", "SCRAM-SHA-256$4096:x", "{}");
        assert!(statement.starts_with("ALTER ROLE") && !statement.contains("DO "));
    }
}
