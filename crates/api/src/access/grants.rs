//! What a user may do in a school, as the school's own tables say.
//!
//! Asked of memory first (ten seconds), then of the school's database; never of Redis, which could keep or forge what was withdrawn (decision 21). A
//! change made through this process is seen by whoever asks after its answer, one made through another within those ten seconds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::names::TenantId;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Tenant;
use super::connection::connect;
use super::permission::GIVES_RIGHTS;
use crate::app::App;
use crate::error::{Error, Result};
use crate::identity::{Principal, Role};

/// Scope of a permission: the whole school, or only records of the children whose guardian the user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Over the children of whom the user is a guardian.
    Own,
    /// Over every row.
    School,
}

/// A user's permissions in one school.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    answers: Cache<Question, (Asked, Arc<Grants>)>,
    /// Grows when a school's matrix changed here: what was asked before is not believed any more, also when its answer comes only later.
    generations: papaya::HashMap<TenantId, u64>,
}

/// When a question was asked: before its answer was read, so that nothing is thought newer than it is.
#[derive(Clone, Copy)]
struct Asked {
    at: Instant,
    generation: u64,
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
        // Platform staff act as the school's own administrators, for as long as their token says and under their own name.
        let acting = principal.impersonation.is_some();
        let (user, role) = if acting { (None, Some(Role::SchoolAdmin)) } else { (Some(principal.user.0), principal.role) };
        let question = (tenant.entry.tenant, user, role.map(Role::name));
        let asked = self.asking(question.0);
        if let Some(grants) = self.remembered(&question, asked) {
            return Ok(grants);
        }
        let grants = ask(app, tenant, user, question.2).await?;
        let grants = Arc::new(if acting { grants.acting() } else { grants });
        self.answers.insert(question, (asked, Arc::clone(&grants)));
        Ok(grants)
    }

    /// A school's matrix or somebody's roles changed: no answer counts any more that was asked for before. To be called once the change is committed:
    /// what is asked from now on is read from after it.
    pub fn forget(&self, tenant: TenantId) {
        self.generations.pin().update_or_insert(tenant, |generation| generation + 1, 1);
    }

    fn asking(&self, tenant: TenantId) -> Asked {
        Asked { at: Instant::now(), generation: self.generations.pin().get(&tenant).copied().unwrap_or_default() }
    }

    /// The answer of a moment ago, if nothing was forgotten since.
    fn remembered(&self, question: &Question, now: Asked) -> Option<Arc<Grants>> {
        let (asked, grants) = self.answers.get(question)?;
        (asked.generation == now.generation && now.at.duration_since(asked.at) < FRESH).then_some(grants)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_ten_seconds_unless_it_was_asked_for_before_a_change() {
        let (recent, here, elsewhere) = (Recent::default(), TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2)));
        let question = (here, Some(Uuid::from_u128(3)), None);
        let answer = |asked: Asked| recent.answers.insert(question, (asked, Arc::default()));
        let counts = || recent.remembered(&question, recent.asking(here)).is_some();
        answer(recent.asking(here));
        recent.forget(elsewhere);
        let late = Asked { at: Instant::now() + FRESH, ..recent.asking(here) };
        assert!(counts() && recent.remembered(&question, late).is_none());
        let slow = recent.asking(here);
        recent.forget(here);
        assert!(!counts(), "remembered over a change");
        answer(slow);
        assert!(!counts(), "an answer that was read before the change came after it and is believed");
        answer(recent.asking(here));
        assert!(counts());
    }
}
