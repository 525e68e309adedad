//! A school whose every text is a canary: a marker that stands in one column of one row and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use api_testing::{School, World};
use serde_json::{Value, json};
use uuid::Uuid;

use super::id;

/// Where a canary stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) table: &'static str,
    /// Whose row it is.
    pub(super) label: &'static str,
    pub(super) column: String,
}

/// A row to be filled with canaries, beside these fields.
struct Row {
    table: &'static str,
    label: &'static str,
    fields: Value,
}

/// Tables that hold nobody's words: links, the school's rules, and records that other tests look into.
const WITHOUT_TEXT: &[&str] = &[
    "access_audit",
    "child_guardians",
    "enrolments",
    "idempotency_keys",
    "permissions",
    "role_permissions",
    "roles",
    "schema_migrations",
    "settings",
    "staff_assignments",
    "user_roles",
];

/// Columns whose form leaves no room for a marker.
const CODES: &[&str] = &["nationality", "home_language", "preferred_locale"];

pub(super) struct Canaries {
    places: BTreeMap<String, Place>,
    ids: BTreeMap<(&'static str, &'static str), String>,
}

impl Canaries {
    /// Fills the school, in which `guardian` is a user and a guardian of the child `own`.
    pub(super) async fn plant(school: &School, guardian: Uuid) -> Self {
        let tables: Value = school
            .scalar(
                "SELECT jsonb_agg(c.relname) FROM pg_class c WHERE c.relnamespace = 'app'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition",
            )
            .await;
        let rows = rows(guardian);
        let known: BTreeSet<&str> = rows.iter().map(|row| row.table).chain(WITHOUT_TEXT.iter().copied()).collect();
        let tables: BTreeSet<&str> = tables.as_array().unwrap().iter().map(|table| table.as_str().unwrap()).collect();
        assert_eq!(tables, known, "a table is new: say what its rows are, or that they hold nobody's words");
        let mut canaries = Self { places: BTreeMap::new(), ids: BTreeMap::new() };
        let mut sql = String::new();
        for row in rows {
            let texts = texts(school, row.table).await;
            sql += &canaries.insert(row, &texts);
        }
        sql += &canaries.links();
        school.sql(&sql).await;
        canaries
    }

    fn insert(&mut self, row: Row, texts: &[(String, bool)]) -> String {
        let Row { table, label, mut fields } = row;
        for (column, json) in texts {
            if fields.get(column).is_some() {
                continue;
            }
            let marker = self.canary(table, label, column);
            fields[column] = match (column.as_str(), json) {
                ("email", _) => json!(format!("{marker}@x.example")),
                (_, true) => json!({ "words": marker }),
                (_, false) => json!(marker),
            };
        }
        self.ids.insert((table, label), fields["id"].as_str().unwrap().to_owned());
        let columns = fields.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        format!("INSERT INTO app.{table} ({columns}) SELECT {columns} FROM jsonb_populate_record(NULL::app.{table}, '{fields}');\n")
    }

    /// A new marker for this place.
    pub(super) fn canary(&mut self, table: &'static str, label: &'static str, column: &str) -> String {
        let number = self.places.len();
        let marker = if column == "phone_number" { format!("93000{number:04}") } else { format!("canary{number:04}x") };
        self.places.insert(marker.clone(), Place { table, label, column: column.to_owned() });
        marker
    }

    /// An account of somebody else in the school.
    pub(super) async fn plant_account(&mut self, world: &World, school: &School) {
        let (_, account) = school.account("Teacher").await;
        let [name, email, phone_number] = ["name", "email", "phone_number"].map(|column| self.canary("users", "account", column));
        let update = "UPDATE registry.users SET name = $2, email = $3 || '@x.example', phone_number = $4 WHERE id = $1";
        let query = sqlx::query(update).bind(account).bind(name).bind(email).bind(phone_number);
        query.execute(&world.platform.operator).await.unwrap();
        self.ids.insert(("users", "account"), account.to_string());
    }

    fn links(&self) -> String {
        let mut sql = String::new();
        for (child, guardian) in [("own", "own"), ("own", "coparent"), ("other", "stranger")] {
            let (child, guardian) = (self.id("children", child), self.id("guardians", guardian));
            sql +=
                &format!("INSERT INTO app.child_guardians (child_id, guardian_id, relation) VALUES ('{child}', '{guardian}', 'mother');\n");
        }
        for label in ["own", "other"] {
            let (child, class) = (self.id("children", label), self.id("classes", label));
            sql += &format!("INSERT INTO app.enrolments (child_id, class_id, starts_on) VALUES ('{child}', '{class}', '2025-09-01');\n");
        }
        sql
    }

    pub(super) fn id(&self, table: &'static str, label: &'static str) -> &str {
        &self.ids[&(table, label)]
    }

    /// The ids of a table's rows.
    pub(super) fn ids(&self, table: &str) -> Vec<&str> {
        self.ids.iter().filter(|((of, _), _)| *of == table).map(|(_, id)| id.as_str()).collect()
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.values()
    }

    /// Each marker with its place.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.places.iter().map(|(marker, place)| (marker.as_str(), place))
    }

    /// The places whose markers this text has.
    pub(super) fn found(&self, text: &str) -> impl Iterator<Item = &Place> {
        self.all().filter(move |(marker, _)| text.contains(marker)).map(|(_, place)| place)
    }
}

/// The columns of a table that hold free text, and whether as JSON.
async fn texts(school: &School, table: &str) -> Vec<(String, bool)> {
    let select = format!(
        "SELECT coalesce(jsonb_agg(jsonb_build_array(c.column_name, c.data_type = 'jsonb') ORDER BY c.column_name), '[]') FROM information_schema.columns c
         WHERE c.table_schema = 'app' AND c.table_name = '{table}' AND c.data_type IN ('text', 'jsonb', 'character varying') AND c.is_generated = 'NEVER'
           AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = 'app.{table}'::regclass AND k.conname = '{table}_' || c.column_name || '_known')"
    );
    let columns: Value = school.scalar(&select).await;
    let columns = columns.as_array().unwrap().iter().map(|column| (column[0].as_str().unwrap().to_owned(), column[1] == true));
    columns.filter(|(column, _)| !CODES.contains(&column.as_str())).collect()
}

/// The rows: those about the guardian's own child, and those about another's.
fn rows(guardian: Uuid) -> Vec<Row> {
    let row = |table, label, fields: Value| {
        let mut fields = fields;
        if fields.get("id").is_none() {
            fields["id"] = json!(id());
        }
        Row { table, label, fields }
    };
    let (staff, now, today) = (id(), chrono::Utc::now(), chrono::Utc::now().date_naive());
    let (from, until) = (today - chrono::Days::new(2), today + chrono::Days::new(2));
    let mut rows = vec![
        row("guardians", "own", json!({ "user_id": guardian })),
        row("guardians", "coparent", json!({})),
        row("guardians", "stranger", json!({})),
        row("staff", "staff", json!({ "id": staff })),
        row("erasures", "erased", json!({ "child_id": id(), "erased": {} })),
    ];
    let mut hidden = Vec::new();
    for label in ["own", "other"] {
        let (child, medication) = (id(), id());
        let about = |more: Value| {
            let mut fields = json!({ "child_id": child });
            fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            fields
        };
        let signed = rows[if label == "own" { 0 } else { 2 }].fields["id"].clone();
        let play = json!({ "kind": "play", "started_at": now, "visible_to_guardians": true });
        rows.push(row("children", label, json!({ "id": child, "photo_consent": false })));
        rows.push(row("classes", label, json!({ "school_year": 2025 })));
        rows.push(row("activities", label, about(play.clone())));
        rows.push(row("allergies", label, about(json!({ "kind": "food", "severity": "severe" }))));
        let authorised = json!({ "id": medication, "route": "oral", "times_of_day": [], "authorised_by": signed, "authorised_from": from, "authorised_until": until });
        rows.push(row("medications", label, about(authorised)));
        let dose = json!({ "medication_id": medication, "outcome": "given", "administered_at": now, "administered_by": staff });
        rows.push(row("medication_administrations", label, about(dose)));
        rows.push(row("vaccinations", label, about(json!({ "dose_number": 1, "given_on": today }))));
        rows.push(row("incidents", label, about(json!({ "occurred_at": now, "kind": "fall", "severity": "minor" }))));
        if label == "own" {
            let mut unseen = play;
            unseen["visible_to_guardians"] = json!(false);
            hidden.push(row("activities", "hidden", about(unseen)));
        }
    }
    rows.extend(hidden);
    rows
}
