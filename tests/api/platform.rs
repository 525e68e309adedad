//! The platform's staff over HTTP: tenants, their measures, acting in a school; and a school's own accounts.

use serde_json::json;

use crate::world::{Client, PASSWORD, world};

#[tokio::test]
async fn platform_staff_see_tenants_and_their_measures_and_nobody_else_does() {
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

    let measures = staff.get(&format!("/platform/tenants/{}/metrics", north.id())).await;
    let (users, database) = (&measures.data()["users"], &measures.data()["database"]);
    assert_eq!((&users["enabled"], &users["active"], &database["children"]), (&json!(1), &json!(1), &json!(1)));
    assert!(database["storage_bytes"].as_i64().unwrap() > 0 && database["uptime_seconds"].as_i64().is_some(), "{}", measures.body);

    for path in ["/platform/tenants", "/platform/audit", "/platform/impersonations"] {
        assert_eq!(admin.get(path).await.code(), "FORBIDDEN", "{path}");
    }
    assert_eq!(staff.get(&format!("/platform/tenants/{}", uuid::Uuid::new_v4())).await.code(), "NOT_FOUND");
    assert_eq!(staff.header("x-tenant-id", "sul").get("/children").await.code(), "FORBIDDEN", "a school's rows are not the platform's");
    assert_eq!(staff.get("/children").await.code(), "INVALID_TENANT");
    drop(south);
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
    let written: i64 =
        north.ask(&format!("SELECT count(*) FROM app.access_audit WHERE user_id = '{}' AND action = 'children:create'", staff.user)).await;
    assert_eq!(written, 1);
    drop(south);
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

    assert_eq!(admin.send(reqwest::Method::DELETE, &format!("/users/{id}"), None).await.status, 204);
    // The end of an account is told by the master database; its tokens die when it is heard.
    while rita.get("/children").await.status == 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rita.get("/children").await.code(), "UNAUTHENTICATED");
    assert_eq!(
        admin.send(reqwest::Method::DELETE, &format!("/users/{}", admin.user), None).await.code(),
        "CONFLICT",
        "somebody must run the school"
    );
}
