//! What each role may see: a canary in every column that holds people's words, looked for in every answer to everything that can be read.

mod canaries;
mod reading;

use std::collections::BTreeSet;

use api_testing::{Client, School, World, world};
use serde_json::{Value, json};
use testing::until;
use uuid::Uuid;

use self::canaries::{Canaries, Place};
use self::reading::read_everything;

/// The columns that a guardian sees: of the own children and itself, and how the children's other guardians are reached.
const GUARDIANS: &[(&str, &str, &[&str])] = &[
    ("children", "own", &["full_name", "preferred_name"]),
    ("guardians", "own", &["full_name", "email", "phone_number", "tax_number", "address"]),
    ("guardians", "coparent", &["full_name", "phone_number"]),
    ("classes", "own", &["name", "room"]),
    ("activities", "own", &["title", "notes", "details"]),
    ("allergies", "own", &["allergen", "reaction", "action_plan"]),
    ("medications", "own", &["name", "dose", "instructions", "prescribed_by"]),
    ("medication_administrations", "own", &["dose_given", "notes"]),
    ("vaccinations", "own", &["vaccine", "lot_number", "provider", "notes"]),
    ("incidents", "own", &["location", "description", "action_taken"]),
];

/// What a mere reader does not see.
const HEALTH: &[&str] = &["allergies", "medications", "medication_administrations", "vaccinations", "incidents"];

fn visible_to(role: &str, place: &Place) -> bool {
    match (role, place.table) {
        // Accounts are the administrators' matter, and so is what the evidence says.
        (_, "users" | "erasures") => matches!(role, "SchoolAdmin" | "Acting"),
        (_, "access_audit") => matches!(role, "SchoolAdmin" | "Acting" | "platform"),
        ("SchoolAdmin" | "Teacher" | "HealthStaff" | "Acting", _) => true,
        ("ReadOnly", _) => !HEALTH.contains(&place.table),
        ("Guardian", _) => GUARDIANS
            .iter()
            .any(|(table, label, columns)| (*table, *label) == (place.table, place.label) && columns.contains(&&*place.column)),
        _ => false,
    }
}

struct Cast {
    _world: World,
    north: School,
    canaries: Canaries,
    guardian: Client,
    others: Vec<(&'static str, Client)>,
}

impl Cast {
    async fn gather() -> Self {
        let world = world().await;
        let (north, south) = (world.school("norte").await, world.school("sul").await);
        let guardian = north.user("Guardian").await;
        let mut canaries = Canaries::plant(&north, guardian.user).await;
        canaries.plant_account(&world, &north).await;
        let mut others = Vec::new();
        for role in ["SchoolAdmin", "Teacher", "HealthStaff", "ReadOnly"] {
            others.push((role, north.user(role).await));
        }
        let staff = world.staff().await;
        let path = format!("/platform/tenants/{}/impersonation", north.id());
        let token =
            staff.post(&path, json!({ "reason": canaries.canary("access_audit", "acting", "reason") })).await.data()["access_token"]
                .as_str()
                .unwrap()
                .to_owned();
        others.push(("Acting", Client::with_token(world.api.address, &token, staff.user)));
        let recorded = async || north.scalar::<i64>("SELECT count(*) FROM app.access_audit WHERE reason IS NOT NULL").await > 0;
        until("the school's audit has the reason", recorded).await;
        others.push(("nobody", staff.anonymous()));
        others.push(("platform", staff));
        others.push(("another school", south.user("SchoolAdmin").await));
        Self { _world: world, north, canaries, guardian, others }
    }
}

#[tokio::test]
async fn what_a_role_may_not_see_is_in_no_answer_and_what_it_may_see_is_in_some() {
    let cast = Cast::gather().await;
    let clients = cast.others.iter().map(|(role, client)| (*role, client)).chain([("Guardian", &cast.guardian)]);
    for (role, client) in clients {
        let expected: BTreeSet<&Place> = cast.canaries.places().filter(|place| visible_to(role, place)).collect();
        let found = read_everything(client, &cast.canaries).await;
        let leaked: Vec<_> = found.difference(&expected).collect();
        let missed: Vec<_> = expected.difference(&found).collect();
        assert!(leaked.is_empty() && missed.is_empty(), "{role} sees {leaked:#?}\nand does not see {missed:#?}");
    }
}

#[tokio::test]
async fn no_search_finds_a_row_by_what_its_reader_may_not_see() {
    let cast = Cast::gather().await;
    for (role, client) in cast.others.iter().map(|(role, client)| (*role, client)).chain([("Guardian", &cast.guardian)]) {
        for (marker, place) in cast.canaries.all() {
            for list in ["/children", "/guardians", "/staff", "/users"] {
                let answer = client.get(&format!("{list}?name={marker}")).await;
                let found = answer.body["data"].as_array().is_some_and(|rows| !rows.is_empty());
                assert!(!found || (visible_to(role, place) && place.column.ends_with("name")), "{role} finds {place:?} in {list}");
            }
        }
    }
}

#[tokio::test]
async fn who_writes_their_own_children_neither_reads_nor_overwrites_what_is_for_the_staff() {
    let cast = Cast::gather().await;
    let grant = "INSERT INTO app.role_permissions (role_code, permission_code, scope) VALUES ('Guardian', 'children:update', 'own')";
    cast.north.sql(grant).await;
    // Permissions are remembered by user for ten seconds: this one has not asked yet.
    let other = cast.north.user("Guardian").await;
    cast.north.sql(&format!("UPDATE app.guardians SET user_id = '{}' WHERE user_id = '{}'", other.user, cast.guardian.user)).await;
    let path = format!("/children/{}", cast.canaries.id("children", "own"));
    let changed = other.patch(&path, "*", json!({ "preferred_name": "Nês" })).await;
    assert_eq!((changed.status, &changed.data()["notes"], &changed.data()["address"]), (200, &Value::Null, &Value::Null));
    let rows = "SELECT md5(string_agg(coalesce(notes, '') || coalesce(address, ''), ',' ORDER BY id)) FROM app.children";
    let before: String = cast.north.scalar(rows).await;
    for field in ["notes", "address"] {
        assert_eq!(other.patch(&path, "*", json!({ field: "overwritten" })).await.code(), "FORBIDDEN");
        assert_eq!(other.patch(&path, "*", json!({ field: null })).await.code(), "FORBIDDEN");
    }
    assert_eq!(cast.north.scalar::<String>(rows).await, before);
}

#[tokio::test]
async fn who_may_change_every_child_and_read_only_their_own_is_shown_nothing_for_the_staff() {
    let cast = Cast::gather().await;
    let grant = "INSERT INTO app.role_permissions (role_code, permission_code) VALUES ('Guardian', 'children:update'), ('Guardian', 'children:create')";
    cast.north.sql(grant).await;
    let other = cast.north.user("Guardian").await;
    let path = format!("/children/{}", cast.canaries.id("children", "other"));
    let changed = other.patch(&path, "*", json!({ "preferred_name": "Nês" })).await;
    assert_eq!((changed.status, &changed.data()["notes"], &changed.data()["address"]), (200, &Value::Null, &Value::Null));
    assert_eq!(other.post("/children", json!({ "full_name": "Rui", "notes": "x" })).await.code(), "FORBIDDEN");
    assert_eq!(other.post("/children", json!({ "full_name": "Rui" })).await.status, 201);
}

#[tokio::test]
async fn an_answer_that_is_given_again_shows_no_more_than_its_caller_may_read_by_then() {
    let cast = Cast::gather().await;
    let (_, admin) = cast.others.iter().find(|(role, _)| *role == "SchoolAdmin").unwrap();
    let teacher = cast.north.user("Teacher").await;
    let grant = "INSERT INTO app.role_permissions (role_code, permission_code) VALUES ('Teacher', 'children:create')";
    cast.north.sql(grant).await;
    let body = json!({ "full_name": "Eva", "notes": "canary-notes", "address": "canary-address" });
    let first = teacher.post_keyed("/children", "k", body.clone()).await;
    assert_eq!((first.status, &first.data()["notes"]), (201, &json!("canary-notes")));

    let grants = "/roles/Teacher/permissions";
    let mut less = admin.get(grants).await.data().clone();
    for grant in less.as_array_mut().unwrap() {
        if grant["permission"] == "children:read" {
            grant["scope"] = json!("own");
        }
    }
    assert_eq!(admin.put(grants, Some("*"), less).await.status, 200);
    let again = teacher.post_keyed("/children", "k", body.clone()).await;
    assert_eq!(again.code(), "FORBIDDEN");
    assert!(!again.body.to_string().contains("canary"), "{}", again.body);
}

#[tokio::test]
async fn an_export_names_the_fields_that_it_withholds() {
    let cast = Cast::gather().await;
    let path = format!("/children/{}/export", cast.canaries.id("children", "own"));
    let own = cast.guardian.get(&path).await;
    assert_eq!(own.data()["withheld"], json!(["children.address", "children.notes"]));
    assert_eq!((&own.data()["child"]["notes"], &own.data()["child"]["address"]), (&Value::Null, &Value::Null));
    let (_, admin) = cast.others.iter().find(|(role, _)| *role == "SchoolAdmin").unwrap();
    let whole = admin.get(&path).await;
    assert_eq!((&whole.data()["withheld"], whole.data()["child"]["notes"].is_string()), (&json!([]), true));
}

/// A new id, as text.
fn id() -> String {
    Uuid::new_v4().to_string()
}
