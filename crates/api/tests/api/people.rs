//! A school's people and its own rules, as its users meet them: children's guardians, classes, enrolments, staff, settings, roles.

use serde_json::{Value, json};
use testing::{Redis, Version};
use uuid::Uuid;

use crate::world::{Answer, Client, World, cached_in, usual, world};

/// The one field that a refusal names, and how it is wrong.
fn field(answer: &Answer) -> (String, String) {
    let mut fields = answer.fields();
    assert_eq!(fields.len(), 1, "{}", answer.body);
    fields.remove(0)
}

fn refused(answer: &Answer, status: u16, at: &str, how: &str) {
    assert_eq!((answer.status, field(answer)), (status, (at.to_owned(), how.to_owned())), "{}", answer.body);
}

/// Creates, and gives the id.
async fn made(client: &Client, path: &str, body: Value) -> String {
    let answer = client.post(path, body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.data()["id"].as_str().unwrap().to_owned()
}

async fn child(client: &Client, name: &str) -> String {
    made(client, "/children", json!({ "full_name": name })).await
}

async fn class(client: &Client, name: &str, capacity: Option<i16>) -> String {
    made(client, "/classes", json!({ "name": name, "school_year": 2026, "capacity": capacity })).await
}

/// What `pick` gives of each row of a list.
async fn listed(client: &Client, path: &str, pick: &str) -> Vec<String> {
    let answer = client.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.data().as_array().unwrap().iter().map(|row| row[pick].as_str().unwrap().to_owned()).collect()
}

async fn tag(client: &Client, path: &str) -> String {
    client.get(path).await.etag()
}

/// A world with a cache: what is written must be seen through it.
async fn cached() -> (World, Redis) {
    let redis = Redis::start(&[]).await.unwrap();
    (World::start(Version::V15, cached_in(&redis.url())).await, redis)
}

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

#[tokio::test]
async fn a_class_is_listed_afresh_after_each_change_and_stays_while_children_are_in_it() {
    let (world, _redis) = cached().await;
    let school = world.school("norte").await;
    let admin = school.user("SchoolAdmin").await;
    assert_eq!(listed(&admin, "/classes", "name").await, [""; 0]);
    let sala = class(&admin, "Girassóis", Some(20)).await;
    class(&admin, "Árvores", None).await;
    assert_eq!(listed(&admin, "/classes", "name").await, ["Árvores", "Girassóis"]);
    let path = format!("/classes/{sala}");
    let renamed = admin.patch(&path, &tag(&admin, &path).await, json!({"name": "Água", "capacity": null})).await;
    assert_eq!((renamed.status, &renamed.data()["capacity"]), (200, &Value::Null), "{}", renamed.body);
    assert_eq!(listed(&admin, "/classes", "name").await, ["Água", "Árvores"]);
    assert_eq!(listed(&admin, "/classes?school_year=2025", "name").await, [""; 0]);
    let first = admin.get("/classes?limit=1").await;
    let next = first.body["next"].as_str().unwrap();
    assert_eq!(listed(&admin, &format!("/classes?limit=1&after={next}"), "name").await, ["Árvores"]);

    refused(&admin.post("/classes", json!({"name": "ÁRVORES", "school_year": 2026})).await, 409, "name", "taken");
    refused(&admin.post("/classes", json!({"name": " ", "school_year": 2026})).await, 422, "name", "blank");
    refused(&admin.patch(&path, "*", json!({"school_year": null})).await, 422, "school_year", "type");
    refused(&admin.patch(&path, "*", json!({"min_age_months": 24, "max_age_months": 12})).await, 422, "max_age_months", "order");

    let ines = child(&admin, "Inês").await;
    let stay = made(&admin, "/enrolments", json!({"child_id": ines, "class_id": sala, "starts_on": "2100-01-01"})).await;
    refused(&admin.delete(&path, "*").await, 409, "id", "in_use");
    assert_eq!(admin.delete(&format!("/enrolments/{stay}"), "*").await.status, 204);
    let past = json!({"child_id": ines, "class_id": sala, "starts_on": "2020-01-01", "ends_on": "2020-06-30"});
    let past = made(&admin, "/enrolments", past).await;
    assert_eq!(admin.delete(&path, "*").await.status, 204, "what is over holds nothing");
    assert_eq!(listed(&admin, "/classes", "name").await, ["Árvores"]);
    assert_eq!(listed(&admin, "/enrolments", "id").await, [past]);
    let late = json!({"child_id": ines, "class_id": sala, "starts_on": "2026-01-01"});
    refused(&admin.post("/enrolments", late).await, 422, "class_id", "not_found");
}

#[tokio::test]
async fn a_child_is_in_one_class_at_a_time_and_a_class_holds_no_more_than_its_capacity() {
    let world = World::start(Version::V15, usual).await;
    let school = world.school("norte").await;
    let admin = school.user("SchoolAdmin").await;
    let sala = class(&admin, "Girassóis", Some(2)).await;
    let (a, b, c) = (child(&admin, "Ana").await, child(&admin, "Bia").await, child(&admin, "Caio").await);
    let stay =
        |child: &str, from: &str, until: Option<&str>| json!({"child_id": child, "class_id": sala, "starts_on": from, "ends_on": until});

    let first = made(&admin, "/enrolments", stay(&a, "2026-09-01", Some("2026-12-31"))).await;
    refused(&admin.post("/enrolments", stay(&a, "2026-12-31", None)).await, 409, "starts_on", "overlap");
    refused(&admin.post("/enrolments", stay(&b, "2026-09-02", Some("2026-09-01"))).await, 422, "ends_on", "order");
    refused(&admin.post("/enrolments", stay(&Uuid::new_v4().to_string(), "2026-09-01", None)).await, 422, "child_id", "not_found");
    made(&admin, "/enrolments", stay(&b, "2026-10-01", None)).await;

    // Full from October to December: before and after that there is room for one.
    for (from, until) in
        [("2026-12-31", None), ("2026-08-01", Some("2026-10-01")), ("2026-11-01", Some("2026-11-01")), ("2020-01-01", None)]
    {
        refused(&admin.post("/enrolments", stay(&c, from, until)).await, 409, "class_id", "full");
    }
    let early = made(&admin, "/enrolments", stay(&c, "2026-09-01", Some("2026-09-30"))).await;
    let path = format!("/enrolments/{early}");
    refused(&admin.patch(&path, "*", json!({"ends_on": "2026-10-01"})).await, 409, "class_id", "full");
    refused(&admin.patch(&path, "*", json!({"ends_on": null})).await, 409, "class_id", "full");
    refused(&admin.patch(&path, "*", json!({"class_id": null})).await, 422, "class_id", "type");
    assert_eq!(admin.patch(&path, "*", json!({"starts_on": "2026-08-01"})).await.status, 200);
    made(&admin, "/enrolments", stay(&c, "2027-01-01", None)).await;

    // Fewer places take nobody's away, and yet no day may be added.
    assert_eq!(admin.patch(&format!("/classes/{sala}"), "*", json!({"capacity": 1})).await.status, 200);
    let path = format!("/enrolments/{first}");
    assert_eq!(admin.patch(&path, "*", json!({"ends_on": "2026-12-01"})).await.status, 200);
    refused(&admin.patch(&path, "*", json!({"ends_on": "2026-12-02"})).await, 409, "class_id", "full");
    assert_eq!(admin.delete(&path, "*").await.status, 204);
    assert_eq!(listed(&admin, &format!("/enrolments?class_id={sala}&on=2026-09-15"), "child_id").await, [c.clone()]);
    assert_eq!(listed(&admin, &format!("/enrolments?child_id={c}"), "starts_on").await, ["2027-01-01", "2026-08-01"]);
}

#[tokio::test]
async fn of_many_who_want_the_last_place_one_gets_it() {
    let world = world().await;
    let school = world.school("norte").await;
    let admin = school.user("SchoolAdmin").await;
    let sala = class(&admin, "Girassóis", Some(1)).await;
    let mut children = Vec::new();
    for n in 0..6 {
        children.push(child(&admin, &format!("Criança {n}")).await);
    }
    // A write is slow between its look at the class and its end: all of them would look before the first one ends, if they did not take turns.
    let slow = "CREATE FUNCTION app.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END';
                GRANT EXECUTE ON FUNCTION app.slow() TO PUBLIC;
                CREATE TRIGGER slow BEFORE INSERT ON app.enrolments FOR EACH ROW EXECUTE FUNCTION app.slow()";
    school.sql(slow).await;
    let enrol =
        children.iter().map(|child| admin.post("/enrolments", json!({"child_id": child, "class_id": sala, "starts_on": "2026-09-01"})));
    let answers = futures::future::join_all(enrol).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    answers.iter().filter(|answer| answer.status != 201).for_each(|answer| refused(answer, 409, "class_id", "full"));
}

#[tokio::test]
async fn no_child_is_enrolled_in_a_class_while_that_is_removed() {
    let world = world().await;
    let school = world.school("norte").await;
    let admin = school.user("SchoolAdmin").await;
    for n in 0..8 {
        let (sala, ines) = (class(&admin, &format!("Sala {n}"), None).await, child(&admin, "Inês").await);
        let path = format!("/classes/{sala}");
        let enrol = admin.post("/enrolments", json!({"child_id": ines, "class_id": sala, "starts_on": "2026-09-01"}));
        let (enrolled, removed) = tokio::join!(enrol, admin.delete(&path, "*"));
        match removed.status {
            204 => refused(&enrolled, 422, "class_id", "not_found"),
            _ => assert_eq!((removed.status, enrolled.status), (409, 201), "{} {}", removed.body, enrolled.body),
        }
    }
}

#[tokio::test]
async fn an_enrolment_is_changed_made_and_ended_with_its_child_at_once_and_nobody_waits_for_the_other_in_turn() {
    let world = world().await;
    let school = world.school("norte").await;
    let admin = school.user("SchoolAdmin").await;
    // Slow enough between the rows that each takes for the others to come in between.
    let slow = "CREATE FUNCTION app.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END';
                GRANT EXECUTE ON FUNCTION app.slow() TO PUBLIC;
                CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON app.enrolments FOR EACH ROW EXECUTE FUNCTION app.slow()";
    school.sql(slow).await;
    for n in 0..12 {
        let (sala, ines) = (class(&admin, &format!("Sala {n}"), Some(5)).await, child(&admin, "Inês").await);
        let stay = |from: &str, until: Option<&str>| json!({"child_id": ines, "class_id": sala, "starts_on": from, "ends_on": until});
        let path = format!("/enrolments/{}", made(&admin, "/enrolments", stay("2026-09-01", None)).await);
        let (child, past) = (format!("/children/{ines}"), stay("2020-01-01", Some("2020-06-30")));
        let change = json!({"starts_on": "2026-10-01", "class_id": sala});
        let (changed, removed, made) =
            tokio::join!(admin.patch(&path, "*", change), admin.delete(&child, "*"), admin.post("/enrolments", past));
        assert_eq!(removed.status, 204, "{}", removed.body);
        assert!([200, 404].contains(&changed.status) && [201, 422].contains(&made.status), "{} {}", changed.body, made.body);
    }
}

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

#[tokio::test]
async fn a_setting_keeps_its_meaning_and_is_read_afresh_when_it_is_changed() {
    let (world, _redis) = cached().await;
    let school = world.school("norte").await;
    let (admin, teacher) = (school.user("SchoolAdmin").await, school.user("Teacher").await);
    assert_eq!(listed(&teacher, "/settings", "key").await.len(), 11);
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
