//! Whose access tokens ended before their time: the accounts that changed within a token's life, held in memory.
//!
//! `NOTIFY users` brings a change at once, a poll within seconds if that is cut. While the master database is down the list stays as it is, and tokens stay
//! valid until they expire, within minutes. Must not grow with the number of users, and must not depend on Redis.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use chrono::Utc;
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
    /// Reads the accounts that changed within `window` seconds, in place of all that is held.
    pub(super) async fn load(&self, pool: &PgPool, window: i64) -> Result<()> {
        let users = changed(pool, window).await?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Held::new(users, MOST);
        Ok(())
    }

    /// Reads the accounts that changed within `recent` seconds and adds them to those that are held, and forgets those from before `window`: every change of an
    /// account is announced, and to read an hour of changes for each of them would be their number squared.
    pub(super) async fn load_recent(&self, pool: &PgPool, recent: i64, window: i64) -> Result<()> {
        let users = changed(pool, recent).await?;
        let oldest = Utc::now().timestamp() - window;
        self.0.write().unwrap_or_else(PoisonError::into_inner).add(users, oldest, MOST);
        Ok(())
    }

    /// Whether a token of this user, issued at this second, has been ended.
    pub(super) fn ended(&self, user: UserId, issued_at: i64) -> bool {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        issued_at < held.floor || held.users.get(&user.0).is_some_and(|from| issued_at < *from)
    }
}

/// The accounts that changed within `window` seconds, the latest first where they are too many.
async fn changed(pool: &PgPool, window: i64) -> Result<HashMap<Uuid, i64>> {
    let doing = "reading which sessions have ended";
    let query = "
            SELECT id, floor(extract(epoch FROM sessions_valid_from))::int8 FROM registry.users
            WHERE sessions_valid_from > now() - $1 * interval '1 second' ORDER BY sessions_valid_from DESC LIMIT $2";
    let rows = sqlx::query(query).bind(window).bind(MOST).fetch_all(pool).await.doing(doing)?;
    let users = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<HashMap<_, _>, sqlx::Error>>();
    users.doing(doing)
}

impl Held {
    fn new(users: HashMap<Uuid, i64>, most: i64) -> Self {
        let full = i64::try_from(users.len()).is_ok_and(|held| held >= most);
        let floor = if full { users.values().min().copied().unwrap_or_default() } else { 0 };
        Self { users, floor }
    }

    /// Adds changes. Of more than are held, those from before the oldest held one end every token.
    fn add(&mut self, recent: HashMap<Uuid, i64>, oldest: i64, most: i64) {
        self.users.retain(|_, from| *from >= oldest);
        for (user, from) in recent {
            let held = self.users.entry(user).or_insert(from);
            *held = from.max(*held);
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        // A reading of as many as are held may have left some out.
        if self.users.len() >= most {
            let mut times: Vec<i64> = self.users.values().copied().collect();
            times.sort_unstable_by(|a, b| b.cmp(a));
            self.floor = self.floor.max(times[most - 1]);
            self.users.retain(|_, from| *from >= times[most - 1]);
        }
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

    #[test]
    fn changes_are_added_and_the_oldest_are_forgotten_and_none_is_taken_back() {
        let (a, b, c) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let mut held = Held::new(HashMap::from([(a, 100), (b, 200)]), 9);
        held.add(HashMap::from([(b, 150), (c, 300)]), 150, 9);
        assert_eq!((held.users.clone(), held.floor), (HashMap::from([(b, 200), (c, 300)]), 0));
        held.add(HashMap::from([(a, 400)]), 150, 2);
        assert_eq!(
            (held.users, held.floor),
            (HashMap::from([(a, 400), (c, 300)]), 300),
            "of the one that is not held every older token ended"
        );
    }
}
