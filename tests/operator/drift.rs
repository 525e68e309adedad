//! What somebody changed by hand behind the operator's back is put right when it looks again, or told when it must not be touched.

use std::collections::BTreeMap;

use domain::school::observed::Names;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::sources::{database, execute, json_of, names, role};
use crate::world::{World, log_in, run};

/// A School on each server, Ready: superuser's and plain admin's.
async fn two_schools(stem: &str) -> (&'static World, String, [(String, Names); 2]) {
    let world = World::shared().await;
    let namespace = world.fresh_namespace().await;
    let schools = [("standard", format!("{stem}-1")), ("premium", format!("{stem}-2"))];
    for (tier, code) in &schools {
        world.apply_school(&namespace, code, json!({"placement": {"tier": tier}})).await;
    }
    let mut made = Vec::new();
    for (_, code) in schools {
        let names = names(&world.ready(&namespace, &code).await);
        made.push((code, names));
    }
    (world, namespace, made.try_into().unwrap())
}

async fn patch_secret(world: &World, namespace: &str, name: &str, text: Value) {
    let api = Api::<Secret>::namespaced(world.client.clone(), namespace);
    api.patch(name, &PatchParams::default(), &Patch::Merge(json!({"stringData": text}))).await.unwrap();
}

/// The registry's credentials are those of the Secret.
async fn published(world: &World, names: &Names, secret: &BTreeMap<String, String>) -> bool {
    world.unsealed(names).await.is_some_and(|sealed| sealed.password.expose_secret() == secret["password"])
}

#[test]
fn a_deleted_secret_comes_back_with_a_new_password_that_works_and_is_published() {
    run(async {
        let (world, namespace, schools) = two_schools("acacia").await;
        for (code, names) in &schools {
            let old = world.secret(&namespace, names.secret.as_str()).await.unwrap();
            let api = Api::<Secret>::namespaced(world.client.clone(), &namespace);
            api.delete(names.secret.as_str(), &DeleteParams::default()).await.unwrap();
            world.request_reconcile(&namespace, code).await;
            world.until("the login works again", async || world.serves(&namespace, names).await).await;
            let new = world.secret(&namespace, names.secret.as_str()).await.unwrap();
            assert_ne!(new["password"], old["password"]);
            log_in(&old, None).await.unwrap_err();
            world.until("the registry follows", async || published(world, names, &new).await).await;
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn an_edited_key_of_the_secret_is_corrected_and_the_password_kept() {
    run(async {
        let (world, namespace, schools) = two_schools("baobab").await;
        for (code, names) in &schools {
            let before = world.secret(&namespace, names.secret.as_str()).await.unwrap();
            patch_secret(world, &namespace, names.secret.as_str(), json!({"host": "elsewhere.example", "uri": "x", "own": "kept"})).await;
            world.request_reconcile(&namespace, code).await;
            let expected = {
                let mut all = before.clone();
                all.insert("own".to_owned(), "kept".to_owned());
                all
            };
            let corrected = async || world.secret(&namespace, names.secret.as_str()).await.as_ref() == Some(&expected);
            world.until("the Secret says again what it said", corrected).await;
            log_in(&before, None).await.unwrap();
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_strong_password_written_into_the_secret_is_taken_over_and_a_weak_one_replaced() {
    run(async {
        let (world, namespace, schools) = two_schools("cypress").await;
        for (code, names) in &schools {
            let strong = "chosen by hand: /@%\\' and \"long\"";
            patch_secret(world, &namespace, names.secret.as_str(), json!({"password": strong})).await;
            world.request_reconcile(&namespace, code).await;
            world.until("the login has the chosen password", async || world.serves(&namespace, names).await).await;
            let current = async || world.secret(&namespace, names.secret.as_str()).await.unwrap();
            world.until("the registry follows", async || published(world, names, &current().await).await).await;
            let secret = current().await;
            assert_eq!(secret["password"], strong);
            assert_eq!(crate::sources::psql(&secret["uri"], "SELECT current_user").await, names.login.as_str());

            patch_secret(world, &namespace, names.secret.as_str(), json!({"password": "short"})).await;
            world.request_reconcile(&namespace, code).await;
            world.until("another password is made and works", async || world.serves(&namespace, names).await).await;
            assert!(current().await["password"].len() >= 32);
            log_in(&secret, None).await.unwrap_err();
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn rights_and_attributes_that_somebody_gave_are_taken_away_again() {
    run(async {
        let (world, namespace, schools) = two_schools("date").await;
        for (code, names) in &schools {
            let (db, login) = (&names.database, &names.login);
            let mut conn = world.beside(names).await;
            let state = async || {
                let mut conn = world.beside(names).await;
                let groups = format!(
                    "SELECT coalesce(string_agg(roleid::regrole::text, ' ' ORDER BY 1), '') AS of FROM pg_auth_members
                    WHERE member = '{login}'::regrole"
                );
                let groups = json_of(&mut conn, &groups).await["of"].clone();
                (database(&mut conn, db.as_str()).await, role(&mut conn, login.as_str()).await, groups)
            };
            let before = state().await;
            assert_eq!(before.2, "tenant_app");
            for change in [
                format!("GRANT CONNECT ON DATABASE {db} TO PUBLIC"),
                format!("GRANT CREATE ON DATABASE {db} TO {login}"),
                format!("ALTER ROLE {login} CREATEDB CREATEROLE"),
                format!("ALTER ROLE {login} CONNECTION LIMIT -1"),
                format!("ALTER ROLE {login} NOLOGIN"),
                format!("ALTER ROLE {login} VALID UNTIL '2001-01-01'"),
                format!("ALTER DATABASE {db} CONNECTION LIMIT 0"),
                format!("ALTER DATABASE {db} ALLOW_CONNECTIONS false"),
                format!("REVOKE tenant_app FROM {login}"),
                format!("GRANT pg_read_all_data TO {login}"),
            ] {
                // Beyond a plain admin's rights: only a superuser may take them away.
                if names.server.as_str() == "pg-15" && change.contains("pg_read_all_data") {
                    continue;
                }
                execute(&mut conn, &change).await;
                world.request_reconcile(&namespace, code).await;
                let mended = async || {
                    let (mut now, mut then) = (state().await, before.clone());
                    // Written out, "for ever" is the same as nothing.
                    for state in [&mut now, &mut then] {
                        state.1["rolvaliduntil"].take();
                    }
                    let acl = |database: &mut Value| {
                        let mut acl = database["datacl"].take().as_array().cloned().unwrap_or_default();
                        acl.sort_by_key(ToString::to_string);
                        acl
                    };
                    acl(&mut now.0) == acl(&mut then.0) && now == then
                };
                world.until(&format!("undone: {change}"), mended).await;
                world.until("the login works", async || world.serves(&namespace, names).await).await;
            }
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_login_made_superuser_is_made_plain_again_by_a_superuser_and_told_by_a_plain_admin() {
    run(async {
        let (world, namespace, [(first, by_superuser), (second, by_plain)]) = two_schools("ebony").await;
        for (code, names) in [(&first, &by_superuser), (&second, &by_plain)] {
            execute(&mut world.beside(names).await, &format!("ALTER ROLE {} SUPERUSER", names.login)).await;
            world.request_reconcile(&namespace, code).await;
        }
        let plain = async || role(&mut world.beside(&by_superuser).await, by_superuser.login.as_str()).await["rolsuper"] == false;
        world.until("the login is plain again", plain).await;
        let school = world.school_when(&namespace, &second, "DatabaseReady", "False", "Updating").await;
        assert!(crate::world::says(&school, "Reconciling", "True", "ProgressingWithRetry"));
        execute(&mut world.beside(&by_plain).await, &format!("ALTER ROLE {} NOSUPERUSER", by_plain.login)).await;
        world.request_reconcile(&namespace, &second).await;
        world.school_when(&namespace, &second, "DatabaseReady", "True", "Created").await;
        world.ready(&namespace, &second).await;
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_dropped_login_is_made_again_with_the_password_of_the_secret() {
    run(async {
        let (world, namespace, schools) = two_schools("ficus").await;
        for (code, names) in &schools {
            let secret = world.secret(&namespace, names.secret.as_str()).await.unwrap();
            let drop = format!("REVOKE CONNECT ON DATABASE {} FROM {login}; DROP ROLE {login}", names.database, login = names.login);
            execute(&mut world.beside(names).await, &drop).await;
            log_in(&secret, None).await.unwrap_err();
            world.request_reconcile(&namespace, code).await;
            world.until("the login works again", async || log_in(&secret, None).await.is_ok()).await;
            let login = role(&mut world.beside(names).await, names.login.as_str()).await;
            assert_eq!((&login["rolconnlimit"], &login["rolsuper"], &login["rolcreatedb"]), (&json!(100), &json!(false), &json!(false)));
            assert_eq!(world.owned_objects(names).await, [names.database.as_str(), names.login.as_str()]);
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_database_or_login_without_our_ownership_comment_is_reported_and_not_touched() {
    run(async {
        let (world, namespace, schools) = two_schools("guava").await;
        for (code, names) in &schools {
            let mut conn = world.beside(names).await;
            for object in [format!("DATABASE {}", names.database), format!("ROLE {}", names.login)] {
                let of = if object.starts_with("DATABASE") { "database" } else { "role" };
                let before = (database(&mut conn, names.database.as_str()).await, role(&mut conn, names.login.as_str()).await);
                let comment = if of == "database" { before.0["comment"].clone() } else { before.1["comment"].clone() };
                execute(&mut conn, &format!("COMMENT ON {object} IS NULL")).await;
                let uncommented = (database(&mut conn, names.database.as_str()).await, role(&mut conn, names.login.as_str()).await);
                world.request_reconcile(&namespace, code).await;
                world.school_when(&namespace, code, "Stalled", "True", "OwnedByAnother").await;
                // What the operator would have to repair if it were ours: the next reconcile must leave it alone too.
                world.merge_school(&namespace, code, json!({"spec": {"database": {"connectionLimit": 9}}})).await.unwrap();
                world.school_when(&namespace, code, "Stalled", "True", "OwnedByAnother").await;
                assert_eq!((database(&mut conn, names.database.as_str()).await, role(&mut conn, names.login.as_str()).await), uncommented);
                assert!(world.serves(&namespace, names).await);
                world.merge_school(&namespace, code, json!({"spec": {"database": null}})).await.unwrap();
                execute(&mut conn, &format!("COMMENT ON {object} IS '{}'", comment.as_str().unwrap())).await;
                world.request_reconcile(&namespace, code).await;
                world.ready(&namespace, code).await;
                assert_eq!((database(&mut conn, names.database.as_str()).await, role(&mut conn, names.login.as_str()).await), before);
            }
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_dropped_database_is_told_and_never_replaced_by_an_empty_one() {
    run(async {
        let (world, namespace, schools) = two_schools("hickory").await;
        for (code, names) in &schools {
            let mut conn = world.beside(names).await;
            execute(&mut conn, &format!("DROP DATABASE {} WITH (FORCE)", names.database)).await;
            world.request_reconcile(&namespace, code).await;
            let school = world.school_when(&namespace, code, "Stalled", "True", "DatabaseMissing").await;
            assert!(crate::world::says(&school, "Ready", "False", "DatabaseMissing"));
            world.merge_school(&namespace, code, json!({"spec": {"displayName": "Another look"}})).await.unwrap();
            world.school_when(&namespace, code, "Stalled", "True", "DatabaseMissing").await;
            assert!(database(&mut conn, names.database.as_str()).await.is_null());
            assert_eq!(world.owned_objects(names).await, [names.login.as_str()]);
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

/// As after a restore of the one server that holds everything to a time before the School: its row, its accounts, its database and its login are gone.
async fn set_back(world: &World, names: &Names) {
    let away = format!(
        "COMMENT ON DATABASE {db} IS NULL; ALTER DATABASE {db} ALLOW_CONNECTIONS false; REVOKE CONNECT ON DATABASE {db} FROM {login}; DROP ROLE {login};
         ALTER DATABASE {db} RENAME TO {db}_present",
        db = names.database,
        login = names.login
    );
    for statement in away.split(';') {
        execute(&mut world.beside(names).await, statement).await;
    }
    for table in ["users WHERE tenant_id", "tenants WHERE id"] {
        execute(&mut world.master().await, &format!("DELETE FROM registry.{table} = '{}'", names.tenant)).await;
    }
}

#[test]
fn a_school_whose_row_and_database_are_both_gone_says_so_and_never_gets_an_empty_database() {
    run(async {
        let (world, namespace, schools) = two_schools("hawthorn").await;
        for (code, names) in &schools {
            let mut conn = world.beside(names).await;
            let secret = world.secret(&namespace, names.secret.as_str()).await.unwrap();
            let mut session = log_in(&secret, None).await.unwrap();
            execute(&mut session, "INSERT INTO app.classes (name, school_year) VALUES ('Owls', 2026)").await;
            drop(session);
            let comment = database(&mut conn, names.database.as_str()).await["comment"].as_str().unwrap().to_owned();
            let gone = async || {
                let sessions = format!("SELECT count(*) AS left FROM pg_stat_activity WHERE datname = '{}'", names.database);
                json_of(&mut world.beside(names).await, &sessions).await["left"] == 0
            };
            world.until("nobody is in it", gone).await;
            set_back(world, names).await;

            world.request_reconcile(&namespace, code).await;
            let school = world.school_when(&namespace, code, "Stalled", "True", "DatabaseMissing").await;
            assert!(crate::world::says(&school, "Ready", "False", "DatabaseMissing"));
            assert!(school.status.unwrap().database.unwrap().created_at.is_some());
            world.merge_school(&namespace, code, json!({"spec": {"displayName": "Another look"}})).await.unwrap();
            world.school_when(&namespace, code, "Stalled", "True", "DatabaseMissing").await;
            assert!(database(&mut conn, names.database.as_str()).await.is_null());
            assert!(world.owned_objects(names).await.is_empty());
            assert_eq!(world.tenant_row(names).await["state"], "provisioning", "its code is kept for it");
            world.assert_statuses_are_true(&namespace).await;

            // A person brings the database back; its login, its administrator and its route follow.
            for statement in [
                format!("ALTER DATABASE {db}_present RENAME TO {db}", db = names.database),
                format!("COMMENT ON DATABASE {} IS '{comment}'", names.database),
            ] {
                execute(&mut conn, &statement).await;
            }
            world.ready(&namespace, code).await;
            let secret = world.secret(&namespace, names.secret.as_str()).await.unwrap();
            let classes = json_of(&mut log_in(&secret, None).await.unwrap(), "SELECT name FROM app.classes").await;
            assert_eq!(classes["name"], "Owls");
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn an_edited_row_of_the_registry_says_again_what_stands() {
    run(async {
        let (world, namespace, schools) = two_schools("ironwood").await;
        for (code, names) in &schools {
            let before = world.tenant_row(names).await;
            for change in [
                "host = '10.0.0.1', port = 1, pool_size = 3",
                "name = 'Somebody', email = 'x@y.z', phone_number = '112'",
                "state = 'suspended', is_active = false",
                "database_name = 'dailycare_tenant_of_another', login = 'other'",
                "credentials = '\\x00', key_id = 'k1'",
                "schema_version = 1",
            ] {
                execute(&mut world.master().await, &format!("UPDATE registry.tenants SET {change} WHERE id = '{}'", names.tenant)).await;
                world.request_reconcile(&namespace, code).await;
                let same = async || {
                    let (mut now, mut then) = (world.tenant_row(names).await, before.clone());
                    for column in ["updated_at", "change_seq", "epoch", "credentials"] {
                        now[column].take();
                        then[column].take();
                    }
                    now == then
                };
                world.until(&format!("put right: {change}"), same).await;
                let secret = world.secret(&namespace, names.secret.as_str()).await.unwrap();
                world.until("the credentials open again", async || published(world, names, &secret).await).await;
            }
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_finalizer_removed_by_hand_is_back_after_the_next_look() {
    run(async {
        let (world, namespace, [(code, _), _]) = two_schools("jasmine").await;
        let before = world.schools(&namespace).get(&code).await.unwrap().metadata.finalizers;
        assert_eq!(before.as_deref(), Some(&["dailycare.io/school-cleanup".to_owned()][..]));
        world.merge_school(&namespace, &code, json!({"metadata": {"finalizers": null}})).await.unwrap();
        world.request_reconcile(&namespace, &code).await;
        let back = async || world.schools(&namespace).get(&code).await.unwrap().metadata.finalizers == before;
        world.until("the finalizer is back", back).await;
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_wiped_status_is_filled_with_the_same_names_and_no_second_database() {
    run(async {
        let (world, namespace, schools) = two_schools("kapok").await;
        for (code, before) in &schools {
            let (row, secret) = (world.tenant_row(before).await, world.secret(&namespace, before.secret.as_str()).await);
            let wipe = Patch::Merge(json!({"status": null}));
            let wiped = world.schools(&namespace).patch_status(code, &PatchParams::default(), &wipe).await.unwrap();
            assert_eq!(wiped.status.unwrap_or_default().tenant_id, None);
            world.request_reconcile(&namespace, code).await;
            assert_eq!(names(&world.ready(&namespace, code).await), *before);
            assert_eq!(world.tenant_row(before).await, row);
            assert_eq!(world.secret(&namespace, before.secret.as_str()).await, secret);
            assert_eq!(world.owned_objects(before).await, [before.database.as_str(), before.login.as_str()]);
        }
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn a_status_that_lost_some_of_its_names_is_told_and_nothing_is_made_anew() {
    run(async {
        let (world, namespace, [(code, before), _]) = two_schools("larch").await;
        let status = Patch::Merge(json!({"status": {"database": null}}));
        world.schools(&namespace).patch_status(&code, &PatchParams::default(), &status).await.unwrap();
        world.request_reconcile(&namespace, &code).await;
        let school = world.school_when(&namespace, &code, "Stalled", "True", "InvalidSpec").await;
        let said = crate::world::conditions(Some(&school)).into_iter().find(|c| c.type_ == "Stalled").unwrap().message;
        assert!(said.contains("status.database.name"), "{said}");
        assert!(world.serves(&namespace, &before).await);
        let status = Patch::Merge(json!({"status": {"database": {"name": before.database.as_str()}}}));
        world.schools(&namespace).patch_status(&code, &PatchParams::default(), &status).await.unwrap();
        world.request_reconcile(&namespace, &code).await;
        assert_eq!(names(&world.ready(&namespace, &code).await), before);
        world.assert_statuses_are_true(&namespace).await;
    });
}
