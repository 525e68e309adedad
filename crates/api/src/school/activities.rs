//! Activities of a child's day: one at a time here, for a whole class in [`batch`].
//!
//! Must not record for several children: `batch` does.

pub mod batch;
mod bodies;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{FromRow, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use self::bodies::foreign;
pub use self::bodies::{ActivityChange, ActivityKind, Meal, MealEaten, NapQuality, Nappy, NewActivity};
use super::day::{self, class_on_the_day_of};
use crate::access::permission::{ActivitiesCreate, ActivitiesDelete, ActivitiesRead, ActivitiesUpdate};
use crate::error::{Error, Result};
use crate::resource::filter::equal;
use crate::resource::stored::StoredMoment;
use crate::resource::{Filter, LIVE_CHILD, LockedRow, Order, Reference, Resource, Stamp, own_child};

/// Its times.
const TIMES: &[&str] = &["started_at", "ended_at"];

/// The resource.
pub enum Activities {}

/// An activity of a child's day: a meal, a nap, a nappy change, play or an observation.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, FromRow)]
pub struct Activity {
    /// Id of the activity (UUID).
    pub id: Uuid,
    /// Id of the child (UUID).
    pub child_id: Uuid,
    /// Id of the child's class at that time (UUID).
    pub class_id: Option<Uuid>,
    /// Kind of activity.
    #[schema(value_type = ActivityKind)]
    pub kind: String,
    /// Time at which the activity began, in RFC 3339 format.
    #[sqlx(try_from = "StoredMoment")]
    pub started_at: DateTime<Utc>,
    /// Time at which the activity ended, in RFC 3339 format; null for a single moment, or while it lasts.
    #[sqlx(try_from = "StoredMoment")]
    pub ended_at: Option<DateTime<Utc>>,
    /// Meal of the day, if the kind is `meal`.
    #[schema(value_type = Option<Meal>)]
    pub meal: Option<String>,
    /// How much of the meal the child ate.
    #[schema(value_type = Option<MealEaten>)]
    pub meal_eaten: Option<String>,
    /// Amount that the child drank from a bottle, in millilitres.
    pub bottle_ml: Option<i16>,
    /// How the child slept, if the kind is `nap`.
    #[schema(value_type = Option<NapQuality>)]
    pub nap_quality: Option<String>,
    /// Content of the nappy, if the kind is `nappy`.
    #[schema(value_type = Option<Nappy>)]
    pub nappy: Option<String>,
    /// Title of the activity, such as the game that was played.
    pub title: Option<String>,
    /// Free-text notes about the activity.
    pub notes: Option<String>,
    /// Additional data as a JSON object, such as the menu, materials or development areas.
    #[schema(value_type = Object)]
    pub details: Value,
    /// Whether guardians see the activity.
    pub visible_to_guardians: bool,
    /// Id that all activities recorded by one request for a whole class share (UUID); null for a single activity.
    pub batch_id: Option<Uuid>,
    /// Version of the record, who wrote it and when.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub stamp: Stamp,
}

/// Filters of the list of activities.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActivityFilter {
    /// Only activities of this child.
    pub child_id: Option<Uuid>,
    /// Only activities of children who were in this class at that time.
    pub class_id: Option<Uuid>,
    /// Only activities of this kind.
    pub kind: Option<ActivityKind>,
    /// Only activities that one request for a whole class recorded, by its `batch_id`.
    pub batch_id: Option<Uuid>,
    /// Only activities that began on this day (`YYYY-MM-DD`) in the school's time zone.
    pub day: Option<NaiveDate>,
    /// Only activities that began at or after this time (RFC 3339).
    pub from: Option<DateTime<Utc>>,
    /// Only activities that began before this time (RFC 3339).
    pub until: Option<DateTime<Utc>>,
}

impl Filter for ActivityFilter {
    fn narrow(&self, query: &mut QueryBuilder<Postgres>) {
        equal(query, "child_id", self.child_id);
        equal(query, "class_id", self.class_id);
        equal(query, "kind", self.kind.map(ActivityKind::label));
        equal(query, "batch_id", self.batch_id);
        day::during(query, "t.started_at", self.day, self.from, self.until);
    }
}

impl Resource for Activities {
    const TABLE: &'static str = "activities";
    const PATH: &'static str = "/activities";
    const SINGULAR: &'static str = "activity";
    const COLUMNS: &'static str = "t.child_id, t.class_id, t.kind, t.started_at, t.ended_at, t.meal, t.meal_eaten, t.bottle_ml, \
         t.nap_quality, t.nappy, t.title, t.notes, t.details, t.visible_to_guardians, t.batch_id";
    const WRITABLE: &'static [&'static str] = &[
        "child_id",
        "class_id",
        "kind",
        "started_at",
        "ended_at",
        "meal",
        "meal_eaten",
        "bottle_ml",
        "nap_quality",
        "nappy",
        "title",
        "notes",
        "details",
        "visible_to_guardians",
    ];
    const ORDER: Order = Order { column: "t.started_at", of: "timestamptz", descending: true };
    const LIVE: &'static str = LIVE_CHILD;
    const OWN: &'static str = own_child!("t.visible_to_guardians AND t.child_id");
    const REFERENCES: &'static [Reference] = &[Reference::CHILD, Reference::to("class_id", "classes")];
    const DERIVED: &'static [(&'static str, &'static str)] = &[("class_id", class_on_the_day_of!("r.started_at"))];
    const DECIDING: Option<&'static str> = Some("kind");

    type Record = Activity;
    type New = NewActivity;
    type Change = ActivityChange;
    type Filter = ActivityFilter;
    type Read = ActivitiesRead;
    type Create = ActivitiesCreate;
    type Update = ActivitiesUpdate;
    type Delete = ActivitiesDelete;

    async fn check(_: &mut PgConnection, row: Option<&LockedRow>, value: &Value) -> Result<()> {
        let kept = row.and_then(|row| row.deciding.as_deref());
        let kind = kept.or_else(|| value.get("kind").and_then(Value::as_str)).unwrap_or_default();
        let mut wrong = foreign(kind, value, "");
        wrong.extend(day::too_far_ahead(value, "", TIMES, day::AHEAD));
        if wrong.is_empty() { Ok(()) } else { Err(Error::invalid(wrong)) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::body::Body;

    fn wrong<T: ToSchema + 'static>(value: &Value) -> Vec<(String, &'static str)> {
        let error = Body::<T>::read(value.to_string().as_bytes()).err();
        error.into_iter().flat_map(|error| error.fields).map(|field| (field.field, field.code)).collect()
    }

    #[test]
    fn what_may_not_be_empty_cannot_be_emptied() {
        let all = json!({"started_at": null, "details": null, "visible_to_guardians": null, "notes": null, "meal": null, "class_id": null});
        let mut fields: Vec<String> = wrong::<ActivityChange>(&all).into_iter().map(|(field, _)| field).collect();
        fields.sort();
        assert_eq!(fields, ["details", "started_at", "visible_to_guardians"]);
    }

    #[test]
    fn the_schema_holds_every_bound_of_the_table() {
        let sent = json!({"child_id": "x", "kind": "dance", "started_at": "today", "bottle_ml": 1001, "meal": "tea", "title": " ",
            "notes": "a".repeat(4001), "details": [], "batch_id": null});
        let mut fields = wrong::<NewActivity>(&sent);
        fields.sort();
        let expected = [
            ("batch_id", "unknown"),
            ("bottle_ml", "maximum"),
            ("child_id", "format"),
            ("details", "type"),
            ("kind", "enum"),
            ("meal", "enum"),
            ("notes", "too_long"),
            ("started_at", "format"),
            ("title", "blank"),
        ];
        assert_eq!(fields, expected.map(|(field, code)| (field.to_owned(), code)));
    }

    #[test]
    fn fields_of_another_kind_are_named() {
        let fields = foreign("nap", &json!({"meal": "lunch", "nap_quality": "calm", "nappy": null, "bottle_ml": 0}), "overrides.3.");
        assert_eq!(fields.into_iter().map(|field| field.field).collect::<Vec<_>>(), ["overrides.3.meal", "overrides.3.bottle_ml"]);
    }
}
