//! What the school's own audit names, and who reads it.

use serde_json::{Value, json};

use super::nursery::{Nursery, length};

#[tokio::test]
async fn the_audit_names_writes_and_is_read_by_those_who_may() {
    let nursery = Nursery::open().await;
    let child = &nursery.children[0];
    for notes in ["um", "dois", "três"] {
        assert_eq!(nursery.admin.patch(&format!("/children/{child}"), "*", json!({"notes": notes})).await.status, 200);
    }
    let (user, of) = (nursery.admin.user, format!("action=children:update&resource=/api/v1/children/{child}"));
    let first = nursery.admin.get(&format!("/audit?{of}&user_id={user}&success=true&limit=2")).await;
    assert_eq!((length(first.data()), first.data()[0]["action"].as_str()), (2, Some("children:update")));
    let next = first.body["next"].as_str().unwrap();
    let second = nursery.admin.get(&format!("/audit?{of}&user_id={user}&success=true&limit=2&after={next}")).await;
    assert_eq!((length(second.data()), &second.body["next"]), (1, &Value::Null));
    assert_eq!(length(nursery.admin.get(&format!("/audit?{of}&until=2000-01-01T00:00:00Z")).await.data()), 0);
    for nobody in ["Teacher", "HealthStaff", "Guardian", "ReadOnly"] {
        assert_eq!(nursery.school.user(nobody).await.get("/audit").await.status, 403, "{nobody}");
    }
}
