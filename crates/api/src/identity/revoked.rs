//! Whose access tokens ended before their time: the accounts that changed within a token's life, held in memory.
//!
//! `NOTIFY users` brings a change at once, a poll within seconds if that is cut. While the master database is down the list stays as it is, and tokens stay
//! valid until they expire, within minutes. Must not grow with the number of users, and must not depend on Redis.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use postgres::error::{Doing as _, Result};
use sqlx::Row as _;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::UserId;

/// Accounts in memory: about 6 MB. Beyond, see [`Held::floor`].
const MOST: i64 = 100_000;

#[derive(Default)]
pub(super) struct Revocations(RwLock<Held>);

#[derive(Default)]
struct Held {
    /// From which second on an account's tokens count.
    users: HashMap<Uuid, i64>,
    /// When more accounts changed than are held: no token that is older than the oldest held change counts, whosever it is.
    floor: i64,
}

impl Revocations {
    /// Reads the accounts that changed within `window` seconds.
    pub(super) async fn load(&self, pool: &PgPool, window: i64) -> Result<()> {
        let doing = "reading which sessions have ended";
        let query = "
            SELECT id, floor(extract(epoch FROM sessions_valid_from))::int8 FROM registry.users
            WHERE sessions_valid_from > now() - $1 * interval '1 second' ORDER BY sessions_valid_from DESC LIMIT $2";
        let rows = sqlx::query(query).bind(window).bind(MOST).fetch_all(pool).await.doing(doing)?;
        let users = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<HashMap<_, _>, sqlx::Error>>();
        let users: HashMap<Uuid, i64> = users.doing(doing)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Held::new(users, MOST);
        Ok(())
    }

    /// Whether a token of this user, issued at this second, has been ended.
    pub(super) fn ended(&self, user: UserId, issued_at: i64) -> bool {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        issued_at < held.floor || held.users.get(&user.0).is_some_and(|from| issued_at < *from)
    }
}

impl Held {
    fn new(users: HashMap<Uuid, i64>, most: i64) -> Self {
        let full = i64::try_from(users.len()).is_ok_and(|held| held >= most);
        let floor = if full { users.values().min().copied().unwrap_or_default() } else { 0 };
        Self { users, floor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_full_ends_every_older_token_and_one_that_is_not_ends_its_own() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let ended =
            |most, user, issued_at| Revocations(RwLock::new(Held::new(HashMap::from([(a, 100)]), most))).ended(UserId(user), issued_at);
        assert!(ended(2, a, 99) && !ended(2, a, 100) && !ended(2, b, 0));
        assert!(ended(1, b, 99) && !ended(1, b, 100));
    }
}
