//! An account that is made once for its request's `Idempotency-Key`, however often the request is sent.
//!
//! The first answer held a password, so it is not kept: sent again, the request finds its account and gets a new temporary password, as long as nobody has
//! signed in with the account. Must not give one of an account that is in use: that would be a reset in disguise.

use domain::names::TenantId;
use postgres::error::Doing as _;
use sqlx::postgres::{PgConnection, PgPool};
use tenancy::audit::Record;
use uuid::Uuid;

use super::dto::{NewUser, User};
use super::store::{self, Temporary, commit_with, insert, temporary};
use crate::error::{Code, Error, Result, Text};
use crate::identity::{UserId, begin, unavailable, within};

/// The key of a request to make an account.
pub struct AccountKey<'a> {
    /// Who asks: a key is its user's.
    pub user: UserId,
    /// As sent.
    pub key: &'a str,
    /// SHA-256 of the request's body.
    pub digest: &'a [u8; 32],
}

/// Makes an account as [`store::create`] does, or gives the one that the key's request has made a new temporary password; and whether it was there.
///
/// # Errors
/// As [`store::create`]; [`Code::IdempotencyKeyReused`] when the key was used for another request, [`Code::Conflict`] when the account is in use or gone.
pub async fn create_once(
    pool: &PgPool,
    tenant: TenantId,
    new: &NewUser,
    key: &AccountKey<'_>,
    record: &Record,
) -> Result<(Temporary, bool)> {
    let (password, hash) = temporary().await?;
    within(async {
        let mut transaction = begin(pool).await?;
        let made_now = key.claim(&mut transaction, tenant).await?;
        let user = if made_now {
            let user = insert(&mut transaction, tenant, new, &hash).await?;
            key.settle(&mut transaction, tenant, user.id).await?;
            user
        } else {
            let account = key.account(&mut transaction, tenant).await?;
            renewed(&mut transaction, tenant, account, &hash).await?
        };
        commit_with(transaction, record).await?;
        Ok((Temporary { user, password }, !made_now))
    })
    .await
}

impl AccountKey<'_> {
    /// Claims the key for this transaction; waits if another holds it. An expired key counts as new; other expired keys are deleted too, more of them than
    /// each request adds.
    async fn claim(&self, conn: &mut PgConnection, tenant: TenantId) -> Result<bool> {
        let doing = "claiming an idempotency key";
        let expired = "DELETE FROM registry.account_keys WHERE tenant_id = $1 AND user_id = $2 AND key = $3 AND expires_at < now()";
        let query = sqlx::query(expired).bind(tenant.0).bind(self.user.0).bind(self.key);
        query.execute(&mut *conn).await.doing(doing).map_err(unavailable)?;
        let insert = "
            INSERT INTO registry.account_keys (tenant_id, user_id, key, request_hash) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let query = sqlx::query(insert).bind(tenant.0).bind(self.user.0).bind(self.key).bind(&self.digest[..]);
        let new = query.execute(&mut *conn).await.doing(doing).map_err(unavailable)?.rows_affected() == 1;
        if new {
            let sweep = "
                DELETE FROM registry.account_keys WHERE (tenant_id, user_id, key) IN
                    (SELECT tenant_id, user_id, key FROM registry.account_keys
                     WHERE expires_at < now() ORDER BY expires_at LIMIT 100 FOR UPDATE SKIP LOCKED)";
            sqlx::query(sweep).execute(conn).await.doing("deleting expired idempotency keys").map_err(unavailable)?;
        }
        Ok(new)
    }

    /// The account that the key's request made.
    async fn account(&self, conn: &mut PgConnection, tenant: TenantId) -> Result<Option<Uuid>> {
        let select = "SELECT request_hash, account_id FROM registry.account_keys WHERE tenant_id = $1 AND user_id = $2 AND key = $3";
        let query = sqlx::query_as(select).bind(tenant.0).bind(self.user.0).bind(self.key);
        let kept: Option<(Vec<u8>, Option<Uuid>)> =
            query.fetch_optional(conn).await.doing("reading an idempotency key").map_err(unavailable)?;
        match kept {
            Some((digest, _)) if digest != self.digest[..] => Err(Code::IdempotencyKeyReused.into()),
            // The key expired and was deleted between the claim and this read.
            None => Ok(None),
            Some((_, account)) => Ok(account),
        }
    }

    /// Notes which account the key's request made.
    async fn settle(&self, conn: &mut PgConnection, tenant: TenantId, account: Uuid) -> Result<()> {
        let update = "UPDATE registry.account_keys SET account_id = $4 WHERE tenant_id = $1 AND user_id = $2 AND key = $3";
        let query = sqlx::query(update).bind(tenant.0).bind(self.user.0).bind(self.key).bind(account);
        query.execute(conn).await.doing("keeping an idempotency key").map(|_| ()).map_err(unavailable)
    }
}

/// A new temporary password for an account that nobody has signed in with.
async fn renewed(conn: &mut PgConnection, tenant: TenantId, account: Option<Uuid>, hash: &str) -> Result<User> {
    let update = store::user!(
        "UPDATE registry.users SET password_hash = $3, failed_logins = 0, locked_until = NULL
         WHERE tenant_id = $1 AND id = $2 AND NOT is_deleted AND must_change_password AND last_login_at IS NULL RETURNING",
        ""
    );
    let query = sqlx::query_as(update).bind(tenant.0).bind(account).bind(hash);
    let renewed = query.fetch_optional(conn).await.doing("renewing a temporary password").map_err(unavailable)?;
    renewed.ok_or_else(|| {
        let message = Text::new(
            "a conta deste pedido já foi usada ou removida; reponha a palavra-passe",
            "this request's account has been used or removed since; reset its password",
        );
        Error::conflict("idempotency-key", "spent", message)
    })
}
