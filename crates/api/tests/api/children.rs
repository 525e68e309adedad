//! Children over HTTP: what is true of every resource, shown on one.

use api_testing::world;
use serde_json::json;

#[tokio::test]
async fn a_child_is_created_read_changed_and_removed() {
    let world = world().await;
    let school = world.school("norte").await;
    let admin = school.user("SchoolAdmin").await;
    let made = admin.post("/children", json!({ "full_name": "Inês Conceição", "birth_date": "2022-03-01" })).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let path = format!("/children/{}", made.id());
    assert_eq!(made.headers["location"], format!("/api/v1{path}"));
    assert_eq!(made.data()["created_by"], json!(admin.user), "the database stamps the request's user");

    let read = admin.get(&path).await;
    assert_eq!((read.status, read.data(), read.etag()), (200, made.data(), made.etag()));
    assert_eq!(admin.header("if-none-match", &read.etag()).get(&path).await.status, 304);

    let changed = admin.patch(&path, &read.etag(), json!({ "preferred_name": "Nê", "birth_date": null })).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!((&changed.data()["preferred_name"], &changed.data()["birth_date"]), (&json!("Nê"), &json!(null)));
    assert_eq!(changed.data()["full_name"], "Inês Conceição", "what is absent stays");

    assert_eq!(admin.patch(&path, &read.etag(), json!({ "notes": "x" })).await.code(), "PRECONDITION_FAILED");
    assert_eq!(admin.send(reqwest::Method::PATCH, &path, Some(json!({}))).await.code(), "PRECONDITION_REQUIRED");
    assert_eq!(admin.delete(&path, &changed.etag()).await.status, 204);
    assert_eq!(admin.get(&path).await.code(), "NOT_FOUND");
    assert_eq!(admin.get("/children").await.data(), &json!([]));
}

#[tokio::test]
async fn names_are_found_without_accents_and_pages_have_neither_gap_nor_repetition() {
    let world = world().await;
    let school = world.school("norte").await;
    let admin = school.user("SchoolAdmin").await;
    for name in ["Inês Conceição", "Ines Costa", "José Inácio", "Álvaro Nunes", "Alvaro Braz"] {
        assert_eq!(admin.post("/children", json!({ "full_name": name })).await.status, 201);
    }
    let names = |answer: &api_testing::Answer| {
        answer.data().as_array().unwrap().iter().map(|child| child["full_name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&admin.get("/children?name=INES").await), ["Inês Conceição", "Ines Costa"]);
    assert_eq!(names(&admin.get("/children?name=conceicao%20in").await), ["Inês Conceição"]);

    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("/children?limit=2{after}")).await;
        all.extend(names(&page));
        match page.body["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(all, ["Alvaro Braz", "Álvaro Nunes", "Inês Conceição", "Ines Costa", "José Inácio"]);
    assert_eq!(admin.get("/children?nam=x").await.code(), "VALIDATION_FAILED");
    assert_eq!(admin.get("/children?after=x").await.code(), "MALFORMED_REQUEST");
}

#[tokio::test]
async fn a_request_that_is_sent_again_with_its_key_is_done_once() {
    let world = world().await;
    let school = world.school("norte").await;
    let admin = school.user("SchoolAdmin").await;
    let body = json!({ "full_name": "Rita" });
    let first = admin.post_keyed("/children", "k-1", body.clone()).await;
    let (again, at_once) =
        tokio::join!(admin.post_keyed("/children", "k-1", body.clone()), admin.post_keyed("/children", "k-1", body.clone()));
    for answer in [&again, &at_once] {
        assert_eq!((answer.status, answer.id(), answer.etag()), (201, first.id(), first.etag()), "{}", answer.body);
    }
    assert_eq!(admin.post_keyed("/children", "k-1", json!({ "full_name": "Rui" })).await.code(), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(school.scalar::<i64>("SELECT count(*) FROM app.children").await, 1);
}

#[tokio::test]
async fn the_answer_to_a_key_is_kept_for_its_day_and_goes_with_the_next_key_of_anybody() {
    let world = world().await;
    let school = world.school("norte").await;
    let (admin, other) = (school.user("SchoolAdmin").await, school.user("SchoolAdmin").await);
    let body = json!({ "full_name": "Rita" });
    let first = admin.post_keyed("/children", "k-1", body.clone()).await;
    assert_eq!(admin.post_keyed("/children", "k-2", body.clone()).await.status, 201);
    school.sql("UPDATE app.idempotency_keys SET expires_at = now() - interval '1 second'").await;
    let later = admin.post_keyed("/children", "k-1", body.clone()).await;
    assert_eq!(later.status, 201, "{}", later.body);
    assert_ne!(later.id(), first.id(), "a key that has had its day is new");
    assert_eq!(school.scalar::<Vec<String>>("SELECT array_agg(key) FROM app.idempotency_keys").await, ["k-1"]);
    school.sql("UPDATE app.idempotency_keys SET expires_at = now() - interval '1 second'").await;
    assert_eq!(other.post_keyed("/children", "k-3", body).await.status, 201);
    assert_eq!(school.scalar::<Vec<String>>("SELECT array_agg(key) FROM app.idempotency_keys").await, ["k-3"]);
}

#[tokio::test]
async fn an_id_has_one_spelling_so_that_no_request_for_a_child_is_missing_from_its_audit() {
    let world = world().await;
    let school = world.school("norte").await;
    let (admin, reader) = (school.user("SchoolAdmin").await, school.user("ReadOnly").await);
    let child = admin.post("/children", json!({ "full_name": "Inês" })).await.id();
    let guardian = admin.post("/guardians", json!({ "full_name": "Rita" })).await.id();
    assert_eq!(admin.put(&format!("/children/{child}/guardians/{guardian}"), None, json!({ "relation": "mother" })).await.status, 201);
    let (start, rest) = child.split_at(1);
    let encoded = format!("%{:02X}{rest}", start.as_bytes()[0]);
    for other in [child.to_uppercase(), child.replace('-', ""), format!("%7B{child}%7D"), format!("urn:uuid:{child}"), encoded] {
        if other == child {
            continue;
        }
        let paths = ["", "/guardians", "/daily-report", "/export", &format!("/guardians/{guardian}")]
            .map(|rest| format!("/children/{other}{rest}"));
        for path in paths.into_iter().chain([format!("/users/{other}/roles"), format!("/users/{other}/roles/Teacher")]) {
            assert_eq!(admin.get(&path).await.code(), "NOT_FOUND", "{path}");
        }
    }
    assert_eq!(admin.get("/roles/%54eacher/permissions").await.code(), "NOT_FOUND");
    assert_eq!(reader.get(&format!("/children/{child}")).await.status, 200);
    assert_eq!(admin.get(&format!("/children/{child}/guardians/{guardian}")).await.status, 200);
}

#[tokio::test]
async fn every_wrong_field_is_named_in_the_requests_language() {
    let world = world().await;
    let admin = world.school("norte").await.user("SchoolAdmin").await;
    let wrong = json!({ "full_name": " ", "nationality": "pt", "height": 3 });
    let answer = admin.header("accept-language", "en").post("/children", wrong.clone()).await;
    assert_eq!(answer.code(), "VALIDATION_FAILED");
    let mut fields = answer.fields();
    fields.sort();
    assert_eq!(
        fields,
        [("full_name", "blank"), ("height", "unknown"), ("nationality", "format")].map(|(f, c)| (f.to_owned(), c.to_owned()))
    );
    let portuguese = admin.post("/children", wrong).await;
    assert_ne!(portuguese.body["error"]["message"], answer.body["error"]["message"]);
}

#[tokio::test]
async fn what_one_school_writes_no_other_sees() {
    let world = world().await;
    let (north, south) = (world.school("norte").await, world.school("sul").await);
    let (ana, rui) = (north.user("SchoolAdmin").await, south.user("SchoolAdmin").await);
    let child = ana.post("/children", json!({ "full_name": "Child from Tenant 1" })).await;
    assert_eq!(rui.get("/children").await.data(), &json!([]), "the seed's own test");
    assert_eq!(rui.get(&format!("/children/{}", child.id())).await.code(), "NOT_FOUND");
    for named in [north.id().to_string(), "norte".into()] {
        assert_eq!(rui.header("x-tenant-id", &named).get("/children").await.code(), "TENANT_MISMATCH");
        assert_eq!(ana.header("x-tenant-id", &named).get("/children").await.status, 200);
    }
}

#[tokio::test]
async fn a_guardian_sees_its_own_children_and_a_reader_changes_nothing() {
    let world = world().await;
    let school = world.school("norte").await;
    let (admin, guardian, reader) = (school.user("SchoolAdmin").await, school.user("Guardian").await, school.user("ReadOnly").await);
    let (own, other) =
        (admin.post("/children", json!({ "full_name": "Own" })).await, admin.post("/children", json!({ "full_name": "Other" })).await);
    school
        .sql(&format!(
            "WITH g AS (INSERT INTO app.guardians (full_name, user_id) VALUES ('Mãe', '{}') RETURNING id)
             INSERT INTO app.child_guardians (child_id, guardian_id, relation) SELECT '{}', id, 'mother' FROM g",
            guardian.user,
            own.id()
        ))
        .await;
    assert_eq!(guardian.get("/children").await.data()[0]["id"], own.data()["id"]);
    assert_eq!(guardian.get("/children").await.data().as_array().unwrap().len(), 1);
    assert_eq!(guardian.get(&format!("/children/{}", other.id())).await.code(), "NOT_FOUND");
    assert_eq!(guardian.post("/children", json!({ "full_name": "X" })).await.code(), "FORBIDDEN");
    assert_eq!(reader.get("/children").await.data().as_array().unwrap().len(), 2);
    assert_eq!(reader.delete(&format!("/children/{}", own.id()), "*").await.code(), "FORBIDDEN");
}
