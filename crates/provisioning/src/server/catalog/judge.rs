//! What a catalog row means for the planner: whose the database and login are, and who may enter.
//!
//! Must not query: it judges the facts of one row.

use domain::names::{ClusterUid, TenantId};
use domain::school::observed::{CatalogFacts, DatabaseAccess, ObservedDatabase, ObservedLogin, Schema};
use postgres::schema::Migrations;
use secrecy::ExposeSecret as _;

use super::Expected;
use super::facts::Facts;
use crate::scram;
use crate::server::ownership::{DatabaseComment, LoginComment, OwnershipComment as _};
use crate::server::sql::desired_acl;

impl Facts {
    pub(super) fn judge(&self, expected: &Expected, migrations: &Migrations) -> CatalogFacts {
        let login = self.login(expected);
        CatalogFacts { database: self.database(expected, login, migrations), login, spare: self.spare, template: self.template }
    }

    /// The fingerprint of the login's password, if the login is ours.
    pub(super) fn fingerprint(&self, expected: &Expected) -> Option<String> {
        let comment = LoginComment::parse(self.login_comment.as_deref())?;
        ours(comment.tenant, comment.cluster, expected).then_some(comment.password)
    }

    fn login(&self, expected: &Expected) -> ObservedLogin {
        if !self.login_exists {
            return ObservedLogin::Absent;
        }
        match LoginComment::parse(self.login_comment.as_deref()) {
            Some(comment) if ours(comment.tenant, comment.cluster, expected) => {
                // What PostgreSQL has counts. What was once set is only believed where that cannot be read.
                let recorded = || expected.fingerprints.contains(&comment.password);
                if self.has_password(expected).unwrap_or_else(recorded) { ObservedLogin::Matching } else { ObservedLogin::Differing }
            }
            Some(_) | None => ObservedLogin::Foreign,
        }
    }

    /// The login has the password in the Secret; none when that cannot be told.
    fn has_password(&self, expected: &Expected) -> Option<bool> {
        scram::is_of(self.stored_password.as_ref()?.expose_secret(), expected.password.as_ref()?)
    }

    fn database(&self, expected: &Expected, login: ObservedLogin, migrations: &Migrations) -> ObservedDatabase {
        if !self.database_exists {
            return ObservedDatabase::Absent;
        }
        match DatabaseComment::parse(self.database_comment.as_deref()) {
            Some(comment) if ours(comment.tenant, comment.cluster, expected) => {
                if self.interrupted {
                    return ObservedDatabase::Broken;
                }
                let genuine = migrations.digest_at(comment.schema) == Some(comment.digest.as_str());
                ObservedDatabase::Ours { schema: Schema { version: comment.schema, genuine }, access: self.access(expected, login) }
            }
            Some(_) | None => ObservedDatabase::Foreign { entered: self.entered(login) },
        }
    }

    /// The login is ours and may log in, or has a session in the database.
    fn entered(&self, login: ObservedLogin) -> bool {
        match login {
            ObservedLogin::Matching | ObservedLogin::Differing => self.can_login || self.lingers,
            ObservedLogin::Absent | ObservedLogin::Foreign => false,
        }
    }

    fn access(&self, expected: &Expected, login: ObservedLogin) -> DatabaseAccess {
        if !self.allows {
            return DatabaseAccess::Barred;
        }
        // Of a role that is not ours, only its right to enter counts.
        let (role_plain, can_login) = match login {
            ObservedLogin::Absent | ObservedLogin::Foreign => (true, false),
            ObservedLogin::Matching | ObservedLogin::Differing => (self.login_plain && self.member, self.can_login),
        };
        let may_connect = |login| same(&self.acl, &desired_acl(login));
        let limit = self.connection_limit == i32::from(expected.connection_limit);
        if !(self.database_plain && role_plain) {
            DatabaseAccess::Drifted
        } else if can_login && limit && may_connect(Some(expected.objects.login.as_str())) {
            DatabaseAccess::Open
        } else if !can_login && !self.lingers && may_connect(None) {
            DatabaseAccess::Closed
        } else {
            DatabaseAccess::Drifted
        }
    }
}

fn ours(tenant: TenantId, cluster: ClusterUid, expected: &Expected) -> bool {
    tenant == expected.objects.tenant && cluster == expected.objects.cluster
}

/// The same rights in any order; neither list repeats one.
fn same(observed: &[String], desired: &[String]) -> bool {
    observed.len() == desired.len() && desired.iter().all(|right| observed.contains(right))
}
