//! The platform's staff over HTTP: tenants, their metrics, acting in a school; and a school's own accounts.

use api::identity::External;
use api_testing::{Answer, Client, METRICS, PASSWORD, World, usual, world};
use reqwest::Method;
use serde_json::json;
use sqlx::Connection as _;
use testing::{Version, until};
use uuid::Uuid;

/// The platform's records of a user's writes to accounts, oldest first: id, tenant, path, address, reason.
async fn recorded_accounts(world: &World, user: Uuid) -> Vec<(Uuid, Option<Uuid>, String, Option<String>, Option<String>)> {
    let select = "
        SELECT id, tenant_id, resource, host(ip_address), reason FROM registry.access_audit
        WHERE user_id = $1 AND action = 'roles:update' AND success ORDER BY occurred_at";
    sqlx::query_as(select).bind(user).fetch_all(&world.platform.operator).await.unwrap()
}

#[tokio::test]
async fn platform_staff_see_tenants_and_their_metrics_and_nobody_else_does() {
    let world = world().await;
    let (north, south) = (world.school("norte").await, world.school("sul").await);
    let (staff, admin) = (world.staff().await, north.user("SchoolAdmin").await);
    admin.post("/children", json!({ "full_name": "Inês" })).await;
    let page = staff.get("/platform/tenants?limit=1").await;
    assert_eq!(
        (&page.data()[0]["code"], &page.data()[0]["state"], &page.data()[0]["serving"]),
        (&json!("norte"), &json!("active"), &json!(true))
    );
    let next = staff.get(&format!("/platform/tenants?limit=1&after={}", page.body["next"].as_str().unwrap())).await;
    assert_eq!((&next.data()[0]["code"], next.body.get("next")), (&json!("sul"), None));

    let metrics = staff.get(&format!("/platform/tenants/{}/metrics", north.id())).await;
    let (users, database) = (&metrics.data()["users"], &metrics.data()["database"]);
    assert_eq!((&users["enabled"], &users["active"], &database["children"]), (&json!(1), &json!(1), &json!(1)));
    assert!(database["storage_bytes"].as_i64().unwrap() > 0 && database["uptime_seconds"].as_i64().is_some(), "{}", metrics.body);

    for path in ["/platform/tenants", "/platform/audit", "/platform/impersonations"] {
        assert_eq!(admin.get(path).await.code(), "FORBIDDEN", "{path}");
    }
    assert_eq!(staff.get(&format!("/platform/tenants/{}", uuid::Uuid::new_v4())).await.code(), "NOT_FOUND");
    assert_eq!(staff.header("x-tenant-id", "sul").get("/children").await.code(), "FORBIDDEN", "a school's rows are not the platform's");
    assert_eq!(staff.get("/children").await.code(), "FORBIDDEN");
    // Not even where the school's own tables hold something for them, as an older release could be made to write.
    south.sql(&format!("INSERT INTO app.user_roles (user_id, role_code) VALUES ('{}', 'SchoolAdmin')", staff.user)).await;
    for named in ["sul", &south.id().to_string(), "escola-nenhuma"] {
        let named = staff.header("x-tenant-id", named);
        for path in ["/children", "/me", "/settings", "/users"] {
            assert_eq!((named.get(path).await.status, named.get(path).await.code()), (403, "FORBIDDEN"), "{path}");
        }
    }
}

#[tokio::test]
async fn a_school_that_is_suspended_or_down_is_measured_as_far_as_it_can_be() {
    let world = world().await;
    let (north, south) = (world.school("norte").await, world.school("sul").await);
    let staff = world.staff().await;
    for school in [&north, &south] {
        school.user("SchoolAdmin").await.get("/children").await.data();
    }
    let metrics = async |id| {
        let answer = staff.get(&format!("/platform/tenants/{id}/metrics")).await;
        let data = answer.data();
        assert_eq!((&data["users"]["enabled"], &data["users"]["active"]), (&json!(1), &json!(1)), "{data}");
        assert!(data["requests"]["count"].as_u64() >= Some(1) && data["requests"]["mean_milliseconds"].as_f64() > Some(0.0), "{data}");
        assert_eq!(data["database"].is_null(), data["response_milliseconds"].is_null(), "{data}");
        assert_ne!(data["database"].is_null(), data["database_missing"].is_null(), "{data}");
        data["database_missing"].clone()
    };
    assert_eq!((metrics(north.id()).await, metrics(south.id()).await), (json!(null), json!(null)));

    world.platform.suspend(&north.school).await.unwrap();
    until("the suspension", async || metrics(north.id()).await == "suspended").await;
    let mut superuser = sqlx::PgConnection::connect(&world.platform.server.superuser_url("postgres")).await.unwrap();
    let database = &south.school.objects.database;
    for statement in [
        format!("ALTER DATABASE \"{database}\" ALLOW_CONNECTIONS false"),
        format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{database}'"),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut superuser).await.unwrap();
    }
    assert_eq!(metrics(south.id()).await, "unavailable");
}

#[tokio::test]
async fn a_school_that_works_is_measured_without_anybody_asking() {
    let world = world().await;
    let north = world.school("norte").await;
    let admin = north.user("SchoolAdmin").await;
    let size = format!("dailycare_tenant_database_bytes{{tenant=\"{}\"}}", north.id());
    admin.get("/children").await.data();
    until("its size", async || METRICS.render().contains(&size)).await;
}

#[tokio::test]
async fn platform_staff_act_in_a_school_for_a_reason_that_is_kept_and_only_there() {
    let world = world().await;
    let (north, south) = (world.school("norte").await, world.school("sul").await);
    let staff = world.staff().await;
    let path = format!("/platform/tenants/{}/impersonation", north.id());
    assert_eq!(staff.post(&path, json!({ "reason": "short" })).await.fields()[0].0, "reason");
    let token = staff.post(&path, json!({ "reason": "support case 4711" })).await;
    let acting = Client::with_token(world.api.address, token.data()["access_token"].as_str().unwrap(), staff.user);
    let child = acting.post("/children", json!({ "full_name": "Inês" })).await;
    assert_eq!(child.data()["created_by"], json!(staff.user), "under their own name");
    assert_eq!(acting.header("x-tenant-id", "sul").get("/children").await.code(), "TENANT_MISMATCH");
    assert_eq!(acting.get("/platform/tenants").await.code(), "FORBIDDEN");
    let kept = staff.get("/platform/impersonations").await;
    assert_eq!((&kept.data()[0]["reason"], &kept.data()[0]["tenant_id"]), (&json!("support case 4711"), &json!(north.id())));
    let audit = staff.get(&format!("/platform/audit?tenant_id={}&action=auth:impersonate", north.id())).await;
    let record = &audit.data()[0];
    assert_eq!((&record["tenant_id"], &record["reason"]), (&json!(north.id()), &json!("support case 4711")));
    assert_eq!((&record["user_id"], &record["success"]), (&json!(staff.user), &json!(true)));
    // A reader that waited for the day's maintenance may have planned without the partition that its row was moved to.
    let written = format!("SELECT count(*) FROM app.access_audit WHERE user_id = '{}' AND action = 'children:create'", staff.user);
    until("the record of the write", async || north.scalar::<i64>(&written).await == 1).await;
    // The school reads it too: that they got leave to act, what they did, and why.
    let admin = north.user("SchoolAdmin").await;
    let reasons = async |action: &str| {
        let found = admin.get(&format!("/audit?user_id={}&action={action}", staff.user)).await;
        found.data().as_array().unwrap().iter().map(|record| record["reason"].clone()).collect::<Vec<_>>()
    };
    let read = acting.get("/children").await;
    assert_eq!(read.status, 200);
    for action in ["auth:impersonate", "children:create", "children:read"] {
        until(action, async || reasons(action).await == [json!("support case 4711")]).await;
    }
    admin.get("/children").await.data();
    let own = async || admin.get(&format!("/audit?user_id={}&action=children:read", admin.user)).await.data()[0]["reason"].clone();
    until("the school's own people give none", async || own().await.is_null()).await;
    let new = json!({ "name": "Rita", "email": "rita@norte.example", "role": "Teacher" });
    assert_eq!(acting.post("/users", new).await.code(), "FORBIDDEN", "accounts are the school's to give");
    assert_eq!(recorded_accounts(&world, staff.user).await, []);
    drop(south);
}

#[tokio::test]
async fn nothing_that_platform_staff_do_in_a_school_gives_rights_that_outlive_their_token_or_erases_a_child() {
    let world = world().await;
    let (school, other) = (world.school("norte").await, world.school("sul").await);
    let (staff, admin) = (world.staff().await, school.user("SchoolAdmin").await);
    let path = format!("/platform/tenants/{}/impersonation", school.id());
    let token = staff.post(&path, json!({ "reason": "support case 4711" })).await;
    let acting = Client::with_token(world.api.address, token.data()["access_token"].as_str().unwrap(), staff.user);

    let role = format!("/users/{}/roles/SchoolAdmin", staff.user);
    let (teacher, matrix) = (format!("/users/{}", school.user("Teacher").await.user), "/roles/Teacher/permissions");
    let (child, parent) = (
        admin.post("/children", json!({ "full_name": "Inês" })).await.id(),
        admin.post("/guardians", json!({ "full_name": "Rita" })).await.id(),
    );
    let link = format!("/children/{child}/guardians/{parent}");
    let account = json!({ "name": "Eu", "email": "eu@norte.example", "role": "SchoolAdmin" });
    for refused in [
        acting.put(&role, None, json!({})).await,
        acting.delete(&format!("/users/{}/roles/SchoolAdmin", admin.user), "*").await,
        acting.put(matrix, Some("*"), json!([])).await,
        acting.post("/users", account).await,
        acting.send(reqwest::Method::PATCH, &teacher, Some(json!({ "role": "SchoolAdmin" }))).await,
        acting.send(reqwest::Method::DELETE, &teacher, None).await,
        acting.send(reqwest::Method::POST, &format!("{teacher}/reset-password"), None).await,
        acting.post("/guardians", json!({ "full_name": "Eu", "user_id": staff.user })).await,
        acting.patch(&format!("/guardians/{parent}"), "*", json!({ "user_id": staff.user })).await,
        acting.put(&link, None, json!({ "relation": "mother" })).await,
        acting.post(&format!("/children/{child}/erasure"), json!({ "reason": "pedido" })).await,
    ] {
        assert_eq!((refused.status, refused.code()), (403, "FORBIDDEN"));
    }
    let may = acting.get("/me").await.data()["permissions"].to_string();
    assert!(may.contains("roles:read") && !may.contains("roles:update") && !may.contains("children:erase"), "{may}");
    assert_eq!((acting.get("/users").await.status, acting.get(matrix).await.status), (200, 200), "they may look");
    assert_eq!(acting.patch(&format!("/guardians/{parent}"), "*", json!({ "full_name": "Rita Sá" })).await.status, 200);

    // Nor does the school itself give rights to anybody but its own people.
    for stranger in [staff.user, other.user("Teacher").await.user, uuid::Uuid::new_v4()] {
        let role = format!("/users/{stranger}/roles/SchoolAdmin");
        assert_eq!(admin.put(&role, None, json!({})).await.code(), "NOT_FOUND");
    }
    assert_eq!(school.scalar::<i64>("SELECT count(*) FROM app.user_roles").await, 0);
}

#[tokio::test]
async fn with_another_issuer_its_users_get_roles_and_other_schools_accounts_do_not() {
    let world = World::start(Version::V18, |settings| {
        settings.identity.external = Some(External::new("https://issuer.example", "http://127.0.0.1:1/", "dailycare"));
    })
    .await;
    let (school, other) = (world.school("norte").await, world.school("sul").await);
    let (staff, admin) = (world.staff().await, school.user("SchoolAdmin").await);
    let give = async |user| admin.put(&format!("/users/{user}/roles/Teacher"), None, json!({})).await;
    assert_eq!(give(uuid::Uuid::new_v4()).await.status, 201);
    assert_eq!(give(school.user("ReadOnly").await.user).await.status, 201);
    let gone = school.user("ReadOnly").await.user;
    assert_eq!(admin.delete(&format!("/users/{gone}"), "*").await.status, 204);
    for stranger in [staff.user, other.user("Teacher").await.user, gone] {
        assert_eq!(give(stranger).await.code(), "NOT_FOUND");
    }
}

#[tokio::test]
async fn an_administrator_makes_changes_and_ends_accounts_of_its_own_school_alone() {
    let world = world().await;
    let (north, south) = (world.school("norte").await, world.school("sul").await);
    let (admin, other) = (north.user("SchoolAdmin").await, south.user("SchoolAdmin").await);
    let made = admin.post("/users", json!({ "name": "Rita", "email": "rita@norte.example", "role": "Teacher" })).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let (id, temporary) = (made.data()["user"]["id"].as_str().unwrap(), made.data()["temporary_password"].as_str().unwrap());
    assert_eq!(other.get(&format!("/users/{id}")).await.code(), "NOT_FOUND");
    assert_eq!(admin.post("/users", json!({ "name": "R", "email": "RITA@norte.example", "role": "Teacher" })).await.code(), "CONFLICT");
    assert_eq!(admin.post("/users", json!({ "name": "R", "email": "r@x.example", "role": "PlatformAdmin" })).await.fields()[0].0, "role");

    let login = admin.anonymous().post("/auth/login", json!({ "email": "rita@norte.example", "password": temporary })).await;
    let rita = Client::with_token(world.api.address, login.data()["access_token"].as_str().unwrap(), uuid::Uuid::nil());
    assert_eq!(rita.get("/children").await.code(), "PASSWORD_CHANGE_REQUIRED");
    let change = json!({ "current_password": temporary, "new_password": PASSWORD });
    assert_eq!(rita.post("/auth/password", change).await.status, 200);
    let rita = Client::log_in(world.api.address, "rita@norte.example", id.parse().unwrap()).await;
    assert_eq!(rita.get("/children").await.status, 200);
    assert_eq!(rita.get("/users").await.code(), "FORBIDDEN");

    assert_eq!(admin.delete(&format!("/users/{id}"), "*").await.status, 204);
    // The end of an account is told by the master database; its tokens die when it is heard.
    until("the end of its tokens", async || rita.get("/children").await.status != 200).await;
    assert_eq!(rita.get("/children").await.code(), "UNAUTHENTICATED");
    assert_eq!(admin.delete(&format!("/users/{}", admin.user), "*").await.code(), "CONFLICT", "somebody must run the school");
}

#[tokio::test]
async fn accounts_are_found_by_name_address_role_and_activity() {
    for version in Version::ALL {
        let world = World::start(version, usual).await;
        let (north, south) = (world.school("norte").await, world.school("sul").await);
        let admin = north.user("SchoolAdmin").await;
        for (name, email, role) in [
            ("Inês Conceição", "Ines@norte.example", "Teacher"),
            ("João Inácio", "joao@norte.example", "Guardian"),
            ("Rita D'Água", "rita@norte.example", "Guardian"),
        ] {
            assert_eq!(admin.post("/users", json!({ "name": name, "email": email, "role": role })).await.status, 201);
        }
        let rita = admin.get("/users?email=rita@norte.example").await.data()[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(admin.patch(&format!("/users/{rita}"), "*", json!({ "is_active": false })).await.status, 200);
        for (query, names) in [
            ("name=conceicao%20INE", &["Inês Conceição"][..]),
            ("name=in", &["Inês Conceição", "João Inácio"]),
            ("name=dagua", &["Rita D'Água"]),
            ("name=nes", &[]),
            ("name=...", &[]),
            ("email=INES@norte.example", &["Inês Conceição"]),
            ("email=ines", &[]),
            ("role=Guardian", &["João Inácio", "Rita D'Água"]),
            ("role=Guardian&is_active=true", &["João Inácio"]),
            ("is_active=false", &["Rita D'Água"]),
        ] {
            let found = admin.get(&format!("/users?{query}")).await;
            let found: Vec<&str> = found.data().as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap()).collect();
            assert_eq!(found, names, "{query}");
        }
        let first = admin.get("/users?name=in&limit=1").await;
        let next = admin.get(&format!("/users?name=in&limit=1&after={}", first.body["next"].as_str().unwrap())).await;
        assert_eq!((&next.data()[0]["name"], next.body.get("next")), (&json!("João Inácio"), None));
        for wrong in ["role=PlatformAdmin", "is_active=maybe", "nme=x"] {
            assert_eq!(admin.get(&format!("/users?{wrong}")).await.code(), "VALIDATION_FAILED", "{wrong}");
        }
        assert_eq!(south.user("SchoolAdmin").await.get("/users?name=in").await.data(), &json!([]));
    }
}

#[tokio::test]
async fn a_new_account_whose_answer_was_lost_is_answered_again_until_somebody_signs_in_with_it() {
    let world = World::start(Version::V15, usual).await;
    let north = world.school("norte").await;
    let (admin, other) = (north.user("SchoolAdmin").await, north.user("SchoolAdmin").await);
    let rita = json!({ "name": "Rita", "email": "rita@norte.example", "role": "Teacher" });
    let temporary = |answer: &Answer| answer.data()["temporary_password"].as_str().unwrap().to_owned();
    let sign_in = async |password: String| {
        admin.anonymous().post("/auth/login", json!({ "email": "rita@norte.example", "password": password })).await.status
    };
    let lost = admin.post_keyed("/users", "rita-1", rita.clone()).await;
    assert_eq!((lost.status, lost.headers.get("idempotent-replayed")), (201, None));
    let again = admin.post_keyed("/users", "rita-1", rita.clone()).await;
    assert_eq!((again.status, &again.data()["user"]["id"]), (201, &lost.data()["user"]["id"]), "{}", again.body);
    assert_eq!((&again.headers["idempotent-replayed"], &again.headers["location"]), (&"true".parse().unwrap(), &lost.headers["location"]));
    let another = json!({ "name": "Rita", "email": "rita@norte.example", "role": "ReadOnly" });
    assert_eq!(admin.post_keyed("/users", "rita-1", another).await.code(), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(other.post_keyed("/users", "rita-1", rita.clone()).await.fields(), [("email".to_owned(), "taken".to_owned())]);
    assert_eq!(admin.post_keyed("/users", "", rita.clone()).await.code(), "MALFORMED_REQUEST");

    assert_eq!((sign_in(temporary(&lost)).await, sign_in(temporary(&again)).await), (401, 200));
    let used = admin.post_keyed("/users", "rita-1", rita.clone()).await;
    assert_eq!((used.code(), used.fields()), ("CONFLICT", vec![("idempotency-key".to_owned(), "spent".to_owned())]));
    assert_eq!(sign_in(temporary(&again)).await, 200, "a refusal changes nothing");

    let count = "SELECT count(*) FROM registry.users WHERE name = 'Rita'";
    let second = json!({ "name": "Rita", "email": "rita2@norte.example", "role": "Teacher" });
    let make = || admin.post_keyed("/users", "rita-2", second.clone());
    let (one, two) = tokio::join!(make(), make());
    assert_eq!((one.status, two.status, &one.data()["user"]["id"]), (201, 201, &two.data()["user"]["id"]));
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&world.platform.operator).await.unwrap(), 2);

    // A day later the key is as good as new.
    sqlx::raw_sql("UPDATE registry.account_keys SET expires_at = now() - interval '1 second'")
        .execute(&world.platform.operator)
        .await
        .unwrap();
    assert_eq!(admin.post_keyed("/users", "rita-1", rita).await.fields(), [("email".to_owned(), "taken".to_owned())]);
    let left = "SELECT count(*) FROM registry.account_keys WHERE expires_at < now()";
    assert_eq!(
        sqlx::query_scalar::<_, i64>(left).fetch_one(&world.platform.operator).await.unwrap(),
        2,
        "a request that failed leaves all as it was"
    );
}

#[tokio::test]
async fn an_account_is_written_with_its_record_even_while_the_schools_audit_takes_none() {
    for version in Version::ALL {
        let world = World::start(version, usual).await;
        let north = world.school("norte").await;
        let admin = north.user("SchoolAdmin").await;
        north.sql("REVOKE INSERT ON app.access_audit FROM tenant_app").await;
        let made = admin.post("/users", json!({ "name": "Rita", "email": "rita@norte.example", "role": "Teacher" })).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let path = format!("/users/{}", made.data()["user"]["id"].as_str().unwrap());
        let changed = admin.patch(&path, "*", json!({ "role": "HealthStaff" })).await;
        let reset = admin.send(Method::POST, &format!("{path}/reset-password"), None).await;
        let removed = admin.delete(&path, "*").await;
        assert_eq!((changed.status, reset.status, removed.status), (200, 200, 204));
        assert_eq!(admin.delete(&path, "*").await.code(), "NOT_FOUND");

        let records = recorded_accounts(&world, admin.user).await;
        let (ids, paths): (Vec<_>, Vec<_>) =
            records.iter().map(|(id, _, path, ..)| (*id, path.trim_start_matches("/api/v1").to_owned())).unzip();
        assert_eq!(paths, ["/users".to_owned(), path.clone(), format!("{path}/reset-password"), path.clone()]);
        assert!(records.iter().all(|(_, tenant, _, address, reason)| {
            (*tenant, address.as_deref(), reason) == (Some(north.id()), Some("127.0.0.1"), &None)
        }));

        north.sql("GRANT INSERT ON app.access_audit TO tenant_app").await;
        world.api.stop().await;
        let copies: Vec<Uuid> =
            north.scalar("SELECT array_agg(id ORDER BY occurred_at) FROM app.access_audit WHERE action = 'roles:update' AND success").await;
        assert_eq!(copies, ids, "the school's copies are the same records");
    }
}

#[tokio::test]
async fn an_account_whose_record_cannot_be_written_is_not_made() {
    let world = world().await;
    let north = world.school("norte").await;
    let admin = north.user("SchoolAdmin").await;
    sqlx::raw_sql("REVOKE INSERT ON registry.access_audit FROM dailycare_api").execute(&world.platform.operator).await.unwrap();
    let new = json!({ "name": "Rita", "email": "rita@norte.example", "role": "Teacher" });
    assert_eq!(admin.post("/users", new).await.status, 500);
    let count = "SELECT count(*) FROM registry.users WHERE name = 'Rita'";
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&world.platform.operator).await.unwrap(), 0);
}

#[tokio::test]
async fn a_record_names_the_request_that_its_answer_names() {
    for version in Version::ALL {
        let world = World::start(version, usual).await;
        let north = world.school("norte").await;
        let (staff, admin) = (world.staff().await, north.user("SchoolAdmin").await);
        // Whatever the client calls its requests: anybody could call two of them the same.
        let (admin, staff) = (admin.header("x-request-id", "mine"), staff.header("x-request-id", "mine"));
        let id = |answer: &Answer| answer.headers["x-request-id"].to_str().unwrap().to_owned();
        let written = id(&admin.post("/children", json!({ "full_name": "Inês" })).await);
        assert_ne!(written, "mine");
        assert_eq!(admin.get("/audit?action=children:create").await.data()[0]["request_id"], written);

        let read = id(&admin.get("/children").await);
        let newest = async || admin.get("/audit?action=children:read").await.data()[0]["request_id"].clone();
        until("the record of the read", async || newest().await == read).await;

        let new = json!({ "name": "Rita", "email": "rita@norte.example", "role": "Teacher" });
        let account = id(&admin.post("/users", new).await);
        let wrong = json!({ "email": "rita@norte.example", "password": "wrong" });
        let login = id(&admin.anonymous().post("/auth/login", wrong).await);
        let reason = json!({ "reason": "support case 4711" });
        let acting = id(&staff.post(&format!("/platform/tenants/{}/impersonation", north.id()), reason).await);
        for (action, success, id) in [("roles:update", true, account), ("auth:login", false, login), ("auth:impersonate", true, acting)] {
            let found = staff.get(&format!("/platform/audit?tenant_id={}&action={action}&success={success}", north.id())).await;
            assert_eq!(found.data()[0]["request_id"], id, "{}", found.body);
        }
    }
}
