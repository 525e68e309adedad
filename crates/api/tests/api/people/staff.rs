//! Staff and their assignments.

use api_testing::world;
use serde_json::json;
use uuid::Uuid;

use super::fixture::{class, listed, made, refused};

#[tokio::test]
async fn staff_are_found_by_name_day_and_class_and_leave_their_classes_with_the_school() {
    let world = world().await;
    let school = world.school("norte").await;
    let (admin, teacher) = (school.user("SchoolAdmin").await, school.user("Teacher").await);
    let sala = class(&admin, "Girassóis", None).await;
    let ana = made(&admin, "/staff", json!({"full_name": "Ana Gonçalves", "starts_on": "2020-09-01"})).await;
    let rui = made(&admin, "/staff", json!({"full_name": "Rui Pó", "starts_on": "2020-09-01", "ends_on": "2021-08-31"})).await;
    assert_eq!(listed(&teacher, "/staff?name=goncalves", "id").await, [ana.clone()]);
    assert_eq!(listed(&teacher, "/staff?on=2021-09-01", "id").await, [ana.clone()]);
    assert_eq!(listed(&teacher, "/staff?on=2021-08-31", "id").await, [ana.clone(), rui.clone()]);
    assert_eq!(teacher.post("/staff", json!({"full_name": "Eu"})).await.status, 403);
    refused(
        &admin.post("/staff", json!({"full_name": "X", "starts_on": "2021-01-02", "ends_on": "2021-01-01"})).await,
        422,
        "ends_on",
        "order",
    );
    refused(&admin.post("/staff", json!({"full_name": "X", "email": "x"})).await, 422, "email", "format");
    refused(&admin.patch(&format!("/staff/{ana}"), "*", json!({"full_name": null})).await, 422, "full_name", "type");

    let place = json!({"staff_id": ana, "class_id": sala, "duty": "lead", "starts_on": "2020-09-01"});
    let led = made(&admin, "/staff-assignments", place).await;
    let next = json!({"staff_id": ana, "class_id": sala, "duty": "support", "starts_on": "2100-01-01"});
    made(&admin, "/staff-assignments", next).await;
    let wrong = json!({"staff_id": ana, "class_id": Uuid::new_v4(), "duty": "lead", "starts_on": "2020-09-01"});
    refused(&admin.post("/staff-assignments", wrong).await, 422, "class_id", "not_found");
    let path = format!("/staff-assignments/{led}");
    assert_eq!(admin.patch(&path, "*", json!({"duty": null})).await.fields()[0], ("duty".into(), "type".into()));
    refused(&admin.patch(&path, "*", json!({"duty": "boss"})).await, 422, "duty", "enum");
    refused(&admin.patch(&path, "*", json!({"staff_id": rui})).await, 422, "staff_id", "unknown");
    assert_eq!(listed(&teacher, &format!("/staff?class_id={sala}"), "id").await, [ana.clone()]);
    assert_eq!(listed(&teacher, &format!("/staff?class_id={sala}&on=2020-08-31"), "id").await, [""; 0]);
    assert_eq!(listed(&teacher, &format!("/staff-assignments?staff_id={ana}"), "duty").await, ["support", "lead"]);

    // The class goes: what has begun ends, what has not is taken back.
    assert_eq!(admin.delete(&format!("/classes/{sala}"), "*").await.status, 204);
    let left = admin.get(&format!("/staff-assignments?staff_id={ana}")).await;
    assert_eq!(left.data().as_array().unwrap().len(), 1);
    assert!(left.data()[0]["ends_on"].is_string(), "{}", left.body);
    assert_eq!(admin.delete(&format!("/staff/{ana}"), "*").await.status, 204);
    assert_eq!(listed(&teacher, "/staff-assignments", "id").await, [""; 0]);
}
