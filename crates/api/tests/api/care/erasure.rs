//! The erasure of a child or a guardian, and of the answers that are kept for idempotency keys.

use serde_json::json;
use testing::until;

use super::nursery::{NOON, Nursery, created, refused, texts};

#[tokio::test]
async fn a_child_is_erased_only_once_it_was_removed_and_leaves_counts() {
    let nursery = Nursery::open().await;
    let child = &nursery.children[0];
    let (mother, guardian) = nursery.guardian().await;
    nursery.medication(&guardian).await;
    // A member of the staff whose child it is too goes on signing in.
    let (teacher, _) = nursery.staff("Teacher").await;
    let father = format!(
        "INSERT INTO app.guardians (full_name, user_id) VALUES ('Paulo', '{}');
         INSERT INTO app.child_guardians (child_id, guardian_id, relation) SELECT '{child}', id, 'father' FROM app.guardians WHERE full_name = 'Paulo'",
        teacher.user
    );
    nursery.school.sql(&father).await;
    let note = json!({"child_id": child, "kind": "observation", "notes": "x", "started_at": NOON});
    created(nursery.admin.post_keyed("/activities", "note-1", note).await);
    let (path, reason) = (format!("/children/{child}/erasure"), json!({"reason": "Pedido do encarregado"}));
    let early = nursery.admin.post(&path, reason.clone()).await;
    assert_eq!(early.code(), "CONFLICT");
    refused(&early, 409, &[("id", "not_removed")]);
    assert_eq!(nursery.admin.delete(&format!("/children/{child}"), "*").await.status, 204);
    refused(&nursery.admin.post(&path, json!({"reason": " "})).await, 422, &[("reason", "blank")]);
    assert_eq!(nursery.school.user("HealthStaff").await.post(&path, reason.clone()).await.status, 403);
    let mut erased = created(nursery.admin.post_keyed(&path, "erase-1", reason.clone()).await);
    let counts = &erased["erased"];
    assert_eq!(["children", "activities", "medications", "guardians"].map(|table| &counts[table]), [1, 1, 1, 2]);
    assert_eq!(erased["accounts_left"], json!([mother.user]));
    assert_eq!(created(nursery.admin.post_keyed(&path, "erase-1", reason.clone()).await), erased);
    assert_eq!(nursery.admin.post(&path, reason).await.status, 404);
    assert_eq!(nursery.admin.get(&format!("/children/{child}/export")).await.status, 404);
    erased.as_object_mut().unwrap().remove("accounts_left");
    let listed = nursery.admin.get(&format!("/erasures?child_id={child}")).await;
    assert_eq!(listed.data(), &json!([erased]));
    assert_eq!(nursery.school.user("Teacher").await.get("/erasures").await.status, 403);
    let kept = "DO $$ BEGIN ASSERT NOT EXISTS (SELECT FROM app.idempotency_keys WHERE key = 'note-1'); END $$";
    nursery.school.sql(kept).await;
}

#[tokio::test]
async fn an_erased_guardian_is_in_no_answer_that_is_kept_and_one_of_another_child_still_is() {
    let nursery = Nursery::open().await;
    let mut ids = Vec::new();
    for (key, name) in [("erased", "Marta"), ("kept", "Paulo")] {
        let adult = json!({"full_name": name, "tax_number": "123456789", "address": "Rua das Flores"});
        let id = created(nursery.admin.post_keyed("/guardians", key, adult).await)["id"].as_str().unwrap().to_owned();
        let path = format!("/children/{}/guardians/{id}", nursery.children[0]);
        assert_eq!(nursery.admin.put(&path, None, json!({"relation": "other"})).await.status, 201);
        ids.push(id);
    }
    let sibling = format!("/children/{}/guardians/{}", nursery.children[1], ids[1]);
    assert_eq!(nursery.admin.put(&sibling, None, json!({"relation": "other"})).await.status, 201);
    let child = format!("/children/{}", nursery.children[0]);
    assert_eq!(nursery.admin.delete(&child, "*").await.status, 204);
    created(nursery.admin.post(&format!("{child}/erasure"), json!({"reason": "Fim"})).await);
    let kept: Vec<String> = nursery.school.scalar("SELECT array_agg(key) FROM app.idempotency_keys").await;
    assert_eq!(kept, ["kept"]);
}

#[tokio::test]
async fn kept_answers_that_have_had_their_day_go_without_another_keyed_post() {
    let nursery = Nursery::open().await;
    let expired = "INSERT INTO app.idempotency_keys (user_id, key, route, request_hash, status, response, expires_at)
                   SELECT gen_random_uuid(), 'k', 'POST /guardians', sha256('x'), 201, '{}', now() - interval '1 minute' FROM generate_series(1, 250);
                   INSERT INTO app.idempotency_keys (user_id, key, route, request_hash, status, response)
                   VALUES (gen_random_uuid(), 'k', 'POST /guardians', sha256('x'), 201, '{}')";
    nursery.school.sql(expired).await;
    // The first request of the day that the audit is told of.
    assert_eq!(nursery.admin.get("/children").await.status, 200);
    let kept = "SELECT count(*) FROM app.idempotency_keys";
    until("the sweep", async || nursery.school.scalar::<i64>(kept).await == 1).await;
}

#[tokio::test]
async fn erasures_are_paged_newest_first() {
    let nursery = Nursery::open().await;
    for child in &nursery.children {
        nursery.admin.delete(&format!("/children/{child}"), "*").await;
        created(nursery.admin.post(&format!("/children/{child}/erasure"), json!({"reason": "Fim"})).await);
    }
    let first = nursery.admin.get("/erasures?limit=2").await;
    let second = nursery.admin.get(&format!("/erasures?limit=2&after={}", first.body["next"].as_str().unwrap())).await;
    let found: Vec<_> = texts(first.data(), "child_id").into_iter().chain(texts(second.data(), "child_id")).collect();
    assert_eq!(found, nursery.children.iter().rev().collect::<Vec<_>>());
    assert_eq!(nursery.admin.get("/erasures?after=W10").await.code(), "MALFORMED_REQUEST");
}
