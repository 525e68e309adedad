//! What telephones, languages and proxies make of a request that is right: it is understood.

use api_testing::{PASSWORD, world};
use serde_json::json;

use super::care::nursery::{DAY, NOON, Nursery, created, length};
use super::people::fixture::{child, listed, made};

#[tokio::test]
async fn a_tag_that_a_compressing_proxy_changed_is_the_tag_that_was_read() {
    let world = world().await;
    let school = world.school("norte").await;
    let admin = school.user("SchoolAdmin").await;
    let path = format!("/children/{}", child(&admin, "Rita").await);
    for (version, tag) in [(2, "W/\"1\""), (3, "\"2-gzip\""), (4, "W/\"3\", W/\"9\"")] {
        let changed = admin.patch(&path, tag, json!({ "preferred_name": format!("N{version}") })).await;
        assert_eq!((changed.status, changed.etag()), (200, format!("\"{version}\"")), "{tag}: {}", changed.body);
    }
    assert_eq!(admin.header("if-none-match", "W/\"4\"").get(&path).await.status, 304);
    assert_eq!(admin.patch(&path, "W/\"1\"", json!({ "preferred_name": "N" })).await.code(), "PRECONDITION_FAILED");
    assert_eq!(admin.put("/settings/school.locale", Some("W/\"1\""), json!({ "value": "pt" })).await.status, 200);
    assert_eq!(admin.delete(&path, "W/\"4\"").await.status, 204);
}

#[tokio::test]
async fn a_whole_number_with_a_point_or_an_exponent_is_a_whole_number() {
    let nursery = Nursery::open().await;
    let child = &nursery.children[0];
    let bottle = json!({"child_id": child, "kind": "meal", "meal": "bottle", "bottle_ml": 150.0, "started_at": NOON});
    assert_eq!(nursery.record(bottle).await["bottle_ml"], json!(150));
    let class = created(nursery.admin.post("/classes", json!({"name": "Lua", "school_year": 2026.0, "capacity": 2e1})).await);
    assert_eq!((&class["school_year"], &class["capacity"]), (&json!(2026), &json!(20)));
    let rita = made(&nursery.admin, "/guardians", json!({"full_name": "Rita Sá", "email": "rita@example.org"})).await;
    let link = json!({"relation": "mother", "contact_order": 1.0});
    let linked = nursery.admin.put(&format!("/children/{child}/guardians/{rita}"), None, link).await;
    assert_eq!((linked.status, &linked.data()["contact_order"]), (201, &json!(1)), "{}", linked.body);
    let days = nursery.admin.put("/settings/authorisations.warn_days", Some("*"), json!({"value": 14.0})).await;
    assert_eq!((days.status, &days.data()["value"]), (200, &json!(14)), "{}", days.body);
    let half = json!({"child_id": child, "kind": "meal", "meal": "bottle", "bottle_ml": 150.5, "started_at": NOON});
    let refused = nursery.admin.post("/activities", half).await;
    assert_eq!((refused.status, refused.fields()), (422, vec![("bottle_ml".to_owned(), "type".to_owned())]));
}

#[tokio::test]
async fn white_space_around_the_address_is_no_wrong_password() {
    let world = world().await;
    let north = world.school("norte").await;
    let (email, _) = north.account("SchoolAdmin").await;
    let anonymous = north.user("SchoolAdmin").await.anonymous();
    for typed in
        [format!("{email} "), format!(" {email}"), format!("{email}\t"), format!("{email}\u{a0}"), format!("\u{feff}{email}\u{200b}")]
    {
        let answer = anonymous.post("/auth/login", json!({ "email": typed, "password": PASSWORD })).await;
        assert_eq!(answer.status, 200, "{typed:?}: {}", answer.body);
    }
    let within = anonymous.post("/auth/login", json!({ "email": email.replace('@', " @"), "password": PASSWORD })).await;
    assert_eq!(within.code(), "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn every_page_of_the_longest_names_can_be_reached() {
    let world = world().await;
    let school = world.school("norte").await;
    let admin = school.user("SchoolAdmin").await;
    // Sorted by their decomposed form, which is up to eighteen times as long, and differs only at its end.
    let mut names: Vec<String> = ["a", "b", "c"].iter().map(|last| format!("{}{last}", "강".repeat(199))).collect();
    names.extend(["\u{fdfa}".repeat(200), "한".to_owned()]);
    for name in &names {
        child(&admin, name).await;
    }
    let first_page = listed(&admin, "/children", "full_name").await;
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("/children?limit=1{after}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        paged.push(page.data()[0]["full_name"].as_str().unwrap().to_owned());
        let Some(next) = page.body["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!((paged.len(), paged), (names.len(), first_page));
}

#[tokio::test]
async fn a_plus_in_a_time_of_the_query_is_read_as_it_was_meant() {
    let nursery = Nursery::open().await;
    let child = &nursery.children[0];
    nursery.record(json!({"child_id": child, "kind": "nappy", "nappy": "wet", "started_at": NOON})).await;
    for (from, found) in [
        (format!("{DAY}T12:00:00+01:00"), 1),
        (format!("{DAY}T12:00:00%2B01:00"), 1),
        (format!("{DAY}T12:00:01+01:00"), 0),
        (format!("{DAY}T12:00:01%2B01:00"), 0),
    ] {
        let answer = nursery.admin.get(&format!("/activities?from={from}")).await;
        assert_eq!((answer.status, length(answer.data())), (200, found), "{from}: {}", answer.body);
    }
}
