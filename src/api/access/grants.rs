//! What a user may do in a school, as the school's own tables say.
//!
//! Asked of memory first (ten seconds), then of the cache, then of the school's database. A change made through this process is seen at once, one made
//! through another within those ten seconds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Tenant;
use super::connection::connect;
use super::permission::GIVES_RIGHTS;
use crate::api::app::App;
use crate::api::cache::Key;
use crate::api::error::{Error, Result};
use crate::api::identity::{Principal, Role};
use crate::domain::names::TenantId;

/// How far a permission reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Over the children of whom the user is a guardian.
    Own,
    /// Over every row.
    School,
}

/// A user's permissions in one school.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants(BTreeMap<String, Scope>);

impl Grants {
    /// How far a permission reaches; none when the user does not have it.
    #[must_use]
    pub fn scope(&self, permission: &str) -> Option<Scope> {
        self.0.get(permission).copied()
    }

    /// Without those that platform staff do not have while they act in a school.
    fn acting(mut self) -> Self {
        self.0.retain(|code, _| !GIVES_RIGHTS.contains(&code.as_str()));
        self
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (&str, Scope)> {
        self.0.iter().map(|(code, scope)| (code.as_str(), *scope))
    }
}

/// Users whose grants are remembered: every active one of a large fleet; 200 bytes and their permissions each.
const USERS: usize = 20_000;

/// How long they are remembered.
const FRESH: Duration = Duration::from_secs(10);

/// The role that the master database gives is part of the key: a token of another role is another question. Nobody stands for platform staff who act in
/// the school: they may do the same, whoever they are.
type Question = (TenantId, Option<Uuid>, Option<&'static str>);

/// Grants as asked a moment ago.
pub struct Recent {
    answers: Cache<Question, (Instant, u64, Arc<Grants>)>,
    /// Grows when a school's matrix changed here: what was remembered before is not believed any more.
    generations: papaya::HashMap<TenantId, u64>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { answers: Cache::new(USERS), generations: papaya::HashMap::new() }
    }
}

impl Recent {
    /// What this user may do in this school.
    ///
    /// # Errors
    /// When the school's database had to be asked and did not answer.
    pub async fn of(&self, app: &App, tenant: &Tenant, principal: &Principal) -> Result<Arc<Grants>> {
        let id = tenant.entry.tenant;
        // Platform staff act as the school's own administrators, for as long as their token says and under their own name.
        let acting = principal.impersonation.is_some();
        let (user, role) = if acting { (None, Some(Role::SchoolAdmin)) } else { (Some(principal.user.0), principal.role) };
        let role = role.map(Role::name);
        let question = (id, user, role);
        let generation = self.generation(id);
        if let Some((asked, of, grants)) = self.answers.get(&question)
            && of == generation
            && asked.elapsed() < FRESH
        {
            return Ok(grants);
        }
        let asked = Instant::now();
        let key = Key::of("permissions", &user.unwrap_or_default()).and(role.unwrap_or("none"));
        let grants = app.cache.get_or_load(id, key, Box::pin(ask(app, tenant, user, role))).await?;
        let grants = Arc::new(if acting { grants.acting() } else { grants });
        self.answers.insert(question, (asked, generation, Arc::clone(&grants)));
        Ok(grants)
    }

    /// A school's matrix or somebody's roles changed: nothing that was remembered of that school counts any more.
    pub async fn forget(&self, app: &App, tenant: TenantId) {
        self.generations.pin().update_or_insert(tenant, |generation| generation + 1, 1);
        app.cache.flush(tenant).await;
    }

    fn generation(&self, tenant: TenantId) -> u64 {
        self.generations.pin().get(&tenant).copied().unwrap_or_default()
    }
}

async fn ask(app: &App, tenant: &Tenant, user: Option<Uuid>, role: Option<&str>) -> Result<Grants, Error> {
    let mut conn = connect(app, tenant).await?;
    let look = "
        SELECT permission_code, bool_or(scope = 'school') FROM app.role_permissions
        WHERE role_code = $2 OR role_code IN (SELECT role_code FROM app.user_roles WHERE user_id = $1) GROUP BY permission_code";
    let rows: Vec<(String, bool)> = sqlx::query_as(look).bind(user).bind(role).fetch_all(&mut *conn).await?;
    conn.finish();
    Ok(Grants(rows.into_iter().map(|(code, all)| (code, if all { Scope::School } else { Scope::Own })).collect()))
}
