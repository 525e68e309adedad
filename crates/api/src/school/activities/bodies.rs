//! What the bodies about activities hold, one activity's and a whole class's, and which fields belong to which kind.
//!
//! Must not read or write anything.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::{Field, Text};
use crate::school::column_enum::column_enum;

column_enum! {
    /// Kind of activity.
    ActivityKind { Meal = "meal", Nap = "nap", Nappy = "nappy", Play = "play", Observation = "observation" }
}
column_enum! {
    /// Meal of the day.
    Meal {
        Breakfast = "breakfast", MorningSnack = "morning_snack", Lunch = "lunch", AfternoonSnack = "afternoon_snack", Dinner = "dinner",
        Bottle = "bottle",
    }
}
column_enum! {
    /// How much of a meal the child ate.
    MealEaten { None = "none", Little = "little", Half = "half", Most = "most", All = "all" }
}
column_enum! {
    /// How the child slept.
    NapQuality { Calm = "calm", Restless = "restless", DidNotSleep = "did_not_sleep" }
}
column_enum! {
    /// Content of a nappy.
    Nappy { Dry = "dry", Wet = "wet", Soiled = "soiled", Both = "both" }
}

/// Makes the type of a body: its own fields, and then those that every body about an activity may have.
macro_rules! activity_body {
    ($(#[$doc:meta])* $name:ident { $($(#[$meta:meta])* $field:ident: $of:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$meta])* pub $field: $of,)*
            /// Time at which the activity ended, in RFC 3339 format, at most 24 hours after its start. Null for a single moment, or while it lasts.
            pub ended_at: Option<DateTime<Utc>>,
            /// Meal of the day. Required for the kind `meal`, and refused for the others.
            pub meal: Option<Meal>,
            /// How much of the meal the child ate. Refused unless the kind is `meal`.
            pub meal_eaten: Option<MealEaten>,
            /// Amount that the child drank from a bottle, in millilitres. Refused unless the meal is `bottle`.
            #[schema(minimum = 0, maximum = 1000)]
            pub bottle_ml: Option<i16>,
            /// How the child slept. Refused unless the kind is `nap`.
            pub nap_quality: Option<NapQuality>,
            /// Content of the nappy. Required for the kind `nappy`, and refused for the others.
            pub nappy: Option<Nappy>,
            /// Title of the activity, such as the game that was played. Required for the kind `play`.
            #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
            pub title: Option<String>,
            /// Free-text notes about the activity. Required for the kind `observation`.
            #[schema(max_length = 4000)]
            pub notes: Option<String>,
            /// Additional data as a JSON object, such as the menu, materials or development areas. At most 8 KiB.
            #[schema(value_type = Option<Object>, nullable = false)]
            pub details: Option<Map<String, Value>>,
            /// Whether guardians see the activity. Defaults to true.
            #[schema(nullable = false)]
            pub visible_to_guardians: Option<bool>,
        }
    };
}
pub(super) use activity_body;

activity_body! {
    /// Request body that records an activity.
    NewActivity {
        /// Id of the child (UUID).
        child_id: Uuid,
        /// Id of the class (UUID). Defaults to the class that the child was enrolled in on that day.
        class_id: Option<Uuid>,
        /// Kind of activity.
        kind: ActivityKind,
        /// Time at which the activity began, in RFC 3339 format. At most a day ahead.
        started_at: DateTime<Utc>,
    }
}

activity_body! {
    /// Request body that updates an activity. Absent fields keep their value; null clears a field. The child and the kind cannot be changed.
    ActivityChange {
        /// Id of the child's class at that time (UUID).
        class_id: Option<Uuid>,
        /// Time at which the activity began, in RFC 3339 format.
        #[schema(nullable = false)]
        started_at: Option<DateTime<Utc>>,
    }
}

/// The fields that belong to one kind.
const OF_KIND: [(&str, &str); 5] =
    [("meal", "meal"), ("meal_eaten", "meal"), ("bottle_ml", "meal"), ("nap_quality", "nap"), ("nappy", "nappy")];

/// Refuses the fields that belong to another kind, with `path` before their names. The table's constraints refuse them too, but report them as missing.
pub(super) fn foreign(kind: &str, value: &Value, path: &str) -> Vec<Field> {
    let sent = OF_KIND.into_iter().filter(|(column, of)| *of != kind && value.get(*column).is_some_and(|value| !value.is_null()));
    let message = || Text::new("não se aplica a este tipo de atividade", "does not apply to this kind of activity");
    sent.map(|(column, _)| Field { field: format!("{path}{column}"), code: "not_allowed", message: message() }).collect()
}
