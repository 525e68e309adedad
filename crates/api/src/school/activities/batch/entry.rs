//! The body that records an activity for a whole class, and the rows that follow from it.
//!
//! Must not ask the database: it is told who is in the class.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::body::Body;
use crate::error::{Code, Error, Field, Result, Text};
use crate::school::activities::TIMES;
use crate::school::activities::bodies::{ActivityKind, Meal, MealEaten, NapQuality, Nappy, activity_body, foreign};
use crate::school::day;

/// The maximum number of rows of one entry: the largest class that the schema allows.
const MOST: usize = 200;

activity_body! {
    /// Request body that records an activity for a whole class: for every child who is enrolled on that day, unless `children` or `except` narrows
    /// it.
    ClassActivity {
        /// Ids of the only children to record the activity for (UUID).
        #[schema(max_items = 200, nullable = false)]
        children: Option<Vec<Uuid>>,
        /// Ids of children to leave out (UUID).
        #[schema(max_items = 200, nullable = false)]
        except: Option<Vec<Uuid>>,
        /// Values that differ for single children.
        #[schema(max_items = 200, nullable = false)]
        overrides: Option<Vec<ChildActivity>>,
        /// Kind of activity.
        kind: ActivityKind,
        /// Time at which the activity began, in RFC 3339 format.
        started_at: DateTime<Utc>,
    }
}

activity_body! {
    /// Values of an activity that differ for one child. Absent fields are as for the class; null clears a field.
    ChildActivity {
        /// Id of the child (UUID).
        child_id: Uuid,
        /// Time at which the child's activity began, in RFC 3339 format. Must be on the same day.
        #[schema(nullable = false)]
        started_at: Option<DateTime<Utc>>,
    }
}

/// The content of a body.
pub(super) struct Entry {
    pub(super) started_at: String,
    only: Option<Vec<Uuid>>,
    except: Vec<Uuid>,
    pub(super) overrides: Vec<(Uuid, Map<String, Value>)>,
    /// The fields that are the same for all children.
    activity: Map<String, Value>,
}

/// The fields of a body that select children, and no fields of an activity.
#[derive(Deserialize)]
struct Selection {
    children: Option<Vec<Uuid>>,
    #[serde(default)]
    except: Vec<Uuid>,
    #[serde(default)]
    overrides: Vec<Override>,
}

#[derive(Deserialize)]
struct Override {
    child_id: Uuid,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl Entry {
    pub(super) fn of(body: Body<ClassActivity>) -> Result<Self> {
        let internal = |error| Error::new(Code::Internal).because(error);
        let Value::Object(mut activity) = body.value else { return Err(Code::Internal.into()) };
        let selection: Map<_, _> = ["children", "except", "overrides"].into_iter().filter_map(|name| activity.remove_entry(name)).collect();
        let Selection { children, except, overrides } = serde_json::from_value(selection.into()).map_err(internal)?;
        let started_at = activity.get("started_at").and_then(Value::as_str).unwrap_or_default().to_owned();
        let overrides = overrides.into_iter().map(|one| (one.child_id, one.fields)).collect();
        Ok(Self { started_at, only: children, except, overrides, activity })
    }

    /// The children to record the activity for, in the order of `present`. Every child that the body names must be present, because a wrong id would record
    /// too many or too few.
    pub(super) fn children(&self, present: &[Uuid]) -> Result<Vec<Uuid>> {
        let known: HashSet<_> = present.iter().collect();
        let only = self.only.iter().flatten().enumerate().map(|(at, child)| (format!("children.{at}"), child));
        let except = self.except.iter().enumerate().map(|(at, child)| (format!("except.{at}"), child));
        let overrides = self.overrides.iter().enumerate().map(|(at, (child, _))| (format!("overrides.{at}.child_id"), child));
        let absent = only.chain(except).chain(overrides).filter(|(_, child)| !known.contains(child));
        let message = || Text::new("não está nesta sala nesse dia", "is not in this class on that day");
        let mut wrong: Vec<_> = absent.map(|(field, _)| Field { field, code: "not_found", message: message() }).collect();
        let chosen = |child: &&Uuid| self.only.as_ref().is_none_or(|only| only.contains(child)) && !self.except.contains(child);
        let children: Vec<Uuid> = present.iter().filter(chosen).copied().collect();
        if wrong.is_empty() && !(1..=MOST).contains(&children.len()) {
            let (code, pt, en) = if children.is_empty() {
                ("too_few", "não há crianças desta sala nesse dia".to_owned(), "no child is in this class on that day".to_owned())
            } else {
                ("too_many", format!("no máximo {MOST} crianças"), format!("must have at most {MOST} children"))
            };
            wrong.push(Field { field: "children".to_owned(), code, message: Text::new(pt, en) });
        }
        if wrong.is_empty() { Ok(children) } else { Err(Error::invalid(wrong)) }
    }

    /// A row for each child.
    pub(super) fn rows(&self, children: &[Uuid]) -> Result<Vec<Value>> {
        let kind = self.activity.get("kind").and_then(Value::as_str).unwrap_or_default();
        let activity = Value::Object(self.activity.clone());
        let mut wrong = foreign(kind, &activity, "");
        wrong.extend(day::too_far_ahead(&activity, "", TIMES, day::AHEAD));
        let mut overrides = HashMap::new();
        for (at, (child, fields)) in self.overrides.iter().enumerate() {
            let (fields_value, path) = (Value::Object(fields.clone()), format!("overrides.{at}."));
            wrong.extend(foreign(kind, &fields_value, &path));
            wrong.extend(day::too_far_ahead(&fields_value, &path, TIMES, day::AHEAD));
            if overrides.insert(child, fields).is_some() {
                let message = Text::new("a criança está repetida", "is repeated");
                wrong.push(Field { field: format!("overrides.{at}.child_id"), code: "repeated", message });
            }
        }
        if !wrong.is_empty() {
            return Err(Error::invalid(wrong));
        }
        // A set of rows names all of its columns, so the defaults of the table do not apply.
        let defaults: Map<_, _> =
            [("details".to_owned(), json!({})), ("visible_to_guardians".to_owned(), json!(true))].into_iter().collect();
        let row = |child: &Uuid| {
            let child_id = [("child_id".to_owned(), json!(child))];
            let own = overrides.get(child).into_iter().copied().flatten().map(|(name, value)| (name.clone(), value.clone()));
            Value::Object(defaults.clone().into_iter().chain(self.activity.clone()).chain(own).chain(child_id).collect())
        };
        Ok(children.iter().map(row).collect())
    }
}
