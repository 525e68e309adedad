//! What a caller sends or breaks off.

use api_testing::{World, connections, world};
use serde_json::json;
use sqlx::AssertSqlSafe;
use testing::{Version, until};

use super::fixture::{name, run, superuser};

#[tokio::test]
async fn no_text_of_a_caller_is_ever_sql() {
    let world = world().await;
    let north = world.school("norte").await;
    let ana = north.user("SchoolAdmin").await;
    let child = name(&ana, "Rita").await;
    let corpus = [
        "'",
        "''",
        "\"",
        "\\",
        "\\'",
        ";",
        "--",
        "/*",
        "' OR '1'='1",
        "' OR 1=1 --",
        "1; DROP TABLE app.children",
        "'; DROP TABLE app.children; --",
        "') OR ('1'='1",
        "' UNION SELECT null, null --",
        "1 AND 1=1",
        "' AND pg_sleep(9) --",
        "'||(SELECT current_user)||'",
        "$1",
        "$$",
        "$tag$",
        "%27",
        "%",
        "_",
        "\u{0}",
        "\u{feff}",
        "ʼ",
        "＇",
        "\u{202e}",
        ":*",
        "a:*",
        "a & b",
        "!a",
        "(a",
        "a <-> b",
        "{}",
        "{user}",
        "NULL",
        "E'\\x27'",
        "U&'\\0027'",
        "x\r\nSET-COOKIE: a",
        "\u{1F600}",
    ];
    for text in corpus {
        let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        for path in [
            "/children?name=",
            "/children?class_id=",
            "/children?guardian_id=",
            "/children?after=",
            "/children?limit=",
            "/children?",
            "/children/",
        ] {
            let answer = ana.get(&format!("{path}{encoded}")).await;
            assert!(answer.status < 500, "{path}{text:?}: {}", answer.body);
            assert!(answer.status != 200 || path != "/children/", "{text:?}");
        }
        for (field, most) in [("full_name", 201), ("notes", 201), ("nationality", 422), ("birth_date", 422), ("id", 422)] {
            let answer = ana.post("/children", json!({ "full_name": "Inês", field: text })).await;
            assert!(answer.status == 422 || answer.status == most, "{field} {text:?}: {}", answer.body);
            if answer.status == 201 {
                assert_eq!(answer.data()[field], text, "kept as it was sent");
                assert_eq!(ana.delete(&format!("/children/{}", answer.id()), "*").await.status, 204);
            }
        }
    }
    assert_eq!(ana.get("/children").await.data().as_array().unwrap().len(), 1);
    assert_eq!(ana.get(&format!("/children/{}", child.id())).await.data(), child.data());
}

#[tokio::test]
async fn a_client_that_goes_away_in_its_transaction_leaves_nothing_behind() {
    let world = World::start(Version::V18, |settings| connections(settings, 1)).await;
    let north = world.school("norte").await;
    let ana = north.user("SchoolAdmin").await;
    assert_eq!(ana.get("/children").await.status, 200);
    let mut lock = world.platform.superuser(&north.school).await.unwrap();
    run(&mut lock, &["BEGIN".into(), "LOCK TABLE app.access_audit IN EXCLUSIVE MODE".into()]).await;
    // The child is written, and its record waits for the lock.
    let sending = tokio::spawn({
        let ana = ana.clone();
        async move { ana.post_keyed("/children", "k-1", json!({ "full_name": "Rita" })).await }
    });
    let mut conn = superuser(&world, "postgres").await;
    let waits = format!(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = '{}' AND wait_event_type = 'Lock' AND backend_xid IS NOT NULL)",
        north.school.objects.login
    );
    until("the transaction", async || sqlx::query_scalar::<_, bool>(AssertSqlSafe(waits.clone())).fetch_one(&mut conn).await.unwrap())
        .await;
    sending.abort();
    let _ = sending.await;
    run(&mut lock, &["COMMIT".into()]).await;
    until("a free connection", async || ana.get("/children").await.status == 200).await;
    assert_eq!(north.scalar::<i64>("SELECT count(*) FROM app.children").await, 0);
    let again = ana.post_keyed("/children", "k-1", json!({ "full_name": "Rita" })).await;
    assert_eq!((again.status, north.scalar::<i64>("SELECT count(*) FROM app.children").await), (201, 1));
}
