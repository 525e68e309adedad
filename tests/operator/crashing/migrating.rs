//! Crashes while a fleet is migrated.

use std::fs;

use postgres::schema::{Kind, Migrations, short};

use super::change::{Change, ExpectedEnd, MOMENTS, SCHEMA_RUNS};
use super::{Fixture, databases};

impl Fixture {
    /// Each time with one more migration than before, over a fleet with a School on each server.
    pub(super) async fn die_while_migrating(&mut self) {
        let fleet = ["veteran-1", "veteran-2"];
        for code in fleet {
            self.apply(code, Change::Create, "Active").await;
        }
        for code in fleet {
            self.world.ready(&self.namespace, code).await;
        }
        for (action, moment) in SCHEMA_RUNS.iter().flat_map(|action| MOMENTS.map(|moment| (*action, moment))) {
            self.world.operator.kill9().await.unwrap();
            self.oracle.target += 1;
            let target = self.oracle.target;
            let file = format!("CREATE TABLE app.crash_{target} (id int PRIMARY KEY);\n");
            fs::write(self.schema.path().join(format!("{target:04}_crash.sql")), file).unwrap();
            let remembered = self.die(moment, action, &fleet).await;
            let what = format!("killed {moment} {action} on the way to version {target}");
            for (code, remembered) in fleet.iter().zip(remembered) {
                self.settled(&what, ExpectedEnd::Ready, code).await;
                assert_eq!(self.oracle.memory(&self.namespace, code).await, remembered, "{what}");
            }
            self.only_the_new_template_is_left(&what).await;
        }
    }

    pub(super) async fn only_the_new_template_is_left(&mut self, what: &str) {
        let migrations = Migrations::from_dir(Kind::Tenant, self.schema.path()).unwrap();
        let expected = format!("dc_template_{}", short(migrations.digest()));
        for (server, conn) in &mut self.oracle.servers {
            let left = async || databases(conn).await == [expected.clone()];
            self.world.until(&format!("{what}: {server} has the one template"), left).await;
        }
    }
}
