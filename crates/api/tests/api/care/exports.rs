//! The export of everything about one child.

use api_testing::Client;
use serde_json::{Value, json};
use testing::until;
use uuid::Uuid;

use super::nursery::{NOON, Nursery, created, length, refused};

#[tokio::test]
async fn an_export_holds_everything_about_one_child_and_nothing_about_another() {
    let nursery = Nursery::open().await;
    let (guardian, id) = nursery.guardian().await;
    nursery.medication(&id).await;
    let (child, other) = (&nursery.children[0], &nursery.children[1]);
    let father = format!(
        "INSERT INTO app.guardians (full_name, address) VALUES ('Paulo', 'Morada reservada');
         INSERT INTO app.child_guardians (child_id, guardian_id, relation) SELECT '{child}', id, 'father' FROM app.guardians WHERE full_name = 'Paulo'"
    );
    nursery.school.sql(&father).await;
    for (child, notes, visible) in [(child, "nota visível", true), (child, "nota interna", false), (other, "nota alheia", true)] {
        let note = json!({"child_id": child, "kind": "observation", "notes": notes, "started_at": NOON, "visible_to_guardians": visible});
        nursery.record(note).await;
    }
    let path = format!("/children/{child}/export");
    let answer = nursery.admin.get(&path).await;
    let text = answer.body.to_string();
    assert!(
        ["nota visível", "nota interna", "Paracetamol", "Morada reservada", "912000001", "Girassóis"]
            .iter()
            .all(|kept| text.contains(kept))
    );
    assert!(!text.contains("nota alheia") && !text.contains(other.as_str()));
    assert_eq!(length(&answer.data()["guardians"]), 2);
    assert_eq!(answer.data()["enrolments"][0]["class_name"], "Girassóis");

    let own = guardian.get(&path).await;
    let text = own.body.to_string();
    assert!(["nota visível", "Paracetamol", "Paulo", "912000001"].iter().all(|kept| text.contains(kept)));
    assert!(!text.contains("nota interna") && !text.contains("Morada reservada"));
    assert_eq!(guardian.get(&format!("/children/{other}/export")).await.status, 404);
    assert_eq!(nursery.school.user("Teacher").await.get(&path).await.status, 403);

    // A child that was removed is still kept, and so are rows that were.
    nursery
        .school
        .sql(&format!("UPDATE app.children SET deleted_at = now() WHERE id = '{child}'; UPDATE app.activities SET deleted_at = now()"))
        .await;
    let removed = nursery.admin.get(&path).await;
    assert!(removed.data()["child"]["deleted_at"].is_string() && removed.data()["activities"][0]["deleted_at"].is_string());
    assert_eq!(guardian.get(&path).await.status, 404);
}

#[tokio::test]
async fn an_export_holds_what_the_caller_may_read_and_names_what_it_leaves_out() {
    let nursery = Nursery::open().await;
    let (guardian, id) = nursery.guardian().await;
    nursery.medication(&id).await;
    let child = &nursery.children[0];
    let fall = json!({"child_id": child, "occurred_at": NOON, "kind": "fall", "severity": "minor", "description": "caiu do escorrega"});
    created(nursery.admin.post("/incidents", fall).await);
    let path = format!("/children/{child}/export");
    let whole = guardian.get(&path).await;
    let fields = ["children.address", "children.notes"];
    assert_eq!((&whole.data()["withheld"], length(&whole.data()["incidents"])), (&json!(fields), 1));

    let withdraw = "DELETE FROM app.role_permissions WHERE role_code = 'Guardian' AND permission_code IN ('incidents:read', 'health:read');
                    UPDATE app.role_permissions SET scope = 'own' WHERE role_code = 'SchoolAdmin' AND permission_code = 'guardians:read'";
    nursery.school.sql(withdraw).await;
    // Permissions are remembered by user: these ones have not asked yet.
    let other = nursery.school.user("Guardian").await;
    nursery.school.sql(&format!("UPDATE app.guardians SET user_id = '{}' WHERE id = '{id}'", other.user)).await;
    let less = other.get(&path).await;
    let text = less.body.to_string();
    assert!(!text.contains("caiu do escorrega") && !text.contains("Paracetamol") && text.contains("Marta"), "{text}");
    let health = ["allergies", "medications", "medication_administrations", "vaccinations"];
    assert_eq!(less.data()["withheld"], json!([&fields[..], &health[..], &["incidents"]].concat()));
    let school = nursery.school.user("SchoolAdmin").await.get(&path).await;
    assert_eq!((&school.data()["withheld"], school.data().get("guardians")), (&json!(["guardians"]), None));
    assert_eq!(length(&school.data()["incidents"]), 1);
}

#[tokio::test]
async fn an_export_tells_a_guardian_of_its_own_account_alone() {
    let nursery = Nursery::open().await;
    let (mother, _) = nursery.guardian().await;
    let (child, father) = (&nursery.children[0], nursery.school.user("Guardian").await);
    let link = format!(
        "INSERT INTO app.guardians (full_name, user_id) VALUES ('Paulo', '{}');
         INSERT INTO app.child_guardians (child_id, guardian_id, relation) SELECT '{child}', id, 'father' FROM app.guardians WHERE full_name = 'Paulo'",
        father.user
    );
    nursery.school.sql(&link).await;
    let accesses = async |client: &Client| client.get(&format!("/children/{child}/export")).await.data()["accesses"].clone();
    for parent in [&father, &mother] {
        assert_eq!(parent.get(&format!("/children/{child}")).await.status, 200);
    }
    // Reads are written a moment later.
    let who = |list: &Value, user: Uuid| list.as_array().unwrap().iter().any(|access| access["user_id"] == json!(user));
    until("both are told of", async || {
        let all = accesses(&nursery.admin).await;
        who(&all, father.user) && who(&all, mother.user)
    })
    .await;
    let own = accesses(&mother).await;
    assert!(who(&own, mother.user) && !own.to_string().contains(&father.user.to_string()), "{own}");
    assert!(own.as_array().unwrap().iter().any(|access| access["user_id"].is_null()), "that somebody asked is not withheld");
}

#[tokio::test]
async fn an_export_says_who_asked_for_the_child() {
    let nursery = Nursery::open().await;
    let child = &nursery.children[0];
    nursery.admin.patch(&format!("/children/{child}"), "*", json!({"notes": "visto"})).await;
    let answer = nursery.admin.get(&format!("/children/{child}/export")).await;
    let accesses = answer.data()["accesses"].as_array().unwrap();
    let user = json!(nursery.admin.user);
    assert!(accesses.iter().any(|access| access["action"] == "children:update" && access["user_id"] == user), "{accesses:?}");
}

#[tokio::test]
async fn an_export_says_who_asked_for_a_record_about_the_child_and_for_none_about_another() {
    let nursery = Nursery::open().await;
    let (nurse, _) = nursery.staff("HealthStaff").await;
    let mut ids = Vec::new();
    for child in &nursery.children[..2] {
        let allergy = json!({"child_id": child, "allergen": "Noz", "kind": "food", "severity": "severe"});
        ids.push(created(nursery.admin.post("/allergies", allergy).await)["id"].as_str().unwrap().to_owned());
        assert_eq!(nurse.get(&format!("/allergies/{}", ids[ids.len() - 1])).await.status, 200);
    }
    let lists = |list: &Value, id: &str| {
        let path = json!(format!("/api/v1/allergies/{id}"));
        list.as_array().unwrap().iter().any(|access| access["resource"] == path && access["user_id"] == json!(nurse.user))
    };
    let accesses = async |child: &str| nursery.admin.get(&format!("/children/{child}/export")).await.data()["accesses"].clone();
    // The last one is written last: with it the first one is.
    until("the last one is listed", async || lists(&accesses(&nursery.children[1]).await, &ids[1])).await;
    let of_first = accesses(&nursery.children[0]).await;
    assert!(lists(&of_first, &ids[0]) && !lists(&of_first, &ids[1]), "{of_first}");
}

#[tokio::test]
async fn whoever_narrows_a_list_to_a_child_or_makes_a_record_about_it_leaves_a_trace_of_the_child() {
    let nursery = Nursery::open().await;
    let (nurse, _) = nursery.staff("HealthStaff").await;
    let [child, other, _] = &nursery.children[..] else { panic!("three children") };
    for list in
        ["allergies", "medications", "medication-administrations", "vaccinations", "incidents", "activities", "enrolments", "guardians"]
    {
        assert_eq!(nurse.get(&format!("/{list}?limit=5&child_id={child}")).await.status, 200, "{list}");
    }
    assert_eq!(nurse.get(&format!("/allergies?child_id={child}&allergen=canary")).await.status, 422);
    created(nurse.post("/allergies", json!({"child_id": child, "allergen": "Noz", "kind": "food", "severity": "severe"})).await);
    // The last one is written last.
    assert_eq!(nurse.get(&format!("/allergies?child_id={other}")).await.status, 200);
    let resources = async || {
        let found = nursery.admin.get(&format!("/audit?limit=200&user_id={}", nurse.user)).await;
        let records = found.data().as_array().unwrap().clone();
        records.into_iter().map(|record| format!("{} {}", record["resource"].as_str().unwrap(), record["success"])).collect::<Vec<_>>()
    };
    until("the reads are recorded", async || resources().await.contains(&format!("/api/v1/allergies?child_id={other} true"))).await;
    let recorded = resources().await;
    for list in
        ["allergies", "medications", "medication-administrations", "vaccinations", "incidents", "activities", "enrolments", "guardians"]
    {
        assert!(recorded.contains(&format!("/api/v1/{list}?child_id={child} true")), "{list}: {recorded:#?}");
    }
    assert!(recorded.contains(&format!("/api/v1/allergies?child_id={child} false")));
    assert!(!recorded.iter().any(|resource| resource.contains("canary") || resource.contains("limit")), "{recorded:#?}");

    let export = nursery.admin.get(&format!("/children/{child}/export")).await;
    let accesses = export.data()["accesses"].as_array().unwrap();
    let listed = |resource: &str, action: &str| {
        accesses.iter().any(|access| access["resource"] == resource && access["action"] == action && access["user_id"] == json!(nurse.user))
    };
    let allergies = format!("/api/v1/allergies?child_id={child}");
    assert!(listed(&allergies, "health:read") && listed(&allergies, "health:create"), "{accesses:#?}");
    assert!(!export.body.to_string().contains(other.as_str()), "another child's");
}

#[tokio::test]
async fn an_export_that_is_too_large_for_one_document_says_what_to_do() {
    let nursery = Nursery::open().await;
    let child = &nursery.children[0];
    let much = format!(
        "INSERT INTO app.activities (child_id, kind, notes, started_at)
         SELECT '{child}', 'observation', repeat('x', 4000), now() - n * interval '1 minute' FROM generate_series(1, 16000) n"
    );
    nursery.school.sql(&much).await;
    let answer = nursery.admin.header("accept-language", "en").get(&format!("/children/{child}/export")).await;
    refused(&answer, 409, &[("id", "too_large")]);
    assert!(answer.body["error"]["fields"][0]["message"].as_str().unwrap().contains("from their lists"), "{}", answer.body);
}
