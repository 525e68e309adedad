//! The care of children: activities, health records, incidents, the daily report, and what the RGPD asks for.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::until::until;
use crate::world::{Answer, Client, School, world};

/// A Monday in Lisbon, which is an hour ahead of UTC.
const DAY: &str = "2026-05-04";
const NOON: &str = "2026-05-04T12:00:00+01:00";

/// A child with a class of that day, as an administrator made them.
struct Nursery {
    school: School,
    admin: Client,
    class: String,
    /// By name: Ana, Bruno, Carla.
    children: Vec<String>,
}

impl Nursery {
    async fn open() -> Self {
        let school = world().await.school("norte").await;
        let admin = school.user("SchoolAdmin").await;
        let (class, children) = (Uuid::new_v4(), [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()]);
        let names = ["Ana", "Bruno", "Carla"];
        let mut sql = format!("INSERT INTO app.classes (id, name, school_year) VALUES ('{class}', 'Girassóis', 2025);");
        for (child, name) in children.iter().zip(names) {
            sql += &format!(
                "INSERT INTO app.children (id, full_name) VALUES ('{child}', '{name}');
                 INSERT INTO app.enrolments (child_id, class_id, starts_on) VALUES ('{child}', '{class}', '2025-09-01');"
            );
        }
        school.sql(&sql).await;
        Self { school, admin, class: class.to_string(), children: children.map(|child| child.to_string()).into() }
    }

    /// Somebody who works there.
    async fn staff(&self, role: &str) -> (Client, String) {
        let (client, staff) = (self.school.user(role).await, Uuid::new_v4());
        let user = client.user;
        self.school.sql(&format!("INSERT INTO app.staff (id, full_name, user_id) VALUES ('{staff}', 'Rui', '{user}')")).await;
        (client, staff.to_string())
    }

    /// A guardian of the first child.
    async fn guardian(&self) -> (Client, String) {
        let (client, guardian, child) = (self.school.user("Guardian").await, Uuid::new_v4(), &self.children[0]);
        let user = client.user;
        let sql = format!(
            "INSERT INTO app.guardians (id, full_name, phone_number, user_id) VALUES ('{guardian}', 'Marta', '912000001', '{user}');
             INSERT INTO app.child_guardians (child_id, guardian_id, relation) VALUES ('{child}', '{guardian}', 'mother')"
        );
        self.school.sql(&sql).await;
        (client, guardian.to_string())
    }

    /// A medicine of the first child, authorised for that day.
    async fn medication(&self, guardian: &str) -> Value {
        let medication = json!({"child_id": self.children[0], "name": "Paracetamol", "dose": "5 ml", "route": "oral", "times_of_day": ["12:30"],
            "authorised_by": guardian, "authorised_from": DAY, "authorised_until": DAY});
        created(self.admin.post("/medications", medication).await)
    }

    async fn record(&self, activity: Value) -> Value {
        created(self.admin.post("/activities", activity).await)
    }
}

fn created(answer: Answer) -> Value {
    assert_eq!(answer.status, 201, "{} {:?}", answer.body, answer.fields());
    answer.data().clone()
}

fn refused(answer: &Answer, status: u16, fields: &[(&str, &str)]) {
    let expected: Vec<_> = fields.iter().map(|(field, code)| ((*field).to_owned(), (*code).to_owned())).collect();
    assert_eq!((answer.status, answer.fields()), (status, expected), "{}", answer.body);
}

fn texts<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|one| one[field].as_str().unwrap()).collect()
}

fn length(list: &Value) -> usize {
    list.as_array().unwrap().len()
}

#[tokio::test]
async fn an_activity_knows_the_class_of_its_day_and_is_found_by_it() {
    let nursery = Nursery::open().await;
    let child = &nursery.children[0];
    let meal = nursery.record(json!({"child_id": child, "kind": "meal", "meal": "lunch", "meal_eaten": "most", "started_at": NOON})).await;
    assert_eq!((&meal["class_id"], &meal["visible_to_guardians"]), (&json!(nursery.class), &json!(true)));
    let early = json!({"child_id": child, "kind": "nappy", "nappy": "wet", "started_at": "2025-08-31T10:00:00Z"});
    assert_eq!(nursery.record(early).await["class_id"], Value::Null);
    // Half past midnight in Lisbon is the day before in UTC.
    nursery.record(json!({"child_id": child, "kind": "nap", "nap_quality": "calm", "started_at": "2026-05-03T23:30:00Z"})).await;
    let class = &nursery.class;
    for (query, kinds) in [
        (format!("day={DAY}"), &["meal", "nap"][..]),
        (format!("day={DAY}&kind=nap"), &["nap"]),
        (format!("class_id={class}&from=2026-05-04T00:00:00Z"), &["meal"]),
        ("until=2026-05-04T00:00:00Z".to_owned(), &["nap", "nappy"]),
        (format!("child_id={}", nursery.children[1]), &[]),
    ] {
        let found = nursery.admin.get(&format!("/activities?{query}")).await;
        assert_eq!(texts(found.data(), "kind"), kinds, "{query}");
    }
    let first = nursery.admin.get("/activities?limit=2").await;
    let next = first.body["next"].as_str().unwrap();
    let second = nursery.admin.get(&format!("/activities?limit=2&after={next}")).await;
    assert_eq!((texts(second.data(), "kind"), &second.body["next"]), (vec!["nappy"], &Value::Null));
}

#[tokio::test]
async fn what_contradicts_an_activitys_kind_is_named() {
    let nursery = Nursery::open().await;
    let of = |fields: Value| {
        let mut activity = json!({"child_id": nursery.children[0], "started_at": NOON});
        activity.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        activity
    };
    for (activity, fields) in [
        (of(json!({"kind": "meal"})), &[("meal", "required")][..]),
        (of(json!({"kind": "meal", "meal": "lunch", "bottle_ml": 100})), &[("bottle_ml", "not_allowed")]),
        (of(json!({"kind": "nappy"})), &[("nappy", "required")]),
        (of(json!({"kind": "play"})), &[("title", "required")]),
        (of(json!({"kind": "observation"})), &[("notes", "required")]),
        (of(json!({"kind": "nap", "meal": "lunch", "nappy": "wet"})), &[("meal", "not_allowed"), ("nappy", "not_allowed")]),
        (of(json!({"kind": "nap", "ended_at": "2026-05-04T10:00:00Z"})), &[("ended_at", "order")]),
        (of(json!({"kind": "nap", "ended_at": "2026-05-06T10:00:00Z"})), &[("ended_at", "range")]),
        (of(json!({"kind": "nap", "details": {"x": "y".repeat(8200)}})), &[("details", "length")]),
        (of(json!({"kind": "nap", "class_id": Uuid::nil()})), &[("class_id", "not_found")]),
        (of(json!({"kind": "nap", "started_at": null})), &[("started_at", "type")]),
    ] {
        refused(&nursery.admin.post("/activities", activity).await, 422, fields);
    }
    let nap = nursery.admin.post("/activities", of(json!({"kind": "nap"}))).await;
    let path = format!("/activities/{}", nap.data()["id"].as_str().unwrap());
    refused(&nursery.admin.patch(&path, &nap.etag(), json!({"meal": "lunch"})).await, 422, &[("meal", "not_allowed")]);
    let ended = nursery.admin.patch(&path, &nap.etag(), json!({"ended_at": "2026-05-04T13:00:00+01:00", "nap_quality": "calm"})).await;
    assert_eq!((ended.status, &ended.data()["nap_quality"]), (200, &json!("calm")));
    assert_eq!(nursery.admin.delete(&path, &nap.etag()).await.status, 412);
    assert_eq!(nursery.admin.delete(&path, &ended.etag()).await.status, 204);
    assert_eq!(nursery.admin.get(&path).await.status, 404);
}

#[tokio::test]
async fn moments_that_no_calendar_has_are_refused_and_no_fault() {
    let nursery = Nursery::open().await;
    let child = &nursery.children[0];
    for query in ["day=-262143-01-01", "from=-262143-01-01T00:00:00Z", "until=-262143-01-01T00:00:00Z", "day=2026-02-30", "from=today"] {
        assert_eq!(nursery.admin.get(&format!("/activities?{query}")).await.status, 422, "{query}");
    }
    for date in ["-262143-01-01", "0000-00-00"] {
        assert_eq!(nursery.admin.get(&format!("/children/{child}/daily-report?date={date}")).await.status, 422, "{date}");
    }
    for started_at in ["0000-01-01T00:00:00Z", "2026-05-04T12:00:00+23:59", "2026-05-04T25:00:00Z"] {
        let nap = json!({"child_id": child, "kind": "nap", "started_at": started_at});
        assert_eq!(nursery.admin.post("/activities", nap.clone()).await.status, 422, "{started_at}");
        let path = format!("/classes/{}/activities", nursery.class);
        let nap = json!({"kind": "nap", "started_at": started_at});
        assert_eq!(nursery.admin.post(&path, nap).await.status, 422, "{started_at}");
    }
}

#[tokio::test]
async fn a_whole_class_is_recorded_in_one_entry_and_only_once() {
    let nursery = Nursery::open().await;
    let (teacher, _) = nursery.staff("Teacher").await;
    let path = format!("/classes/{}/activities", nursery.class);
    let lunch = json!({"kind": "meal", "meal": "lunch", "meal_eaten": "all", "started_at": NOON, "except": [nursery.children[1]],
        "overrides": [{"child_id": nursery.children[2], "meal_eaten": "little", "notes": "Sem fome", "visible_to_guardians": false}]});
    let first = teacher.post_keyed(&path, "lunch-1", lunch.clone()).await;
    assert_eq!(first.status, 201, "{:?}", first.fields());
    assert_eq!(texts(first.data(), "child_id"), [&nursery.children[0], &nursery.children[2]]);
    assert_eq!(texts(first.data(), "meal_eaten"), ["all", "little"]);
    let [ana, carla] = [&first.data()[0], &first.data()[1]];
    assert_eq!((&ana["class_id"], &ana["details"], &ana["batch_id"]), (&json!(nursery.class), &json!({}), &carla["batch_id"]));
    assert_eq!((&ana["created_by"], &ana["visible_to_guardians"]), (&json!(teacher.user), &json!(true)));
    assert_eq!((&carla["notes"], &carla["visible_to_guardians"]), (&json!("Sem fome"), &json!(false)));
    let again = teacher.post_keyed(&path, "lunch-1", lunch.clone()).await;
    assert_eq!((again.status, again.data()), (201, first.data()));
    let batch = ana["batch_id"].as_str().unwrap();
    assert_eq!(length(teacher.get(&format!("/activities?batch_id={batch}")).await.data()), 2);
    assert_eq!(length(teacher.get("/activities").await.data()), 2);
    let other = teacher.post_keyed(&path, "lunch-1", json!({"kind": "meal", "meal": "dinner", "started_at": NOON})).await;
    assert_eq!(other.code(), "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn an_entry_for_a_class_is_made_whole_or_not_at_all() {
    let nursery = Nursery::open().await;
    let path = format!("/classes/{}/activities", nursery.class);
    let stranger = Uuid::new_v4();
    let child = &nursery.children[0];
    for (entry, fields) in [
        (json!({"children": [child, stranger]}), &[("children.1", "not_found")][..]),
        (json!({"except": [stranger]}), &[("except.0", "not_found")]),
        (json!({"overrides": [{"child_id": stranger}]}), &[("overrides.0.child_id", "not_found")]),
        (json!({"except": nursery.children}), &[("children", "too_few")]),
        (json!({"started_at": "2025-08-31T10:00:00Z"}), &[("children", "too_few")]),
        (json!({"overrides": [{"child_id": child, "meal": "lunch"}]}), &[("overrides.0.meal", "not_allowed")]),
        (json!({"overrides": [{"child_id": child}, {"child_id": child}]}), &[("overrides.1.child_id", "repeated")]),
        (json!({"overrides": [{"child_id": child, "started_at": "2026-05-05T12:00:00Z"}]}), &[("overrides.0.started_at", "range")]),
        (json!({"overrides": [{"child_id": child, "ended_at": "2026-05-04T08:00:00Z"}]}), &[("ended_at", "order")]),
        (json!({"overrides": [{"child_id": child, "kind": "play"}]}), &[("overrides.0.kind", "unknown")]),
        (json!({"child_id": child}), &[("child_id", "unknown")]),
        (json!({"children": null}), &[("children", "type")]),
    ] {
        let mut nap = json!({"kind": "nap", "started_at": NOON});
        nap.as_object_mut().unwrap().extend(entry.as_object().unwrap().clone());
        refused(&nursery.admin.post(&path, nap).await, 422, fields);
    }
    let nap = json!({"kind": "nap", "started_at": NOON});
    assert_eq!(nursery.admin.post(&format!("/classes/{stranger}/activities"), nap.clone()).await.status, 404);
    assert_eq!(nursery.school.user("ReadOnly").await.post(&path, nap.clone()).await.status, 403);
    nursery
        .school
        .sql("UPDATE app.role_permissions SET scope = 'own' WHERE permission_code = 'activities:create' AND role_code = 'Teacher'")
        .await;
    assert_eq!(nursery.school.user("Teacher").await.post(&path, nap).await.status, 403);
    assert_eq!(length(nursery.admin.get("/activities").await.data()), 0);
    let own = json!({"kind": "nap", "started_at": NOON, "overrides": [{"child_id": child, "started_at": "2026-05-04T12:10:00+01:00"}]});
    let recorded = created(nursery.admin.post(&path, own).await);
    assert_eq!(texts(&recorded, "started_at"), ["2026-05-04T11:10:00Z", "2026-05-04T11:00:00Z", "2026-05-04T11:00:00Z"]);
}

#[tokio::test]
async fn a_class_of_more_than_two_hundred_is_entered_in_parts() {
    let nursery = Nursery::open().await;
    let class = &nursery.class;
    let sql = format!(
        "WITH made AS (INSERT INTO app.children (full_name) SELECT 'Zé ' || n FROM generate_series(1, 198) n RETURNING id)
         INSERT INTO app.enrolments (child_id, class_id, starts_on) SELECT id, '{class}', '2025-09-01' FROM made"
    );
    nursery.school.sql(&sql).await;
    let path = format!("/classes/{class}/activities");
    let walk = json!({"kind": "play", "title": "Passeio", "started_at": NOON});
    refused(&nursery.admin.post(&path, walk.clone()).await, 422, &[("children", "too_many")]);
    let mut part = walk;
    part["except"] = json!([nursery.children[0]]);
    assert_eq!(length(&created(nursery.admin.post(&path, part).await)), 200);
}

#[tokio::test]
async fn guardians_see_what_is_visible_to_them_of_their_own_children() {
    let nursery = Nursery::open().await;
    let (guardian, _) = nursery.guardian().await;
    let mut seen = Vec::new();
    for (child, visible) in [(0, true), (0, false), (1, true)] {
        let nap = json!({"child_id": nursery.children[child], "kind": "nap", "started_at": NOON, "visible_to_guardians": visible});
        seen.push(nursery.record(nap).await["id"].as_str().unwrap().to_owned());
        let allergy =
            json!({"child_id": nursery.children[child], "allergen": format!("Noz {visible}"), "kind": "food", "severity": "severe"});
        created(nursery.admin.post("/allergies", allergy).await);
    }
    let found = guardian.get("/activities").await;
    assert_eq!(texts(found.data(), "id"), [&seen[0]]);
    assert_eq!(guardian.get(&format!("/activities/{}", seen[1])).await.status, 404);
    assert_eq!(texts(guardian.get("/allergies").await.data(), "allergen"), ["Noz false", "Noz true"]);
    assert_eq!(length(nursery.admin.get("/allergies").await.data()), 3);
    let nap = json!({"child_id": nursery.children[0], "kind": "nap", "started_at": NOON});
    assert_eq!(guardian.post("/activities", nap).await.status, 403);
}

#[tokio::test]
async fn who_writes_about_their_own_children_learns_nothing_about_others() {
    let nursery = Nursery::open().await;
    let grants = ["activities:create", "health:create", "health:administer", "children:update", "incidents:create"];
    let rows = grants.map(|grant| format!("('Guardian', '{grant}', 'own')")).join(", ");
    nursery.school.sql(&format!("INSERT INTO app.role_permissions (role_code, permission_code, scope) VALUES {rows}")).await;
    let ((guardian, herself), staff, stranger) = (nursery.guardian().await, nursery.staff("Teacher").await.1, Uuid::new_v4());
    let (own, other, unknown) = (json!(nursery.children[0]), json!(nursery.children[1]), json!(Uuid::new_v4()));
    nursery.school.sql(&format!("INSERT INTO app.guardians (id, full_name) VALUES ('{stranger}', 'Zé')")).await;
    let nuts = |child: &Value| json!({"child_id": child, "allergen": "Noz", "kind": "food", "severity": "mild"});
    created(nursery.admin.post("/allergies", nuts(&other)).await);
    let theirs = json!({"child_id": other, "name": "Ben-u-ron", "dose": "5 ml", "route": "oral"});
    let theirs = created(nursery.admin.post("/medications", theirs).await)["id"].clone();
    let hers = nursery.medication(&herself).await["id"].clone();

    // What another family's child or medicine has already (an allergy, a place in a class, no authorisation) is not told.
    type Body<'a> = &'a dyn Fn(&Value) -> Value;
    let stay = |child: &Value| json!({"child_id": child, "class_id": nursery.class, "starts_on": "2026-05-01"});
    let nap = |child: &Value| json!({"child_id": child, "kind": "nap", "started_at": NOON, "ended_at": "2026-05-04T10:00:00+01:00"});
    let fall = |child: &Value| json!({"child_id": child, "kind": "fall", "severity": "minor", "occurred_at": NOON, "description": "Caiu"});
    let dose = |of: &Value| json!({"medication_id": of, "outcome": "given", "administered_at": "2026-05-05T12:00:00Z", "dose_given": "5 ml", "administered_by": staff});
    let bodies: [(&str, &str, &Value, Body); 5] = [
        ("/allergies", "child_id", &other, &nuts),
        ("/enrolments", "child_id", &other, &stay),
        ("/activities", "child_id", &other, &nap),
        ("/incidents", "child_id", &other, &fall),
        ("/medication-administrations", "medication_id", &theirs, &dose),
    ];
    for (path, field, theirs, body) in bodies {
        for named in [theirs, &unknown] {
            refused(&guardian.post(path, body(named)).await, 422, &[(field, "not_found")]);
        }
    }
    let signed = |by: &str| json!({"child_id": own, "name": "Xarope", "dose": "5 ml", "route": "oral", "authorised_by": by, "authorised_from": DAY, "authorised_until": DAY});
    for by in [stranger, Uuid::new_v4()] {
        refused(&guardian.post("/medications", signed(&by.to_string())).await, 422, &[("authorised_by", "not_found")]);
    }
    created(guardian.post("/medications", signed(&herself)).await);
    created(guardian.post("/allergies", nuts(&own)).await);
    refused(&guardian.post("/enrolments", stay(&own)).await, 409, &[("starts_on", "overlap")]);
    refused(&guardian.post("/medication-administrations", dose(&hers)).await, 422, &[("administered_at", "not_authorised")]);
}

#[tokio::test]
async fn a_key_shows_nobody_a_record_that_is_not_theirs_any_more() {
    let nursery = Nursery::open().await;
    nursery
        .school
        .sql("INSERT INTO app.role_permissions (role_code, permission_code, scope) VALUES ('Guardian', 'activities:create', 'own')")
        .await;
    let ((guardian, _), (teacher, _)) = (nursery.guardian().await, nursery.staff("Teacher").await);
    let nap = json!({"child_id": nursery.children[0], "kind": "nap", "started_at": NOON, "notes": "canary"});
    let (hers, his) =
        (guardian.post_keyed("/activities", "k", nap.clone()).await, teacher.post_keyed("/activities", "k", nap.clone()).await);
    assert_eq!((hers.status, his.status), (201, 201), "{} {}", hers.body, his.body);
    let again = guardian.post_keyed("/activities", "k", nap.clone()).await;
    assert_eq!((again.status, again.id()), (201, hers.id()));

    // She is not the child's guardian any more, and he keeps the permission over his own alone.
    nursery.school.sql("DELETE FROM app.child_guardians").await;
    let path = "/roles/Teacher/permissions";
    let mut grants = nursery.admin.get(path).await.data().clone();
    grants.as_array_mut().unwrap().iter_mut().for_each(|grant| grant["scope"] = json!("own"));
    assert_eq!(nursery.admin.put(path, Some("*"), grants).await.status, 200);
    for former in [&guardian, &teacher] {
        assert_eq!(former.post_keyed("/activities", "k", nap.clone()).await.code(), "NOT_FOUND");
    }
}

#[tokio::test]
async fn health_records_are_kept_within_their_rules() {
    let nursery = Nursery::open().await;
    let (nurse, _) = nursery.staff("HealthStaff").await;
    let child = &nursery.children[0];
    let nuts = |allergen: &str| json!({"child_id": child, "allergen": allergen, "kind": "food", "severity": "mild"});
    let allergy = nurse.post("/allergies", nuts("Amêndoa")).await;
    refused(&nurse.post("/allergies", nuts("AMENDOA")).await, 409, &[("allergen", "taken")]);
    let path = format!("/allergies/{}", allergy.data()["id"].as_str().unwrap());
    let change = json!({"severity": "severe", "action_plan": "Adrenalina"});
    assert_eq!(nurse.patch(&path, &allergy.etag(), change).await.data()["severity"], "severe");
    for (query, count) in [("severity=severe", 1), ("severity=mild", 0), ("kind=insect", 0)] {
        assert_eq!(length(nurse.get(&format!("/allergies?{query}")).await.data()), count, "{query}");
    }
    assert_eq!(length(nurse.get(&format!("/allergies?class_id={}", nursery.class)).await.data()), 1);

    let dose = |fields: Value| {
        let mut dose = json!({"child_id": child, "vaccine": "VASPR"});
        dose.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        dose
    };
    refused(&nurse.post("/vaccinations", dose(json!({}))).await, 422, &[("given_on", "required")]);
    refused(&nurse.post("/vaccinations", dose(json!({"dose_number": 21, "due_on": DAY}))).await, 422, &[("dose_number", "maximum")]);
    created(nurse.post("/vaccinations", dose(json!({"due_on": DAY}))).await);
    refused(&nurse.post("/vaccinations", dose(json!({"given_on": DAY}))).await, 409, &[("dose_number", "taken")]);
    created(nurse.post("/vaccinations", dose(json!({"dose_number": 2, "due_on": "2026-06-01"}))).await);
    created(nurse.post("/vaccinations", dose(json!({"dose_number": 3, "due_on": "2026-01-01", "given_on": "2026-01-02"}))).await);
    assert_eq!(nurse.get("/vaccinations?due_before=2026-05-05").await.data()[0]["dose_number"], 1);
    assert_eq!(length(nurse.get("/vaccinations?due_before=2026-05-04").await.data()), 0);
    let page = nurse.get("/vaccinations?limit=1").await;
    let next = nurse.get(&format!("/vaccinations?limit=1&after={}", page.body["next"].as_str().unwrap())).await;
    assert_eq!([&page.data()[0]["dose_number"], &next.data()[0]["dose_number"]], [3, 1]);
    for nobody in ["ReadOnly", "Teacher"] {
        assert_eq!(nursery.school.user(nobody).await.post("/allergies", nuts("Leite")).await.status, 403);
    }
}

#[tokio::test]
async fn only_a_guardian_of_the_child_authorises_its_medication() {
    let nursery = Nursery::open().await;
    let (_, guardian) = nursery.guardian().await;
    let of = |child: &str, fields: Value| {
        let mut medication = json!({"child_id": child, "name": "Ben-u-ron", "dose": "5 ml", "route": "oral"});
        medication.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        medication
    };
    let signed = json!({"authorised_by": guardian, "authorised_from": DAY, "authorised_until": "2026-05-08"});
    let other = nursery.admin.post("/medications", of(&nursery.children[1], signed.clone())).await;
    refused(&other, 422, &[("authorised_by", "not_guardian")]);
    let half = nursery.admin.post("/medications", of(&nursery.children[0], json!({"authorised_from": DAY}))).await;
    refused(&half, 422, &[("authorised_by", "incomplete")]);
    let reversed = json!({"authorised_by": guardian, "authorised_from": DAY, "authorised_until": "2026-05-01"});
    refused(&nursery.admin.post("/medications", of(&nursery.children[0], reversed)).await, 422, &[("authorised_until", "order")]);

    let open = nursery.admin.post("/medications", of(&nursery.children[0], json!({"times_of_day": ["18:00", "08:05"]}))).await;
    assert_eq!(open.data()["times_of_day"], json!(["18:00", "08:05"]));
    let path = format!("/medications/{}", open.data()["id"].as_str().unwrap());
    let medication = nursery.admin.patch(&path, &open.etag(), signed).await;
    assert_eq!(medication.status, 200, "{:?}", medication.fields());
    for (query, count) in [("authorised_on=2026-05-08", 1), ("authorised_on=2026-05-09", 0), ("ends_before=2026-05-09", 1)] {
        assert_eq!(length(nursery.admin.get(&format!("/medications?{query}")).await.data()), count, "{query}");
    }
    let withdrawn = json!({"authorised_by": null, "authorised_from": null, "authorised_until": null});
    assert_eq!(nursery.admin.patch(&path, &medication.etag(), withdrawn).await.status, 200);
}

#[tokio::test]
async fn a_dose_is_logged_by_staff_under_an_authorisation_and_once() {
    let nursery = Nursery::open().await;
    let (_, guardian) = nursery.guardian().await;
    let (teacher, staff) = nursery.staff("Teacher").await;
    let medication = nursery.medication(&guardian).await;
    let given = json!({"medication_id": medication["id"], "outcome": "given", "administered_at": NOON, "dose_given": "5 ml"});
    let with = |fields: Value| {
        let mut dose = given.clone();
        dose.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        dose
    };
    const PATH: &str = "/medication-administrations";
    for (dose, fields) in [
        (with(json!({"administered_at": "2026-05-05T12:00:00Z"})), &[("administered_at", "not_authorised")][..]),
        (with(json!({"administered_at": "2100-05-05T12:00:00Z"})), &[("administered_at", "future")]),
        (with(json!({"dose_given": null})), &[("dose_given", "required")]),
        (with(json!({"outcome": "refused"})), &[("dose_given", "not_allowed")]),
        (with(json!({"medication_id": Uuid::nil()})), &[("medication_id", "not_found")]),
        (with(json!({"administered_by": Uuid::nil()})), &[("administered_by", "not_found")]),
        (with(json!({"witnessed_by": staff})), &[("witnessed_by", "distinct")]),
        (with(json!({"child_id": nursery.children[0]})), &[("child_id", "unknown")]),
    ] {
        refused(&teacher.post(PATH, dose).await, 422, fields);
    }
    // Who is not of the staff says who gave it.
    refused(&nursery.admin.post(PATH, given.clone()).await, 422, &[("administered_by", "required")]);
    let dose = teacher.post_keyed(PATH, "dose-1", given.clone()).await;
    let logged = created(dose);
    assert_eq!((&logged["child_id"], &logged["administered_by"]), (&json!(nursery.children[0]), &json!(staff)));
    assert_eq!(logged["medication_name"], "Paracetamol");
    assert_eq!(created(teacher.post_keyed(PATH, "dose-1", given.clone()).await), logged);
    // Without a key the same dose is refused too.
    refused(&nursery.admin.post(PATH, with(json!({"administered_by": staff}))).await, 409, &[("administered_at", "taken")]);
    assert_eq!(length(nursery.admin.get(&format!("{PATH}?outcome=given&day={DAY}")).await.data()), 1);
    let missed = json!({"medication_id": medication["id"], "outcome": "missed", "administered_at": "2026-05-05T12:00:00Z"});
    created(teacher.post(PATH, missed).await);
}

#[tokio::test]
async fn the_log_of_doses_is_evidence() {
    let nursery = Nursery::open().await;
    let (_, guardian) = nursery.guardian().await;
    let (teacher, _) = nursery.staff("Teacher").await;
    let (nurse, witness) = nursery.staff("HealthStaff").await;
    let medication = nursery.medication(&guardian).await;
    nursery.school.sql("UPDATE app.settings SET value = 'true' WHERE key = 'medication.require_witness'").await;
    let mut given = json!({"medication_id": medication["id"], "outcome": "given", "administered_at": NOON, "dose_given": "5 ml"});
    refused(&teacher.post("/medication-administrations", given.clone()).await, 422, &[("witnessed_by", "required")]);
    given["witnessed_by"] = json!(witness);
    let dose = teacher.post("/medication-administrations", given).await;
    let path = format!("/medication-administrations/{}", dose.data()["id"].as_str().unwrap());
    refused(&nurse.patch(&path, &dose.etag(), json!({"dose_given": "10 ml"})).await, 422, &[("dose_given", "unknown")]);
    let noted = nurse.patch(&path, &dose.etag(), json!({"notes": "Cuspiu metade"})).await;
    assert_eq!((noted.status, &noted.data()["notes"]), (200, &json!("Cuspiu metade")));
    assert_eq!(teacher.delete(&path, &noted.etag()).await.status, 403);
    assert_eq!(nurse.delete(&path, &noted.etag()).await.status, 204);
    assert_eq!(nurse.get(&path).await.status, 404);
}

#[tokio::test]
async fn an_incident_is_reported_followed_and_closed() {
    let nursery = Nursery::open().await;
    let (teacher, staff) = nursery.staff("Teacher").await;
    let (guardian, _) = nursery.guardian().await;
    let fall = json!({"child_id": nursery.children[0], "occurred_at": NOON, "kind": "fall", "severity": "minor", "description": "Caiu do baloiço"});
    let incident = teacher.post("/incidents", fall).await;
    assert_eq!((&incident.data()["class_id"], &incident.data()["reported_by"]), (&json!(nursery.class), &json!(staff)));
    let path = format!("/incidents/{}", incident.data()["id"].as_str().unwrap());
    let before = json!({"guardians_notified_at": "2026-05-04T08:00:00Z"});
    refused(&teacher.patch(&path, &incident.etag(), before).await, 422, &[("guardians_notified_at", "order")]);
    refused(&teacher.patch(&path, &incident.etag(), json!({"description": null})).await, 422, &[("description", "type")]);
    refused(&teacher.patch(&path, &incident.etag(), json!({"kind": null})).await, 422, &[("kind", "type")]);
    let closed = teacher.patch(&path, &incident.etag(), json!({"closed_at": "2026-05-04T15:00:00Z"})).await;
    assert_eq!(closed.status, 200);
    assert_eq!(length(teacher.get("/incidents?closed=false").await.data()), 0);
    assert_eq!(length(teacher.get(&format!("/incidents?closed=true&kind=fall&severity=minor&day={DAY}")).await.data()), 1);
    assert_eq!(length(guardian.get("/incidents").await.data()), 1);
}

#[tokio::test]
async fn a_daily_report_holds_the_day_and_nothing_else() {
    let nursery = Nursery::open().await;
    let (guardian, id) = nursery.guardian().await;
    let (teacher, _) = nursery.staff("Teacher").await;
    let medication = nursery.medication(&id).await;
    let child = &nursery.children[0];
    for (kind, fields) in [
        ("meal", json!({"meal": "lunch", "started_at": NOON})),
        ("meal", json!({"meal": "breakfast", "started_at": "2026-05-04T08:30:00Z"})),
        ("nap", json!({"started_at": "2026-05-04T13:00:00Z", "ended_at": "2026-05-04T14:10:30Z"})),
        ("nap", json!({"started_at": "2026-05-04T16:00:00Z", "ended_at": "2026-05-04T16:20:30Z"})),
        ("nap", json!({"started_at": "2026-05-04T17:00:00Z"})),
        ("nap", json!({"started_at": "2026-05-05T13:00:00Z", "ended_at": "2026-05-05T14:00:00Z"})),
        ("nappy", json!({"nappy": "wet", "started_at": NOON})),
        ("play", json!({"title": "Areia", "started_at": NOON})),
        ("observation", json!({"notes": "Para a equipa", "started_at": NOON, "visible_to_guardians": false})),
    ] {
        let mut activity = json!({"child_id": child, "kind": kind});
        activity.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        nursery.record(activity).await;
    }
    let dose = json!({"medication_id": medication["id"], "outcome": "given", "administered_at": NOON, "dose_given": "5 ml"});
    created(teacher.post("/medication-administrations", dose).await);
    let bump = json!({"child_id": child, "occurred_at": NOON, "kind": "bump", "severity": "minor", "description": "Na porta"});
    created(teacher.post("/incidents", bump).await);

    let path = format!("/children/{child}/daily-report?date={DAY}");
    let answer = teacher.get(&path).await;
    let report = answer.data();
    assert_eq!(texts(&report["meals"], "meal"), ["breakfast", "lunch"]);
    assert_eq!((length(&report["naps"]), &report["nap_minutes"]), (3, &json!(91)));
    assert_eq!(
        (&report["child"]["full_name"], &report["class"]["name"], &report["date"]),
        (&json!("Ana"), &json!("Girassóis"), &json!(DAY))
    );
    assert_eq!(["nappies", "play", "observations", "medication", "incidents"].map(|part| length(&report[part])), [1; 5]);
    assert_eq!(report["medication"][0]["medication_name"], "Paracetamol");

    let seen = guardian.get(&path).await;
    assert_eq!(["play", "observations", "medication"].map(|part| length(&seen.data()[part])), [1, 0, 1]);
    assert_eq!(guardian.get(&format!("/children/{}/daily-report", nursery.children[1])).await.status, 404);
    // Health records are not for a mere reader.
    let reader = nursery.school.user("ReadOnly").await.get(&path).await;
    assert_eq!((reader.status, reader.data().get("medication"), reader.data().get("incidents")), (200, None, None));
    let today = teacher.get(&format!("/children/{child}/daily-report")).await;
    assert_eq!((today.status, length(&today.data()["meals"])), (200, 0));
    refused(&teacher.get(&format!("/children/{child}/daily-report?dat={DAY}")).await, 422, &[("dat", "invalid")]);

    nursery.school.sql("UPDATE app.settings SET value = 'false' WHERE key = 'reports.visible_to_guardians'").await;
    assert_eq!((guardian.get(&path).await.status, teacher.get(&path).await.status), (403, 200));
}

#[tokio::test]
async fn of_a_day_a_reader_is_told_the_parts_that_its_other_permissions_reach() {
    let nursery = Nursery::open().await;
    let child = &nursery.children[0];
    for fields in [
        json!({"kind": "meal", "meal": "lunch"}),
        json!({"kind": "nappy", "nappy": "wet"}),
        json!({"kind": "play", "title": "Areia"}),
        json!({"kind": "observation", "notes": "Contente"}),
    ] {
        let mut activity = json!({"child_id": child, "started_at": NOON});
        activity.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        nursery.record(activity).await;
    }
    let path = format!("/children/{child}/daily-report?date={DAY}");
    // Who may read reports alone is told the day; who may read its own alone, nothing of others' children.
    let grants =
        "DELETE FROM app.role_permissions WHERE role_code = 'ReadOnly' AND permission_code IN ('children:read', 'activities:read')";
    for (scope, parts) in [(None, None), (Some("own"), Some(0)), (Some("school"), Some(1))] {
        nursery.school.sql(grants).await;
        if let Some(scope) = scope {
            let grant = format!(
                "INSERT INTO app.role_permissions (role_code, permission_code, scope)
                 SELECT 'ReadOnly', code, '{scope}' FROM unnest(ARRAY['children:read', 'activities:read']) code"
            );
            nursery.school.sql(&grant).await;
        }
        let reader = nursery.school.user("ReadOnly").await.get(&path).await;
        let report = reader.data();
        assert_eq!((&report["date"], report.get("child").is_some()), (&json!(DAY), parts == Some(1)), "{scope:?}: {report}");
        for part in ["nappies", "play", "observations"] {
            assert_eq!(report.get(part).map(length), parts, "{scope:?} {part}");
        }
        assert_eq!(["meals", "naps", "nap_minutes"].map(|part| report.get(part).is_some()), [parts.is_some(); 3], "{scope:?}");
    }
}

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
async fn an_export_reaches_no_further_than_the_permission_to_read_each_part_and_names_what_it_leaves_out() {
    let nursery = Nursery::open().await;
    let (guardian, id) = nursery.guardian().await;
    nursery.medication(&id).await;
    let child = &nursery.children[0];
    let fall = json!({"child_id": child, "occurred_at": NOON, "kind": "fall", "severity": "minor", "description": "caiu do escorrega"});
    created(nursery.admin.post("/incidents", fall).await);
    let path = format!("/children/{child}/export");
    let whole = guardian.get(&path).await;
    assert_eq!((&whole.data()["withheld"], length(&whole.data()["incidents"])), (&json!([]), 1));

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
    assert_eq!(less.data()["withheld"], json!([&health[..], &["incidents"]].concat()));
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
    let asked = |list: &Value, id: &str| {
        let path = json!(format!("/api/v1/allergies/{id}"));
        list.as_array().unwrap().iter().any(|access| access["resource"] == path && access["user_id"] == json!(nurse.user))
    };
    let accesses = async |child: &str| nursery.admin.get(&format!("/children/{child}/export")).await.data()["accesses"].clone();
    // The last one is written last: with it the first one is.
    until("the last one is told of", async || asked(&accesses(&nursery.children[1]).await, &ids[1])).await;
    let of_first = accesses(&nursery.children[0]).await;
    assert!(asked(&of_first, &ids[0]) && !asked(&of_first, &ids[1]), "{of_first}");
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
    let kept: Vec<String> = nursery.school.ask("SELECT array_agg(key) FROM app.idempotency_keys").await;
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
    until("the sweep", async || nursery.school.ask::<i64>(kept).await == 1).await;
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
