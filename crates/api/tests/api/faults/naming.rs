//! Which school a request is for: headers, tokens, unknown and malformed names.

use api_testing::{Answer, Client, Signer, world};
use testing::until;
use uuid::Uuid;

use super::fixture::{MASTER, superuser};

#[tokio::test]
async fn a_header_that_names_another_school_is_refused_and_recorded_with_the_platform() {
    let world = world().await;
    let (north, south) = (world.school("norte").await, world.school("sul").await);
    let ana = north.user("SchoolAdmin").await;
    assert_eq!(ana.header("x-tenant-id", "sul").get("/children").await.code(), "TENANT_MISMATCH");
    let mut master = superuser(&world, MASTER).await;
    let count = "SELECT count(*) FROM registry.access_audit WHERE user_id = $1 AND action = 'children:read' AND NOT success";
    until("the record", async || sqlx::query_scalar::<_, i64>(count).bind(ana.user).fetch_one(&mut master).await.unwrap() == 1).await;
    for school in [&north, &south] {
        assert_eq!(
            school.scalar::<i64>("SELECT count(*) FROM app.access_audit WHERE NOT success").await,
            0,
            "no school learns that others were named"
        );
    }
}

#[tokio::test]
async fn who_has_no_token_leaves_a_few_records_however_often_they_ask() {
    const OFTEN: i64 = 60;
    let world = world().await;
    let north = world.school("norte").await;
    let ana = north.user("SchoolAdmin").await;
    let nobody = Client::with_token(world.api.address, "x", Uuid::nil());
    for _ in 0..OFTEN {
        assert_eq!(nobody.get("/children").await.code(), "UNAUTHENTICATED");
    }
    assert_eq!(ana.header("x-tenant-id", "sul").get("/children").await.code(), "TENANT_MISMATCH");
    let mut master = superuser(&world, MASTER).await;
    let mut refusals = async |action: &'static str| {
        let count = "SELECT count(*) FROM registry.access_audit WHERE action = $1 AND NOT success";
        sqlx::query_scalar::<_, i64>(count).bind(action).fetch_one(&mut master).await.unwrap()
    };
    // The last request, so it is written last.
    until("the refusal of a user", async || refusals("children:read").await == 1).await;
    assert!((1..OFTEN).contains(&refusals("auth:verify").await), "a row for every request");
    let metrics = reqwest::get(format!("http://{}/metrics", world.api.http_address)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"dailycare_api_audit_unrecorded_total{cause="address"}"#), "{metrics}");
}

#[tokio::test]
async fn a_school_is_named_by_its_token_and_by_one_canonical_header_at_most() {
    let world = world().await;
    let (north, south) = (world.school("norte").await, world.school("sul").await);
    let ana = north.user("SchoolAdmin").await;
    let id = north.id().to_string();
    assert_eq!(ana.anonymous().header("x-tenant-id", &id).get("/children").await.code(), "UNAUTHENTICATED", "a header alone is nobody");
    let twice = ana.header("x-tenant-id", &id);
    assert_eq!(twice.header("x-tenant-id", &id).get("/children").await.status, 400);
    assert_eq!(twice.header("x-tenant-id", &south.id().to_string()).get("/children").await.status, 400);
    let encoded = format!("%{:02x}{}", id.as_bytes()[0], &id[1..]);
    let malformed = [format!("{id},{id}"), format!("{id}, sul"), "NORTE".into(), "nor te".into(), encoded, String::new()];
    for value in malformed {
        let answer = ana.header("x-tenant-id", &value).get("/children").await;
        assert_eq!((answer.status, answer.code()), (400, "INVALID_TENANT"), "{value:?}");
    }
    let south_id = south.id().to_string();
    for name in ["x-forwarded-tenant", "x-forwarded-tenant-id", "x-forwarded-host", "forwarded", "x-original-tenant-id"] {
        assert_eq!(ana.header(name, &south_id).get("/children").await.status, 200, "{name} is nobody's word");
    }
}

#[tokio::test]
async fn an_unknown_school_and_a_malformed_one_are_told_the_same() {
    let world = world().await;
    let north = world.school("norte").await;
    let signer = Signer::new(&world.signing_keys());
    let ana = north.user("SchoolAdmin").await;
    let stranger = Client::with_token(world.api.address, &signer.token(ana.user, Some(Uuid::from_u128(9)), "SchoolAdmin"), ana.user);
    let (unknown, malformed) = (stranger.get("/children").await, ana.header("x-tenant-id", "%").get("/children").await);
    let without_id = |answer: &Answer| {
        let mut body = answer.body.clone();
        body["error"]["request_id"].take();
        (answer.status, body)
    };
    assert_eq!(without_id(&unknown), without_id(&malformed));
    assert_eq!(unknown.body["error"]["message"], "Tenant inválido ou não encontrado", "the seed's words");
}
