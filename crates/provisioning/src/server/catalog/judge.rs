//! What a catalog row means for the planner: whose the database and login are, and who may enter.

use domain::names::{ClusterUid, TenantId};
use domain::school::seen::{Access, Database, Login, OnServer, Schema};
use postgres::schema::Migrations;

use super::Expected;
use super::facts::Facts;
use crate::server::ownership::{DatabaseComment, LoginComment, OwnershipComment as _};
use crate::server::sql::desired_acl;

impl Facts {
    pub(super) fn judge(&self, expected: &Expected, migrations: &Migrations) -> OnServer {
        let login = self.login(expected);
        OnServer { database: self.database(expected, login, migrations), login, spare: self.spare }
    }

    fn login(&self, expected: &Expected) -> Login {
        if !self.login_exists {
            return Login::Absent;
        }
        match LoginComment::parse(self.login_comment.as_deref()) {
            Some(comment) if ours(comment.tenant, comment.cluster, expected) => {
                if expected.fingerprints.contains(&comment.password) {
                    Login::Matching
                } else {
                    Login::Differing
                }
            }
            _ => Login::Foreign,
        }
    }

    fn database(&self, expected: &Expected, login: Login, migrations: &Migrations) -> Database {
        if !self.database_exists {
            return Database::Absent;
        }
        match DatabaseComment::parse(self.database_comment.as_deref()) {
            Some(comment) if ours(comment.tenant, comment.cluster, expected) => {
                if self.interrupted {
                    return Database::Broken;
                }
                let genuine = migrations.digest_at(comment.schema) == Some(comment.digest.as_str());
                Database::Ours { schema: Schema { version: comment.schema, genuine }, access: self.access(expected, login) }
            }
            _ => Database::Foreign,
        }
    }

    fn access(&self, expected: &Expected, login: Login) -> Access {
        if !self.allows {
            return Access::Barred;
        }
        // Of a role that is not ours, only its right to enter counts.
        let (role_plain, can_login) = match login {
            Login::Absent | Login::Foreign => (true, false),
            Login::Matching | Login::Differing => (self.login_plain && self.member, self.can_login),
        };
        let may_connect = |login| same(&self.acl, &desired_acl(login));
        let limit = self.connection_limit == i32::from(expected.connection_limit);
        if !(self.database_plain && role_plain) {
            Access::Drifted
        } else if can_login && limit && may_connect(Some(expected.objects.login.as_str())) {
            Access::Open
        } else if !can_login && !self.lingers && may_connect(None) {
            Access::Closed
        } else {
            Access::Drifted
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
