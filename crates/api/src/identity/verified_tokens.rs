//! Own tokens that were verified a moment ago: a client sends the same one for minutes, and a signature costs more than the rest of the request's checks together.
//!
//! Found again by its SHA-256, so that no token is kept, while the keys are the ones that verified it and until it expires. Must not remember what was refused,
//! nor decide whether the account has changed since: that is asked for every request.

use std::sync::{Arc, Weak};

use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::sync::Cache;

use super::Principal;
use super::keys::SigningKeys;
use super::token::LEEWAY;

/// Tokens: every active user of a large fleet; some 300 bytes each.
const TOKENS: usize = 20_000;

pub(super) struct VerifiedTokenCache(Cache<Digest, Verified>);

type Digest = [u8; 32];

#[derive(Clone)]
struct Verified {
    principal: Principal,
    expires: i64,
    /// Keeps no key in memory that the file does not hold any more.
    by: Weak<SigningKeys>,
}

impl Default for VerifiedTokenCache {
    fn default() -> Self {
        Self(Cache::new(TOKENS))
    }
}

impl VerifiedTokenCache {
    /// Who a token speaks for, if these keys verified it and it has not expired.
    pub(super) fn principal(&self, token: &str, keys: &Arc<SigningKeys>, now: i64) -> Option<Principal> {
        let known = self.0.get(&of(token)?)?;
        let counts = known.expires > now - LEEWAY && std::ptr::eq(known.by.as_ptr(), Arc::as_ptr(keys));
        counts.then_some(known.principal)
    }

    /// These keys verified it.
    pub(super) fn remember(&self, token: &str, keys: &Arc<SigningKeys>, principal: &Principal, expires: i64) {
        if let Some(digest) = of(token) {
            self.0.insert(digest, Verified { principal: principal.clone(), expires, by: Arc::downgrade(keys) });
        }
    }
}

fn of(token: &str) -> Option<Digest> {
    digest(&SHA256, token.as_bytes()).as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use uuid::Uuid;

    use super::super::{Role, UserId};
    use super::*;

    fn keys() -> Arc<SigningKeys> {
        Arc::new(SigningKeys::parse(&SigningKeys::generate_file("k1").unwrap()).unwrap())
    }

    #[test]
    fn a_token_is_known_to_the_keys_that_verified_it_and_until_it_expires() {
        let (known, keys, others) = (VerifiedTokenCache::default(), keys(), keys());
        let (user, issued_at, token_id) = (UserId(Uuid::from_u128(1)), Utc::now(), "one".to_owned());
        let principal = Principal {
            user,
            tenant: None,
            role: Some(Role::PlatformAdmin),
            issued_at,
            token_id,
            impersonation: None,
            must_change_password: false,
        };
        known.remember("token", &keys, &principal, 100);
        assert_eq!(known.principal("token", &keys, 100), Some(principal.clone()));
        assert_eq!(known.principal("tokem", &keys, 100), None);
        assert_eq!(known.principal("token", &others, 100), None);
        assert_eq!(known.principal("token", &keys, 100 + LEEWAY), None);
        let by = Arc::downgrade(&keys);
        drop(keys);
        assert!(by.upgrade().is_none());
    }
}
