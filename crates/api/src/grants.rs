//! What a user may do in one school, and the memory of it that this process keeps for ten seconds.
//!
//! Holds values only: must not ask a database (`access` does), and must not be kept in Redis, which could keep or forge what was withdrawn (decision 21).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::names::TenantId;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Scope of a permission: the whole school, or only records of the children whose guardian the user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Over the children of whom the user is a guardian.
    Own,
    /// Over every row.
    School,
}

/// A user's permissions in one school, each with its scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(BTreeMap<String, Scope>);

impl Grants {
    /// How far a permission reaches; none when the user does not have it.
    #[must_use]
    pub fn scope(&self, permission: &str) -> Option<Scope> {
        self.0.get(permission).copied()
    }

    /// The same grants without these permissions.
    #[must_use]
    pub fn without(mut self, permissions: &[&str]) -> Self {
        self.0.retain(|code, _| !permissions.contains(&code.as_str()));
        self
    }

    /// All of them, by permission.
    pub fn all(&self) -> impl Iterator<Item = (&str, Scope)> {
        self.0.iter().map(|(code, scope)| (code.as_str(), *scope))
    }
}

impl FromIterator<(String, Scope)> for Grants {
    fn from_iter<I: IntoIterator<Item = (String, Scope)>>(grants: I) -> Self {
        Self(grants.into_iter().collect())
    }
}

/// Users whose grants are remembered: every active one of a large fleet; 200 bytes and their permissions each.
const USERS: usize = 20_000;

/// How long grants are remembered.
const FRESH: Duration = Duration::from_secs(10);

/// Whose grants: a user's in one school.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grantee {
    /// The school.
    pub tenant: TenantId,
    /// The user; none for platform staff who act in the school, who may all do the same.
    pub user: Option<Uuid>,
    /// The role that the token names. It is part of the key, because it decides grants too.
    pub role: Option<&'static str>,
}

/// Grants as read from schools' databases in the last ten seconds.
pub struct PermissionCache {
    grants: Cache<Grantee, (ReadAt, Arc<Grants>)>,
    /// A school's number grows when its matrix or somebody's roles change in this process. Grants that were asked for under an older number do not count,
    /// even if the database answers only later.
    generations: papaya::HashMap<TenantId, u64>,
}

/// When grants were asked for: before they were read, so that they are never thought newer than they are.
#[derive(Clone, Copy)]
pub struct ReadAt {
    at: Instant,
    generation: u64,
}

impl Default for PermissionCache {
    fn default() -> Self {
        Self { grants: Cache::new(USERS), generations: papaya::HashMap::new() }
    }
}

impl PermissionCache {
    /// Now, in this school: to be taken before the database is asked.
    #[must_use]
    pub fn now(&self, tenant: TenantId) -> ReadAt {
        ReadAt { at: Instant::now(), generation: self.generations.pin().get(&tenant).copied().unwrap_or_default() }
    }

    /// The grants that were read less than ten seconds before `now`, if nothing invalidated them since.
    #[must_use]
    pub fn get(&self, grantee: &Grantee, now: ReadAt) -> Option<Arc<Grants>> {
        let (read, grants) = self.grants.get(grantee)?;
        (read.generation == now.generation && now.at.duration_since(read.at) < FRESH).then_some(grants)
    }

    /// Remembers grants that were asked for at `read`.
    pub fn insert(&self, grantee: Grantee, read: ReadAt, grants: Arc<Grants>) {
        self.grants.insert(grantee, (read, grants));
    }

    /// Forgets all grants of a school, those still being read included. To be called after the change of its matrix or of somebody's roles is committed:
    /// what is read from then on includes the change.
    pub fn invalidate(&self, tenant: TenantId) {
        self.generations.pin().update_or_insert(tenant, |generation| generation + 1, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_ten_seconds_unless_it_was_asked_for_before_a_change() {
        let (cache, here, elsewhere) = (PermissionCache::default(), TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2)));
        let grantee = Grantee { tenant: here, user: Some(Uuid::from_u128(3)), role: None };
        let insert = |read: ReadAt| cache.insert(grantee, read, Arc::default());
        let counts = || cache.get(&grantee, cache.now(here)).is_some();
        insert(cache.now(here));
        cache.invalidate(elsewhere);
        let late = ReadAt { at: Instant::now() + FRESH, ..cache.now(here) };
        assert!(counts() && cache.get(&grantee, late).is_none());
        let slow = cache.now(here);
        cache.invalidate(here);
        assert!(!counts(), "remembered over a change");
        insert(slow);
        assert!(!counts(), "an answer that was read before the change came after it and is believed");
        insert(cache.now(here));
        assert!(counts());
    }
}
