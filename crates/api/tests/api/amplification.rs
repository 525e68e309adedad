//! What somebody sends costs little and is answered briefly, with a login or without, and leaves few rows.

use std::time::Instant;

use api_testing::{METRICS, World, world};
use serde_json::{Map, Value, json};
use testing::{Version, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn unknown_fields(count: usize) -> Value {
    (0..count).map(|n| (format!("u{n}"), json!(0))).collect::<Map<_, _>>().into()
}

#[tokio::test]
async fn however_much_is_wrong_with_a_body_a_few_dozen_fields_of_it_are_named() {
    let world = world().await;
    let school = world.school("norte").await;
    let admin = school.user("SchoolAdmin").await;
    let login = admin.anonymous().post("/auth/login", unknown_fields(1_000)).await;
    assert_eq!((login.status, login.fields().len()), (422, 50));
    assert_eq!(admin.post("/children", unknown_fields(50_000)).await.fields().len(), 50);
    let wrong: Vec<&str> = (0..200).map(|_| "x").collect();
    let class = admin.post("/classes", json!({ "name": "Girassóis", "school_year": 2025 })).await.id();
    let entry = json!({ "kind": "nap", "started_at": "2026-05-04T12:00:00Z", "children": wrong, "except": wrong });
    assert_eq!(admin.post(&format!("/classes/{class}/activities"), entry).await.fields().len(), 50);

    let long = json!({ "x".repeat(10_000): 0 });
    let named = admin.anonymous().post("/auth/login", long).await.fields();
    assert_eq!(named.iter().map(|(field, _)| field.len()).max(), Some(200));
}

#[tokio::test]
async fn what_may_be_sent_without_a_login_is_small() {
    let world = world().await;
    let school = world.school("norte").await;
    let admin = school.user("SchoolAdmin").await;
    for path in ["login", "refresh", "logout", "password"] {
        let answer = admin.anonymous().post(&format!("/auth/{path}"), unknown_fields(40_000)).await;
        assert_eq!(answer.code(), "PAYLOAD_TOO_LARGE", "{path}");
        assert!(answer.body.to_string().len() < 1_000);
    }
    let notes = "x".repeat(4_000);
    let large = json!({ "full_name": "Inês", "notes": notes, "address": "y".repeat(500), "preferred_name": " ".repeat(20_000) });
    assert_eq!(admin.post("/children", large).await.code(), "VALIDATION_FAILED", "elsewhere a body may be larger");
}

#[tokio::test]
async fn whoever_has_tried_too_often_is_told_so_before_their_body_is_read() {
    let world = World::start(Version::V18, |settings| {
        settings.identity.attempts_per_minute = 3.try_into().unwrap();
        settings.identity.renewals_per_minute = 3.try_into().unwrap();
    })
    .await;
    let school = world.school("norte").await;
    let nobody = api_testing::Client::with_token(world.api.address, "", school.id());
    for path in ["login", "refresh"] {
        for _ in 0..3 {
            assert_eq!(nobody.post(&format!("/auth/{path}"), json!({ "u": 0 })).await.code(), "VALIDATION_FAILED");
        }
        // The body that this announces never comes.
        let mut socket = TcpStream::connect(world.api.address).await.unwrap();
        let head = "HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n";
        socket.write_all(format!("POST /api/v1/auth/{path} {head}").as_bytes()).await.unwrap();
        let mut status = [0; 12];
        socket.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 429");
    }
}

#[tokio::test]
async fn a_user_over_the_limit_leaves_a_few_records_in_the_school_and_the_rest_is_counted() {
    let world = World::start(Version::V18, |settings| {
        settings.quota.rate = 1.try_into().unwrap();
        settings.quota.burst = 2.try_into().unwrap();
    })
    .await;
    let school = world.school("norte").await;
    let (noisy, quiet) = (school.user("Teacher").await, school.user("ReadOnly").await);
    let began = Instant::now();
    let mut refused = 0;
    for _ in 0..600 {
        refused += u64::from(noisy.get("/children").await.status == 429);
    }
    let sampled = 60 + i64::try_from(began.elapsed().as_secs()).unwrap() + 1;
    assert!(refused > 300, "{refused}");
    until("somebody else's refusal is recorded", async || {
        quiet.get("/audit").await;
        school.scalar::<i64>(&format!("SELECT count(*) FROM app.access_audit WHERE NOT success AND user_id = '{}'", quiet.user)).await > 0
    })
    .await;
    let written: i64 =
        school.scalar(&format!("SELECT count(*) FROM app.access_audit WHERE NOT success AND user_id = '{}'", noisy.user)).await;
    assert!((1..=sampled).contains(&written), "{written} of {refused}, at most {sampled}");
    assert!(METRICS.render().contains(r#"dailycare_api_audit_unrecorded_total{cause="user"}"#));
}

#[tokio::test]
async fn one_user_cannot_use_up_what_its_school_may_ask() {
    let world = World::start(Version::V18, |settings| {
        // So little over time that what was used up stays so.
        settings.quota.rate = 1.try_into().unwrap();
        settings.quota.burst = 400.try_into().unwrap();
    })
    .await;
    let school = world.school("norte").await;
    let (noisy, quiet) = (school.user("Teacher").await, school.user("ReadOnly").await);
    let mut answers = 0;
    while noisy.get("/me").await.status == 200 {
        answers += 1;
        assert!(answers < 400, "one user has the whole rate");
    }
    assert_eq!(quiet.get("/me").await.status, 200);
}

#[tokio::test]
async fn asking_who_one_is_has_a_limit_and_leaves_a_record() {
    let world = World::start(Version::V18, |settings| settings.identity.profiles_per_minute = 2.try_into().unwrap()).await;
    let school = world.school("norte").await;
    let (ana, rui) = (school.user("SchoolAdmin").await, school.user("Teacher").await);
    let statuses = [ana.get("/auth/me").await.status, ana.get("/auth/me").await.status, ana.get("/auth/me").await.status];
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(rui.get("/auth/me").await.status, 200);
    let recorded = async |client: &api_testing::Client| {
        let count = format!("SELECT count(*) FROM app.access_audit WHERE action = 'auth:me' AND user_id = '{}'", client.user);
        school.scalar::<i64>(&count).await
    };
    until("the records are written", async || (recorded(&ana).await, recorded(&rui).await) == (3, 1)).await;
}
