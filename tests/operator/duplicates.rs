//! `DatabaseServer` objects: two for one PostgreSQL server, and the end of one.

use kube::api::DeleteParams;
use serde_json::json;
use testing::{Postgres, PostgresOptions, Version};

use crate::fleet::{order, server_message, server_spec};
use crate::world::{Setup, World, run};

async fn own() -> Postgres {
    Postgres::start(Version::V18, PostgresOptions::default()).await.unwrap()
}

impl World {
    async fn delete_server(&self, name: &str) {
        self.servers().delete(name, &DeleteParams::default()).await.unwrap();
        self.until(&format!("{name} is gone"), async || self.servers().get_opt(name).await.unwrap().is_none()).await;
    }
}

#[test]
fn a_second_object_for_one_server_is_stalled_names_the_first_and_takes_no_school() {
    run(async {
        let mut world = World::new(Setup::default()).await;
        let server = own().await;
        world.add_server("first", &server, &["standard"]).await;
        world.admin_secret("second-admin", "postgres", server.superuser_password()).await;
        world.apply_server("second", server_spec("second", server.port(), &json!({"host": "localhost"}))).await;
        let second = world.server_when("second", "Stalled", "True", "DuplicateServer").await;
        assert!(server_message(&second, "Ready").starts_with("DatabaseServer first is for the same PostgreSQL server"), "{second:#?}");
        let status = second.status.unwrap();
        assert_eq!((status.system_identifier, status.allocated.unwrap().schools), (None, Some(0)), "who it is stays the first one's");
        let namespace = world.fresh_namespace().await;
        world.apply_school(&namespace, "twin", json!({"placement": {"serverName": "second"}})).await;
        world.school_when(&namespace, "twin", "Ready", "False", "ServerNotReady").await;

        // A restart decides as before.
        world.replace_operator(&[]).await;
        let touched = json!({"host": "localhost", "schedulable": true});
        world.apply_server("second", server_spec("second", server.port(), &touched)).await;
        world.server_when("second", "Stalled", "True", "DuplicateServer").await;
        world.server_when("first", "Ready", "True", "Ready").await;

        world.delete_server("first").await;
        world.server_when("second", "Ready", "True", "Ready").await;
        world.ready(&namespace, "twin").await;
        world.assert_statuses_are_true(&namespace).await;
    });
}

#[test]
fn an_object_for_a_server_that_cannot_be_used_can_be_deleted_at_once() {
    run(async {
        let world = World::new(Setup::default()).await;
        let foreign = own().await;
        // Another program's, so the operator refuses the server.
        order(&foreign, "postgres", "CREATE ROLE tenant_owner").await;
        world.admin_secret("foreign-admin", "postgres", foreign.superuser_password()).await;
        world.declare_server("foreign", foreign.port(), &["standard"]).await;
        world.server_when("foreign", "Ready", "False", "OwnedByAnother").await;
        world.declare_server("unsaid", foreign.port(), &["standard"]).await;
        world.server_when("unsaid", "Ready", "False", "AdminSecretInvalid").await;
        world.delete_server("foreign").await;
        world.delete_server("unsaid").await;
    });
}

#[test]
fn one_odd_row_in_the_registry_stops_neither_the_start_nor_any_other_school() {
    run(async {
        let mut world = World::new(Setup::default()).await;
        let namespace = world.fresh_namespace().await;
        let spec = json!({"placement": {"serverName": "pg-18"}});
        for code in ["odd", "even"] {
            world.apply_school(&namespace, code, spec.clone()).await;
            world.ready(&namespace, code).await;
        }
        order(&world.pg18, "dailycare_master", "UPDATE registry.tenants SET server = 'Not A Name' WHERE code = 'odd'").await;
        world.replace_operator(&[]).await;
        world.apply_school(&namespace, "later", spec).await;
        world.ready(&namespace, "later").await;
        world.ready(&namespace, "even").await;
        assert!(world.operator.log().contains("registry rows name no possible server"), "{}", world.log_tail());
        world.assert_statuses_are_true(&namespace).await;
    });
}
