//! Accounts over HTTP: in which version they are changed, whose people they are, and what is left of a closed one.

use api::identity::{External, Subject};
use api_testing::{Client, Signer, world};
use reqwest::Method;
use serde_json::json;
use testing::until;
use uuid::Uuid;

#[tokio::test]
async fn an_account_that_was_closed_has_no_rights_left_for_another_issuers_token_to_use() {
    let world = world().await;
    let (school, other) = (world.school("norte").await, world.school("sul").await);
    let admin = school.user("SchoolAdmin").await;
    // To a second API the first one is another issuer, whose subjects are ids of accounts.
    let keys = format!("http://{}/.well-known/jwks.json", world.api.address);
    let replica = world
        .replica(|settings| {
            settings.identity.issuer = "https://second.example".to_owned();
            let first = External::new("https://dailycare.local", keys, "dailycare-api");
            settings.identity.external = Some(External { subject: Subject::UserId, ..first });
        })
        .await;
    let signer = Signer::new(&world.signing_keys());
    let request = async |user: Uuid| {
        let token = signer.token(user, Some(school.id()), "Teacher");
        Client::with_token(replica.address, &token, user).get("/allergies").await
    };
    let mut users = Vec::new();
    for _ in 0..3 {
        let (_, user) = school.account("Teacher").await;
        assert_eq!(admin.put(&format!("/users/{user}/roles/HealthStaff"), None, json!({})).await.status, 201);
        users.push(user);
    }
    let (_, foreign) = other.account("Teacher").await;
    school.sql(&format!("INSERT INTO app.user_roles (user_id, role_code) VALUES ('{foreign}', 'HealthStaff')")).await;
    let [open, removed, inactive] = users[..] else { panic!("three users") };
    assert_eq!(admin.delete(&format!("/users/{removed}"), "*").await.status, 204);
    assert_eq!(admin.patch(&format!("/users/{inactive}"), "*", json!({ "is_active": false })).await.status, 200);
    assert_eq!(request(open).await.status, 200);
    for closed in [removed, inactive, foreign] {
        // Tokens of the second of the change and before are refused as such; later ones find no rights.
        until("a token counts that is younger than the change", async || request(closed).await.status != 401).await;
        assert_eq!(request(closed).await.code(), "FORBIDDEN");
    }
}

#[tokio::test]
async fn every_page_of_accounts_with_the_longest_names_can_be_reached() {
    let north = world().await.school("norte").await;
    let admin = north.user("SchoolAdmin").await;
    for number in 0..3 {
        let new = json!({ "name": "강".repeat(200), "email": format!("{number}@norte.example"), "role": "Teacher" });
        assert_eq!(admin.post("/users", new).await.status, 201);
    }
    let (mut found, mut path) = (Vec::new(), "/users?limit=1&role=Teacher".to_owned());
    while found.len() < 4 {
        let page = admin.get(&path).await;
        found.extend(page.data().as_array().unwrap().iter().map(|user| user["email"].as_str().unwrap().to_owned()));
        let Some(next) = page.body["next"].as_str() else { break };
        path = format!("/users?limit=1&role=Teacher&after={next}");
    }
    found.sort();
    assert_eq!(found, ["0@norte.example", "1@norte.example", "2@norte.example"]);
}

#[tokio::test]
async fn an_address_with_white_space_that_only_the_database_knows_is_a_wrong_field() {
    let north = world().await.school("norte").await;
    let admin = north.user("SchoolAdmin").await;
    let new = json!({ "name": "Rita", "email": "ri\u{85}ta@norte.example", "role": "Teacher" });
    assert_eq!(admin.post("/users", new).await.fields(), [("email".to_owned(), "format".to_owned())]);
}

#[tokio::test]
async fn an_account_is_changed_and_removed_only_in_the_version_that_was_read() {
    let world = world().await;
    let north = world.school("norte").await;
    let admin = north.user("SchoolAdmin").await;
    let made = admin.post("/users", json!({ "name": "Rita", "email": "rita@norte.example", "role": "Teacher" })).await;
    let path = format!("/users/{}", made.data()["user"]["id"].as_str().unwrap());
    let read = admin.get(&path).await.etag();
    assert_eq!(admin.header("if-none-match", &read).get(&path).await.status, 304);
    for unconditional in
        [admin.send(Method::PATCH, &path, Some(json!({ "role": "ReadOnly" }))).await, admin.send(Method::DELETE, &path, None).await]
    {
        assert_eq!(unconditional.code(), "PRECONDITION_REQUIRED");
    }
    let changed = admin.patch(&path, &read, json!({ "name": "Rita Sá" })).await;
    assert_eq!((changed.status, changed.etag() == read), (200, false));
    assert_eq!(admin.patch(&path, &read, json!({ "role": "ReadOnly" })).await.code(), "PRECONDITION_FAILED");
    assert_eq!(admin.delete(&path, &read).await.code(), "PRECONDITION_FAILED");
    let now = admin.get(&path).await;
    assert_eq!((now.etag(), &now.data()["role"]), (changed.etag(), &json!("Teacher")));

    // Signing in changes nothing that somebody could overwrite.
    let temporary = &made.data()["temporary_password"];
    let login = admin.anonymous().post("/auth/login", json!({ "email": "rita@norte.example", "password": temporary })).await;
    assert_eq!(login.status, 200);
    assert_eq!(admin.delete(&path, &changed.etag()).await.status, 204);
}

#[tokio::test]
async fn a_guardian_or_a_staff_member_is_given_no_account_but_one_of_their_own_school() {
    let world = world().await;
    let (north, south) = (world.school("norte").await, world.school("sul").await);
    let (admin, staff) = (north.user("SchoolAdmin").await, world.staff().await);
    let ((_, own), (_, foreign), (_, gone)) =
        (north.account("Guardian").await, south.account("Guardian").await, north.account("Guardian").await);
    assert_eq!(admin.delete(&format!("/users/{gone}"), "*").await.status, 204);
    for path in ["/guardians", "/staff"] {
        let made = admin.post(path, json!({ "full_name": "Rita", "user_id": own })).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let one = format!("{path}/{}", made.id());
        for stranger in [foreign, gone, staff.user, Uuid::new_v4()] {
            let refused = [
                admin.post(path, json!({ "full_name": "Rita", "user_id": stranger })).await,
                admin.patch(&one, "*", json!({ "user_id": stranger })).await,
            ];
            for refused in refused {
                assert_eq!((refused.status, refused.fields()), (422, vec![("user_id".to_owned(), "not_found".to_owned())]));
            }
        }
        assert_eq!(admin.patch(&one, "*", json!({ "user_id": null })).await.status, 200);
    }
}
