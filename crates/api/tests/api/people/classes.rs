//! Classes and enrolments, also when many write at once.

use api_testing::{World, usual, world};
use serde_json::{Value, json};
use testing::Version;
use uuid::Uuid;

use super::fixture::{cached, child, class, listed, made, refused, tag};

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
async fn an_enrolment_is_changed_made_and_ended_at_once_and_nobody_deadlocks() {
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
