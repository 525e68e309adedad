//! A school's settings, and the roles that it gives its users.

use serde_json::json;

use super::fixture::{cached, listed, refused, tag};

#[tokio::test]
async fn a_setting_keeps_its_meaning_and_is_read_afresh_when_it_is_changed() {
    let (world, _redis) = cached().await;
    let school = world.school("norte").await;
    let (admin, teacher) = (school.user("SchoolAdmin").await, school.user("Teacher").await);
    assert_eq!(listed(&teacher, "/settings", "key").await.len(), 11);
    let enforced = admin.get("/settings").await.data().as_array().unwrap().iter().filter(|setting| setting["enforced"] == true).count();
    assert_eq!(enforced, 3, "the other settings are for clients");
    let path = "/settings/school.time_zone";
    let first = teacher.get(path).await;
    assert_eq!((&first.data()["value"], first.etag().as_str()), (&json!("Europe/Lisbon"), "\"1\""));
    assert_eq!(teacher.put(path, Some("\"1\""), json!({"value": "Atlantic/Azores"})).await.status, 403);
    assert_eq!(admin.put(path, None, json!({"value": "Atlantic/Azores"})).await.code(), "PRECONDITION_REQUIRED");
    let changed = admin.put(path, Some("\"1\""), json!({"value": "Atlantic/Azores"})).await;
    assert_eq!((changed.status, changed.etag().as_str(), &changed.data()["value"]), (200, "\"2\"", &json!("Atlantic/Azores")));
    let all = teacher.get("/settings").await;
    let row = all.data().as_array().unwrap().iter().find(|row| row["key"] == "school.time_zone").unwrap();
    assert_eq!((&row["value"], &row["updated_by"]), (&json!("Atlantic/Azores"), &json!(admin.user)));
    assert_eq!(admin.put(path, Some("\"1\""), json!({"value": "Europe/Lisbon"})).await.code(), "PRECONDITION_FAILED");

    for zone in ["Europe/Lisboa", "europe/lisbon", "posix/Europe/Lisbon", "localtime", "+01:00", ""] {
        refused(&admin.put(path, Some("*"), json!({"value": zone})).await, 422, "value", "time_zone");
    }
    refused(&admin.put(path, Some("*"), json!({"value": null})).await, 422, "value", "type");
    refused(&admin.put(path, Some("*"), json!({})).await, 422, "value", "required");
    let hours = json!({"value": {"monday": ["19:00", "07:30"]}});
    refused(&admin.put("/settings/school.opening_hours", Some("*"), hours).await, 422, "value.monday.1", "order");
    for key in ["school.none", "x", "%00", "a%2Fb"] {
        assert_eq!(admin.get(&format!("/settings/{key}")).await.status, 404, "{key}");
        assert_eq!(admin.put(&format!("/settings/{key}"), Some("*"), json!({"value": 1})).await.status, 404, "{key}");
    }
}

#[tokio::test]
async fn a_school_decides_what_its_roles_may_do_and_never_locks_itself_out() {
    let (world, _redis) = cached().await;
    let school = world.school("norte").await;
    let (admin, teacher) = (school.user("SchoolAdmin").await, school.user("Teacher").await);
    assert_eq!(listed(&admin, "/roles", "code").await, ["Guardian", "HealthStaff", "ReadOnly", "SchoolAdmin", "Teacher"]);
    assert!(listed(&admin, "/permissions", "code").await.contains(&"children:erase".to_owned()));

    let path = "/roles/Teacher/permissions";
    let before = admin.get(path).await;
    let mut grants = before.data().as_array().unwrap().clone();
    assert_eq!(teacher.post("/children", json!({"full_name": "Inês"})).await.status, 403);
    grants.push(json!({"permission": "children:create", "scope": "school"}));
    assert_eq!(admin.put(path, None, json!(grants)).await.code(), "PRECONDITION_REQUIRED");
    let given = admin.put(path, Some(&before.etag()), json!(grants)).await;
    assert_eq!((given.status, given.data().as_array().unwrap().len()), (200, grants.len()), "{}", given.body);
    assert_eq!(teacher.post("/children", json!({"full_name": "Inês"})).await.status, 201, "at once");
    assert_eq!(admin.put(path, Some(&before.etag()), json!([])).await.code(), "PRECONDITION_FAILED");
    assert_eq!(tag(&admin, path).await, given.etag());
    let none = admin.put(path, Some(&given.etag()), json!([])).await;
    assert_eq!((none.status, none.data()), (200, &json!([])));
    assert_eq!(teacher.get("/children").await.status, 403);

    refused(&admin.put(path, Some("*"), json!([{"permission": "children:fly", "scope": "own"}])).await, 422, "0.permission", "not_found");
    let twice = json!([{"permission": "children:read", "scope": "own"}, {"permission": "children:read", "scope": "school"}]);
    refused(&admin.put(path, Some("*"), twice).await, 422, "1.permission", "repeated");
    refused(&admin.put(path, Some("*"), json!([{"permission": "children:read", "scope": "all"}])).await, 422, "0.scope", "enum");
    assert_eq!(admin.put("/roles/Nobody/permissions", Some("*"), json!([])).await.status, 404);

    let own = "/roles/SchoolAdmin/permissions";
    for kept in [json!([]), json!([{"permission": "roles:update", "scope": "school"}])] {
        assert_eq!(admin.put(own, Some("*"), kept).await.code(), "CONFLICT");
    }
    let half = json!([{"permission": "roles:update", "scope": "own"}, {"permission": "roles:read", "scope": "school"}]);
    assert_eq!(admin.put(own, Some("*"), half).await.code(), "CONFLICT");
    let least = json!([{"permission": "roles:read", "scope": "school"}, {"permission": "roles:update", "scope": "school"}]);
    assert_eq!(admin.put(own, Some("*"), least).await.status, 200);
    assert_eq!((admin.get("/children").await.status, admin.get("/roles").await.status), (403, 200));
}

#[tokio::test]
async fn a_user_has_more_roles_as_soon_as_they_are_given_and_asks_who_it_is() {
    let (world, _redis) = cached().await;
    let school = world.school("norte").await;
    let (admin, reader) = (school.user("SchoolAdmin").await, school.user("ReadOnly").await);
    let me = reader.get("/me").await;
    assert_eq!(
        (&me.data()["user_id"], &me.data()["role"], &me.data()["school"]["code"]),
        (&json!(reader.user), &json!("ReadOnly"), &json!("norte"))
    );
    assert!(me.data()["permissions"].as_array().unwrap().contains(&json!({"permission": "children:read", "scope": "school"})));
    assert_eq!(reader.get("/roles").await.status, 403);

    let path = format!("/users/{}/roles/SchoolAdmin", reader.user);
    assert_eq!(reader.put(&path, None, json!({})).await.status, 403);
    assert_eq!(admin.put(&path, None, json!({})).await.status, 201);
    assert_eq!(admin.put(&path, None, json!({})).await.status, 200);
    assert_eq!(listed(&admin, &format!("/users/{}/roles", reader.user), "role").await, ["SchoolAdmin"]);
    assert_eq!(admin.get(&path).await.data()["created_by"], json!(admin.user));
    assert_eq!(reader.get("/roles").await.status, 200, "at once");
    assert_eq!(admin.delete(&path, "*").await.status, 204);
    assert_eq!((admin.delete(&path, "*").await.status, admin.get(&path).await.status), (404, 404));
    assert_eq!(reader.get("/roles").await.status, 403, "at once");
    assert_eq!(admin.put(&format!("/users/{}/roles/Nobody", reader.user), None, json!({})).await.status, 404);

    school.sql("DELETE FROM app.role_permissions WHERE role_code = 'HealthStaff'").await;
    let nurse = school.user("HealthStaff").await;
    let me = nurse.get("/me").await;
    assert_eq!((me.status, &me.data()["permissions"]), (200, &json!([])), "who may do nothing may ask that");
}
