//! The report of a child's day: meals, naps, nappies, play, medication and incidents, read as of one point in time.
//!
//! Must not show more of any part than the caller's permission to read that part allows.

use axum::response::{IntoResponse as _, Response};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use sqlx::postgres::PgConnection;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::activities::{Activities, Activity, ActivityKind};
use super::children::{Child, Children};
use super::day;
use super::incidents::{Incident, Incidents};
use super::medication_administrations::{MedicationAdministration, MedicationAdministrations};
use crate::access::permission::{ActivitiesRead, ChildrenRead, HealthRead, IncidentsRead, ReportsRead};
use crate::access::{Access, Permission};
use crate::answer::Data;
use crate::app::App;
use crate::document::QueriesItem;
use crate::error::{Code, Result};
use crate::grants::Scope;
use crate::resource::filter::{Id, Parameters};
use crate::resource::{Resource, select};

/// The maximum number of rows of each part: fifty times those of a busy day.
const MOST: i64 = 500;

/// Report of a child's day.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DailyReport {
    /// Day of the report (`YYYY-MM-DD`).
    pub date: NaiveDate,
    /// The child; absent if the caller may not read children.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub child: Option<Child>,
    /// Class that the child was enrolled in on that day; null if there was none.
    pub class: Option<ReportClass>,
    /// Meals of the day, earliest first; absent if the caller may not read activities.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub meals: Option<Vec<Activity>>,
    /// Naps of the day, earliest first; absent if the caller may not read activities.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub naps: Option<Vec<Activity>>,
    /// Total duration of the naps, in minutes. Naps that have not ended are not counted. Absent if the caller may not read activities.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub nap_minutes: Option<i64>,
    /// Nappy changes of the day, earliest first; absent if the caller may not read activities.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub nappies: Option<Vec<Activity>>,
    /// Play of the day, earliest first; absent if the caller may not read activities.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub play: Option<Vec<Activity>>,
    /// Observations of the day, earliest first; absent if the caller may not read activities.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub observations: Option<Vec<Activity>>,
    /// Doses of medication that were given, refused or missed, earliest first; absent if the caller may not read health records.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub medication: Option<Vec<MedicationAdministration>>,
    /// Incidents of the day, earliest first; absent if the caller may not read incidents.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub incidents: Option<Vec<Incident>>,
}

/// Class of a child on one day.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReportClass {
    /// Id of the class (UUID).
    pub id: Uuid,
    /// Name of the class.
    pub name: String,
}

/// Day of a daily report.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReportDay {
    /// Day of the report (`YYYY-MM-DD`) in the school's time zone. Defaults to today.
    pub date: Option<NaiveDate>,
}

/// The route.
#[must_use]
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read_daily_report))
}

/// Get the report of a child's day
///
/// Each part is present if the caller holds the permission to read it: `children:read` for the child, `activities:read` for the activities, `health:read`
/// for medication and `incidents:read` for incidents. Guardians see only activities that are visible to them, and only if the setting
/// `reports.visible_to_guardians` is true. Requires the permission `reports:read`.
#[utoipa::path(
    get, path = "/children/{id}/daily-report", tag = "reports", operation_id = "getDailyReport",
    params(("id" = Uuid, Path, description = "Id of the child (UUID)."), ReportDay),
    responses((status = 200, description = "The report, from the data as it is now.", body = Data<DailyReport>), QueriesItem)
)]
async fn read_daily_report(access: Access<ReportsRead>, Id(id): Id, Parameters(day): Parameters<ReportDay>) -> Result<Response> {
    let grants = Box::pin(access.grants()).await?;
    // No part has a larger scope than the report.
    let within = if access.own().is_some() { Scope::Own } else { Scope::School };
    let own = |scope| (scope == Scope::Own).then_some(access.principal().user.0);
    let visible = |permission| grants.scope(permission).map(|scope| VisibleRows { own: own(scope.min(within)) });
    let mut conn = access.begin_read().await?;
    select::one::<Children>(&mut conn, id, access.own()).await?.ok_or(Code::NotFound)?;
    let child = match visible(ChildrenRead::CODE) {
        Some(VisibleRows { own }) => select::one::<Children>(&mut conn, id, own).await?.map(|found| found.record),
        None => None,
    };
    let heading = Heading::read(&mut conn, id, day.date).await?;
    if access.own().is_some() && !heading.visible {
        return Err(Code::Forbidden.into());
    }
    let Heading { date, .. } = heading;
    let medication = part::<MedicationAdministrations>(&mut conn, id, visible(HealthRead::CODE), date).await?;
    let incidents = part::<Incidents>(&mut conn, id, visible(IncidentsRead::CODE), date).await?;
    let activities = part::<Activities>(&mut conn, id, visible(ActivitiesRead::CODE), date).await?;
    conn.end().await;
    let report = DailyReport { child, medication, incidents, ..DailyReport::of(heading, activities) };
    Ok(Data::new(report).into_response())
}

/// The rows that a permission covers: all, or those of one user.
#[derive(Clone, Copy)]
struct VisibleRows {
    own: Option<Uuid>,
}

/// The day, the class and the visibility of a report.
#[derive(FromRow)]
struct Heading {
    date: NaiveDate,
    visible: bool,
    class_id: Option<Uuid>,
    class_name: Option<String>,
}

impl Heading {
    async fn read(conn: &mut PgConnection, child: Uuid, date: Option<NaiveDate>) -> Result<Self> {
        let select = "
            SELECT d.date, k.id AS class_id, k.name AS class_name,
                   coalesce((SELECT s.value = 'true' FROM app.settings s WHERE s.key = 'reports.visible_to_guardians'), false) AS visible
            FROM (SELECT coalesce($2, app.day_of(now())) AS date) d
            LEFT JOIN app.enrolments e ON e.child_id = $1 AND e.deleted_at IS NULL
                                      AND d.date BETWEEN e.starts_on AND coalesce(e.ends_on, 'infinity')
            LEFT JOIN app.classes k ON k.id = e.class_id";
        Ok(sqlx::query_as(select).bind(child).bind(date).fetch_one(conn).await?)
    }
}

/// The rows of a child's day that are visible, earliest first; none without the permission to read them.
async fn part<R: Resource>(
    conn: &mut PgConnection,
    child: Uuid,
    visible: Option<VisibleRows>,
    date: NaiveDate,
) -> Result<Option<Vec<R::Record>>> {
    let Some(VisibleRows { own }) = visible else { return Ok(None) };
    let mut query = select::rows::<R>(own);
    query.push(" AND t.child_id = ").push_bind(child);
    day::during(&mut query, R::ORDER.column, Some(date), None, None);
    query.push(format!(" ORDER BY {}, t.id LIMIT {MOST}", R::ORDER.column));
    Ok(Some(query.build_query_as().fetch_all(conn).await?))
}

impl DailyReport {
    fn of(heading: Heading, activities: Option<Vec<Activity>>) -> Self {
        let mut of_kind = activities.map(|activities| {
            activities.into_iter().fold(std::collections::HashMap::<String, Vec<Activity>>::new(), |mut kinds, activity| {
                kinds.entry(activity.kind.clone()).or_default().push(activity);
                kinds
            })
        });
        let mut take = |kind: ActivityKind| of_kind.as_mut().map(|of_kind| of_kind.remove(kind.label()).unwrap_or_default());
        let naps = take(ActivityKind::Nap);
        let minutes =
            |naps: &Vec<Activity>| naps.iter().filter_map(|nap| Some((nap.ended_at? - nap.started_at).num_seconds())).sum::<i64>() / 60;
        Self {
            date: heading.date,
            child: None,
            class: heading.class_id.zip(heading.class_name).map(|(id, name)| ReportClass { id, name }),
            meals: take(ActivityKind::Meal),
            nap_minutes: naps.as_ref().map(minutes),
            naps,
            nappies: take(ActivityKind::Nappy),
            play: take(ActivityKind::Play),
            observations: take(ActivityKind::Observation),
            medication: None,
            incidents: None,
        }
    }
}
