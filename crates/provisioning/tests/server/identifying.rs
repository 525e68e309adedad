//! Who a server is, where its host keeps the system identifier to itself.

use domain::server::identity::ServerIdentity;
use provisioning::server::identity::identify;
use provisioning::server::{Error, MARKER, marker};

use crate::fixtures::{Admin, Server, on_every_bare_server};

/// What the server tells the admin.
async fn answered(server: &Server) -> ServerIdentity {
    identify(&mut server.pool.acquire().await.unwrap()).await.unwrap().of_server
}

async fn hide(server: &Server) {
    server.as_superuser("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC").await;
}

#[tokio::test]
async fn a_server_that_does_not_tell_its_system_identifier_is_known_by_a_marker_that_is_written_once() {
    on_every_bare_server(async |server| {
        hide(&server).await;
        let before = answered(&server).await;
        // A superuser is refused nothing.
        assert_eq!(before.system.is_some(), server.kind == Admin::Superuser);
        assert_eq!(before.marker, None);
        marker::write(&server.pool).await.unwrap();
        let known = answered(&server).await;
        assert!(known.system == before.system && known.marker.is_some(), "{known:?}");
        let catalogs = server.catalogs().await;
        marker::write(&server.pool).await.unwrap();
        assert_eq!((answered(&server).await, server.catalogs().await), (known, catalogs));
        let harmless =
            format!("SELECT NOT (rolcanlogin OR rolsuper OR rolcreatedb OR rolcreaterole) FROM pg_roles WHERE rolname = '{MARKER}'");
        assert!(server.query::<bool>(&harmless).await);
        assert!(!server.log().contains("permission denied"), "a function that is refused is not called");
    })
    .await;
}

#[tokio::test]
async fn a_marker_that_came_with_a_dump_of_another_servers_roles_counts_for_nothing_and_is_replaced() {
    on_every_bare_server(async |server| {
        hide(&server).await;
        marker::write(&server.pool).await.unwrap();
        let first = answered(&server).await.marker.unwrap();
        // As a dump restores it: the comment as it was, on a role with a number of its own.
        let comment = server.query::<String>(&format!("SELECT shobj_description('{MARKER}'::regrole, 'pg_authid')")).await;
        server.as_admin(&format!("DROP ROLE {MARKER}")).await;
        server.as_admin(&format!("CREATE ROLE {MARKER}; COMMENT ON ROLE {MARKER} IS '{comment}'")).await;
        assert_eq!(answered(&server).await.marker, None);
        marker::write(&server.pool).await.unwrap();
        let second = answered(&server).await.marker.unwrap();
        assert_ne!(second, first);
    })
    .await;
}

#[tokio::test]
async fn a_marker_whose_comment_was_removed_is_written_again_unless_the_role_may_do_something() {
    on_every_bare_server(async |server| {
        hide(&server).await;
        marker::write(&server.pool).await.unwrap();
        server.as_admin(&format!("COMMENT ON ROLE {MARKER} IS NULL")).await;
        assert_eq!(answered(&server).await.marker, None);
        marker::write(&server.pool).await.unwrap();
        assert!(answered(&server).await.marker.is_some());
        server.as_superuser(&format!("COMMENT ON ROLE {MARKER} IS NULL; ALTER ROLE {MARKER} LOGIN")).await;
        let refused = marker::write(&server.pool).await;
        assert!(matches!(&refused, Err(Error::NotOurs { name, .. }) if name == MARKER), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn a_role_of_the_markers_name_that_is_somebody_elses_is_left_alone() {
    on_every_bare_server(async |server| {
        server.as_superuser(&format!("CREATE ROLE {MARKER}; COMMENT ON ROLE {MARKER} IS 'theirs'")).await;
        let before = server.catalogs().await;
        assert_eq!(answered(&server).await.marker, None);
        let refused = marker::write(&server.pool).await;
        assert!(matches!(&refused, Err(Error::NotOurs { name, .. }) if name == MARKER), "{refused:?}");
        assert_eq!(server.catalogs().await, before);
    })
    .await;
}
