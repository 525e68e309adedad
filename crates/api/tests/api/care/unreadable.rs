//! What a school's database may hold and this program could not read, or what its server does not know any more: nobody's list is spoilt by it.

use api_testing::Answer;
use serde_json::{Value, json};
use uuid::Uuid;

use super::nursery::{DAY, NOON, Nursery};

/// As in a school whose rows are older than the constraints.
const NO_BOUNDS: &str = "
    DO $$ DECLARE bound record; BEGIN
        FOR bound IN SELECT conrelid::regclass AS relation, conname FROM pg_constraint
            WHERE connamespace = 'app'::regnamespace AND contype = 'c' AND conname ~ '_(range|order)$' AND NOT conislocal IS FALSE AND coninhcount = 0
        LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', bound.relation, bound.conname); END LOOP;
    END $$;";

fn row<'a>(answer: &'a Answer, id: &str) -> &'a Value {
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.data().as_array().unwrap().iter().find(|row| row["id"] == id || row["guardian_id"] == id).unwrap()
}

#[tokio::test]
async fn a_date_without_end_is_read_as_no_end_and_no_other_row_is_lost() {
    let nursery = Nursery::open().await;
    let (_, guardian) = nursery.guardian().await;
    let medication = nursery.medication(&guardian).await;
    let (_, staff) = nursery.staff("Teacher").await;
    let other = nursery.record(json!({"child_id": nursery.children[0], "kind": "nappy", "nappy": "wet", "started_at": NOON})).await;
    let (child, [late, early]) = (&nursery.children[0], [Uuid::new_v4(), Uuid::new_v4()]);
    nursery.school.sql(NO_BOUNDS).await;
    nursery
        .school
        .sql(&format!(
            "UPDATE app.enrolments SET ends_on = 'infinity' WHERE child_id = '{child}';
             UPDATE app.child_guardians SET may_pick_up = true, pick_up_until = 'infinity';
             UPDATE app.medications SET authorised_until = 'infinity', authorised_from = '-infinity';
             UPDATE app.staff SET ends_on = 'infinity', starts_on = '5000000-01-01';
             INSERT INTO app.activities (id, child_id, kind, nappy, started_at) VALUES ('{late}', '{child}', 'nappy', 'wet', 'infinity'),
                 ('{early}', '{child}', 'nappy', 'wet', '0044-03-15 12:00:00 BC')"
        ))
        .await;
    let get = async |path: String| {
        let answer = nursery.admin.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer
    };
    let enrolments = get("/enrolments".into()).await;
    assert_eq!(enrolments.data().as_array().unwrap().len(), 3);
    assert!(enrolments.data().as_array().unwrap().iter().all(|enrolment| enrolment["ends_on"].is_null()));
    assert_eq!(row(&get(format!("/children/{child}/guardians")).await, &guardian)["pick_up_until"], Value::Null);
    let medications = get("/medications".into()).await;
    let of = row(&medications, medication["id"].as_str().unwrap());
    assert_eq!((&of["authorised_from"], &of["authorised_until"]), (&json!("0001-01-01"), &Value::Null));
    let members = get("/staff".into()).await;
    assert_eq!((&row(&members, &staff)["starts_on"], &row(&members, &staff)["ends_on"]), (&json!("9999-12-31"), &Value::Null));
    let activities = get("/activities".into()).await;
    assert_eq!(row(&activities, other["id"].as_str().unwrap()), &other);
    assert_eq!(row(&activities, &late.to_string())["started_at"], "9999-12-31T23:59:59Z");
    assert_eq!(row(&activities, &early.to_string())["started_at"], "0001-01-01T00:00:00Z");
    let (mut pages, mut after) = (0, String::new());
    loop {
        let page = get(format!("/activities?limit=1{after}")).await;
        pages += 1;
        let Some(next) = page.body["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(pages, 3);
    get(format!("/activities/{late}")).await;
    get(format!("/children/{child}/daily-report?date={DAY}")).await;
    get(format!("/children/{child}/export")).await;
}

#[tokio::test]
async fn in_a_time_zone_that_the_server_does_not_know_the_day_goes_on_and_the_settings_say_so() {
    let nursery = Nursery::open().await;
    nursery.school.sql("UPDATE app.settings SET value = '\"Portugal/Gone\"' WHERE key = 'school.time_zone'").await;
    let child = &nursery.children[0];
    // Half past midnight in Lisbon is the day before in UTC.
    let early = json!({"child_id": child, "kind": "nappy", "nappy": "wet", "started_at": "2026-05-03T23:30:00Z"});
    assert_eq!(nursery.record(early).await["class_id"], json!(nursery.class));
    let report = nursery.admin.get(&format!("/children/{child}/daily-report?date={DAY}")).await;
    assert_eq!((report.status, report.data()["nappies"].as_array().unwrap().len()), (200, 1), "{}", report.body);
    assert_eq!(nursery.admin.get(&format!("/children?class_id={}", nursery.class)).await.status, 200);

    let path = "/settings/school.time_zone";
    let setting = nursery.admin.get(path).await;
    assert_eq!((&setting.data()["value"], &setting.data()["fallback"]), (&json!("Portugal/Gone"), &json!("Europe/Lisbon")));
    let all = nursery.admin.get("/settings").await;
    assert_eq!(all.data().as_array().unwrap().iter().filter(|setting| !setting["fallback"].is_null()).count(), 1);
    let chosen = nursery.admin.put(path, Some(&setting.etag()), json!({"value": "Portugal"})).await;
    assert_eq!(
        (chosen.status, &chosen.data()["value"], chosen.data().get("fallback")),
        (200, &json!("Europe/Lisbon"), None),
        "{}",
        chosen.body
    );
    assert_eq!(
        nursery.admin.put(path, Some("*"), json!({"value": "Portugal/Gone"})).await.fields(),
        [("value".to_owned(), "time_zone".to_owned())]
    );
    assert_eq!(nursery.admin.delete(&format!("/children/{child}"), "*").await.status, 204);
}
