//! A school with a class of three children, and the people around them.

use api_testing::{Answer, Client, School, world};
use serde_json::{Value, json};
use uuid::Uuid;

/// A Monday in Lisbon, which is an hour ahead of UTC.
pub(crate) const DAY: &str = "2026-05-04";
pub(crate) const NOON: &str = "2026-05-04T12:00:00+01:00";

/// A child with a class of that day, as an administrator made them.
pub(crate) struct Nursery {
    pub(crate) school: School,
    pub(crate) admin: Client,
    pub(crate) class: String,
    /// By name: Ana, Bruno, Carla.
    pub(crate) children: Vec<String>,
}

impl Nursery {
    pub(crate) async fn open() -> Self {
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
    pub(crate) async fn staff(&self, role: &str) -> (Client, String) {
        let (client, staff) = (self.school.user(role).await, Uuid::new_v4());
        let user = client.user;
        self.school.sql(&format!("INSERT INTO app.staff (id, full_name, user_id) VALUES ('{staff}', 'Rui', '{user}')")).await;
        (client, staff.to_string())
    }

    /// A guardian of the first child.
    pub(crate) async fn guardian(&self) -> (Client, String) {
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
    pub(crate) async fn medication(&self, guardian: &str) -> Value {
        let medication = json!({"child_id": self.children[0], "name": "Paracetamol", "dose": "5 ml", "route": "oral", "times_of_day": ["12:30"],
            "authorised_by": guardian, "authorised_from": DAY, "authorised_until": DAY});
        created(self.admin.post("/medications", medication).await)
    }

    pub(crate) async fn record(&self, activity: Value) -> Value {
        created(self.admin.post("/activities", activity).await)
    }
}

pub(crate) fn created(answer: Answer) -> Value {
    assert_eq!(answer.status, 201, "{} {:?}", answer.body, answer.fields());
    answer.data().clone()
}

pub(crate) fn refused(answer: &Answer, status: u16, fields: &[(&str, &str)]) {
    let expected: Vec<_> = fields.iter().map(|(field, code)| ((*field).to_owned(), (*code).to_owned())).collect();
    assert_eq!((answer.status, answer.fields()), (status, expected), "{}", answer.body);
}

pub(crate) fn texts<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|one| one[field].as_str().unwrap()).collect()
}

pub(crate) fn length(list: &Value) -> usize {
    list.as_array().unwrap().len()
}
