//! Guardians: their links to children, and what they see themselves.

use api_testing::world;
use serde_json::json;
use uuid::Uuid;

use super::fixture::{cached, child, class, listed, made, refused, tag};

#[tokio::test]
async fn guardians_are_found_by_name_and_linked_to_children_with_care() {
    let world = world().await;
    let school = world.school("norte").await;
    let admin = school.user("SchoolAdmin").await;
    let ines = child(&admin, "Inês Sá").await;
    let joao = made(&admin, "/guardians", json!({"full_name": "João Conceição", "phone_number": "+351 912 345 678"})).await;
    let rita = made(&admin, "/guardians", json!({"full_name": "Rita Sá", "email": "rita@example.org"})).await;
    assert_eq!(listed(&admin, "/guardians?name=conceicao%20JOAO", "id").await, [joao.clone()]);
    assert_eq!(listed(&admin, "/guardians", "full_name").await, ["João Conceição", "Rita Sá"]);
    refused(&admin.get(&format!("/guardians?name={}", "a".repeat(201))).await, 422, "name", "too_long");

    let link = format!("/children/{ines}/guardians/{rita}");
    let body = json!({"relation": "mother", "has_custody": true, "contact_order": 1});
    assert_eq!(admin.put(&link, Some("*"), body.clone()).await.status, 412);
    let created = admin.put(&link, None, body.clone()).await;
    assert_eq!((created.status, created.etag().as_str()), (201, "\"1\""), "{}", created.body);
    assert_eq!((&created.data()["full_name"], &created.data()["may_pick_up"]), (&json!("Rita Sá"), &json!(false)));
    assert_eq!(admin.put(&link, None, body.clone()).await.code(), "PRECONDITION_REQUIRED");
    let replaced = admin.put(&link, Some("\"1\""), json!({"relation": "mother", "may_pick_up": true, "pick_up_until": "2027-01-31"})).await;
    assert_eq!((replaced.status, replaced.etag().as_str()), (200, "\"2\""), "{}", replaced.body);
    assert_eq!(replaced.data()["has_custody"], json!(false), "a link is replaced as a whole");
    assert_eq!(admin.put(&link, Some("\"1\""), body.clone()).await.code(), "PRECONDITION_FAILED");
    refused(
        &admin.put(&link, Some("*"), json!({"relation": "mother", "pick_up_until": "2027-01-31"})).await,
        422,
        "pick_up_until",
        "not_allowed",
    );
    refused(&admin.put(&link, Some("*"), json!({"relation": "aunt"})).await, 422, "relation", "enum");
    refused(&admin.put(&link, Some("*"), json!({"relation": "other", "contact_order": 21})).await, 422, "contact_order", "maximum");

    let second = format!("/children/{ines}/guardians/{joao}");
    assert_eq!(admin.put(&second, None, json!({"relation": "father", "contact_order": 2})).await.status, 201);
    assert_eq!(listed(&admin, &format!("/children/{ines}/guardians"), "full_name").await, ["Rita Sá", "João Conceição"]);
    assert_eq!(listed(&admin, &format!("/guardians?child_id={ines}"), "id").await, [joao.clone(), rita.clone()]);
    assert_eq!(listed(&admin, &format!("/children?guardian_id={joao}"), "id").await, [ines.clone()]);
    assert_eq!(admin.delete(&second, "\"9\"").await.status, 412);
    assert_eq!(admin.delete(&second, "\"1\"").await.status, 204);
    assert_eq!((admin.get(&second).await.status, admin.delete(&second, "*").await.status), (404, 404));
    let nobody = Uuid::new_v4();
    for path in [
        format!("/children/{nobody}/guardians/{rita}"),
        format!("/children/{ines}/guardians/{nobody}"),
        format!("/children/{ines}/guardians/x"),
    ] {
        assert_eq!(admin.put(&path, None, body.clone()).await.status, 404, "{path}");
    }
    assert_eq!(admin.delete(&format!("/guardians/{rita}"), "*").await.status, 204);
    assert_eq!(listed(&admin, &format!("/children/{ines}/guardians"), "full_name").await, [""; 0]);
    assert_eq!(admin.get(&link).await.status, 404);
}

#[tokio::test]
async fn a_guardian_sees_its_own_children_their_guardians_and_classes_and_nobody_elses() {
    let (world, _redis) = cached().await;
    let school = world.school("norte").await;
    let (admin, rita) = (school.user("SchoolAdmin").await, school.user("Guardian").await);
    let (hers, other) = (child(&admin, "Inês Sá").await, child(&admin, "Tomás Reis").await);
    let herself = made(&admin, "/guardians", json!({"full_name": "Rita Sá", "user_id": rita.user})).await;
    let joao = made(&admin, "/guardians", json!({"full_name": "João Sá"})).await;
    let stranger = made(&admin, "/guardians", json!({"full_name": "Zé Reis"})).await;
    assert_eq!(listed(&rita, "/guardians", "id").await, [herself.clone()]);
    for (child, guardian) in [(&hers, &herself), (&hers, &joao), (&other, &stranger)] {
        assert_eq!(admin.put(&format!("/children/{child}/guardians/{guardian}"), None, json!({"relation": "other"})).await.status, 201);
    }
    let (girassois, estrelas) = (class(&admin, "Girassóis", None).await, class(&admin, "Estrelas", None).await);
    made(&admin, "/enrolments", json!({"child_id": hers, "class_id": girassois, "starts_on": "2026-09-01"})).await;
    made(&admin, "/enrolments", json!({"child_id": other, "class_id": estrelas, "starts_on": "2026-09-01"})).await;

    assert_eq!(listed(&rita, "/children", "id").await, [hers.clone()]);
    assert_eq!(listed(&rita, "/guardians", "id").await, [herself.clone()], "not where the child's father lives");
    assert_eq!(listed(&admin, "/classes", "name").await, ["Estrelas", "Girassóis"]);
    assert_eq!(listed(&rita, "/classes", "name").await, ["Girassóis"], "not from what is cached for others");
    assert_eq!(listed(&rita, "/enrolments", "child_id").await, [hers.clone()]);
    assert_eq!(listed(&rita, &format!("/children/{hers}/guardians"), "full_name").await, ["João Sá", "Rita Sá"]);
    for path in [
        format!("/children/{other}"),
        format!("/children/{other}/guardians"),
        format!("/children/{other}/guardians/{stranger}"),
        format!("/guardians/{joao}"),
        format!("/guardians/{stranger}"),
        format!("/classes/{estrelas}"),
    ] {
        assert_eq!(rita.get(&path).await.status, 404, "{path}");
    }
    for path in ["/staff", "/staff-assignments", "/roles", "/permissions"] {
        assert_eq!(rita.get(path).await.status, 403, "{path}");
    }
    assert_eq!(rita.put(&format!("/children/{other}/guardians/{herself}"), None, json!({"relation": "mother"})).await.status, 403);

    // Where the school lets guardians change their own, that is where they live, not whose child is whose.
    school.sql("INSERT INTO app.role_permissions (role_code, permission_code, scope) VALUES ('Guardian', 'guardians:update', 'own')").await;
    let tag = tag(&admin, "/roles/ReadOnly/permissions").await;
    let list = admin.get("/roles/ReadOnly/permissions").await.data().clone();
    assert_eq!(
        admin.put("/roles/ReadOnly/permissions", Some(&tag), list).await.status,
        200,
        "what is remembered of the matrix is forgotten"
    );
    for (child, guardian) in [(&other, &herself), (&hers, &stranger), (&hers, &joao), (&hers, &herself)] {
        let path = format!("/children/{child}/guardians/{guardian}");
        assert_eq!(rita.put(&path, Some("*"), json!({"relation": "mother", "has_custody": true})).await.status, 403, "{path}");
        assert_eq!(rita.delete(&path, "*").await.status, 403, "{path}");
    }
    let (own, his) = (format!("/guardians/{herself}"), format!("/guardians/{joao}"));
    assert_eq!(rita.patch(&own, "*", json!({"address": "Rua Nova, 1"})).await.status, 200);
    assert_eq!(rita.patch(&own, "*", json!({"user_id": null})).await.status, 403, "an account is the school's to give");
    assert_eq!(rita.patch(&his, "*", json!({"address": "Rua Nova, 1"})).await.status, 404);

    assert_eq!(admin.delete(&format!("/children/{hers}"), "*").await.status, 204);
    for path in ["/children", "/classes", "/enrolments"] {
        assert_eq!(listed(&rita, path, "id").await, [""; 0], "{path}");
    }
    assert_eq!(listed(&rita, "/guardians", "id").await, [herself]);
}
