//! Logging in: right, wrong, too often, with an old hash, into a school that is closed.

use super::*;

const EMAIL: &str = "ana@norte.example";

#[tokio::test]
async fn the_right_password_gives_a_session_and_nothing_secret_is_written_anywhere() {
    for version in Version::ALL {
        let site = Site::start(version).await;
        let session = site.login("ANA@Norte.Example", PASSWORD).await;
        assert_eq!(session.status, StatusCode::OK, "{:?}", session.error);
        let data = &session.body["data"];
        assert_eq!(
            (data["token_type"].as_str(), data["expires_in"].as_u64(), data["must_change_password"].as_bool()),
            (Some("Bearer"), Some(900), Some(false))
        );
        assert_eq!(
            data["user"],
            json!({ "id": ANA, "name": "Ana", "email": "Ana@norte.example", "role": "SchoolAdmin", "tenant_id": NORTE })
        );
        let me = site.me(session.access()).await;
        assert_eq!(me.body["data"]["email"], "Ana@norte.example");
        let principal = site.identity.verify(session.access()).await.unwrap();
        assert_eq!((principal.user.0, principal.tenant.unwrap().0), (ANA, NORTE));

        let staff = site.login("root@dailycare.example", PASSWORD).await;
        assert_eq!(site.identity.verify(staff.access()).await.unwrap().tenant, None);
        assert_eq!(site.login(EMAIL, "canary-password-2").await.code(), Some(Code::InvalidCredentials));
        assert_eq!(site.login("nobody@norte.example", "canary-password-3").await.code(), Some(Code::InvalidCredentials));
        assert!(site.refresh(session.refresh()).await.status.is_success());
        let audit = site.audit().await;
        let expected = [(Some(ANA), true), (Some(ROOT), true), (Some(ANA), false), (None, false)];
        assert_eq!(audit, expected.map(|(user, success)| ("auth:login".to_owned(), user, success)));
        let row = site
            .text("SELECT resource || ' ' || host(ip_address) || ' ' || tenant_id FROM registry.access_audit ORDER BY occurred_at LIMIT 1")
            .await;
        assert_eq!(row, Some(format!("/api/v1/auth/login 192.0.2.7 {NORTE}")));

        let everything = "SELECT (SELECT string_agg(a::text, '') FROM registry.access_audit a) || (SELECT string_agg(r::text, '') FROM registry.refresh_tokens r)";
        let kept = site.text(everything).await.unwrap() + &std::fs::read_to_string(site.server.log_path()).unwrap();
        assert!(kept.contains("INSERT INTO registry.access_audit"), "the log does not show statements");
        for secret in ["canary-password", session.access(), session.refresh(), "nobody@norte"] {
            // The address is asked for in the registry; it stands in no row.
            let kept = if secret == "nobody@norte" { site.text(everything).await.unwrap() } else { kept.clone() };
            assert!(!kept.contains(secret), "{secret} was written");
        }
    }
}

#[tokio::test]
async fn nobody_learns_from_the_answer_or_the_work_whether_an_account_exists() {
    let site = Site::start(Version::V18).await;
    site.execute(
        "INSERT INTO registry.users (tenant_id, name, email, password_hash, role, is_active, is_deleted)
         SELECT tenant_id, name, 'inactive@x', password_hash, role, false, false FROM registry.users WHERE name = 'Ana'
         UNION ALL SELECT tenant_id, name, 'deleted@x', password_hash, role, true, true FROM registry.users WHERE name = 'Ana'
         UNION ALL SELECT tenant_id, name, 'locked@x', password_hash, role, true, false FROM registry.users WHERE name = 'Ana';
         UPDATE registry.users SET locked_until = now() + interval '1 hour' WHERE email = 'locked@x'",
    )
    .await;
    let cases = [
        (EMAIL, "wrong"),
        ("nobody@x", PASSWORD),
        ("inactive@x", PASSWORD),
        ("deleted@x", PASSWORD),
        ("locked@x", PASSWORD),
        ("locked@x", "wrong"),
    ];
    for (email, password) in cases {
        let before = site.identity.hashes();
        let answer = site.login(email, password).await;
        let error = answer.error.unwrap();
        assert_eq!(
            (error.code, error.retry_after, error.fields.len(), answer.body),
            (Code::InvalidCredentials, None, 0, Value::Null),
            "{email}"
        );
        assert_eq!(site.identity.hashes() - before, 1, "{email}: another amount of work");
    }
    assert_eq!(
        site.text("SELECT failed_logins::text FROM registry.users WHERE email = 'locked@x'").await.as_deref(),
        Some("0"),
        "a locked account is kept locked"
    );
}

#[tokio::test]
async fn five_wrong_passwords_lock_an_account_and_the_sixth_for_longer() {
    for version in Version::ALL {
        let site = Site::start(version).await;
        let guesses = futures::future::join_all((0..20).map(|_| site.login(EMAIL, "wrong"))).await;
        assert!(guesses.iter().all(|guess| guess.code() == Some(Code::InvalidCredentials)));
        let failed = "SELECT failed_logins::text FROM registry.users WHERE name = 'Ana'";
        // On a slow machine the first lock's seconds are over before the last guess, which then counts.
        let counted: u32 = site.text(failed).await.unwrap().parse().unwrap();
        assert!((5..=7).contains(&counted), "guesses at once count otherwise than one after another: {counted}");
        // Seconds would run out under the test.
        site.execute("UPDATE registry.users SET failed_logins = 5, locked_until = now() + interval '1 hour' WHERE name = 'Ana'").await;
        assert_eq!(site.login(EMAIL, PASSWORD).await.code(), Some(Code::InvalidCredentials), "a locked account answers the right password");

        let unlock = "UPDATE registry.users SET locked_until = now() - interval '1 second' WHERE name = 'Ana'";
        let waits = "SELECT extract(epoch FROM locked_until - updated_at)::text FROM registry.users WHERE name = 'Ana'";
        let wait = async || site.text(waits).await.unwrap().parse::<f64>().unwrap();
        for (seconds, count) in [(4.0, "6"), (8.0, "7")] {
            site.execute(unlock).await;
            site.login(EMAIL, "wrong").await;
            assert_eq!(site.text(failed).await.as_deref(), Some(count));
            assert!((seconds..2.0 * seconds).contains(&wait().await), "after {count} failures");
        }
        site.execute("UPDATE registry.users SET failed_logins = 2000000 WHERE name = 'Ana'").await;
        site.execute(unlock).await;
        site.login(EMAIL, "wrong").await;
        assert!((900.0..1024.0).contains(&wait().await), "more than a quarter of an hour");
        site.execute(unlock).await;
        assert_eq!(site.login(EMAIL, PASSWORD).await.status, StatusCode::OK);
        let after = "SELECT failed_logins || ' ' || coalesce(locked_until::text, 'open') FROM registry.users WHERE name = 'Ana'";
        assert_eq!(site.text(after).await.as_deref(), Some("0 open"));
    }
}

#[tokio::test]
async fn one_address_may_try_only_so_often_whichever_account_it_tries() {
    let site = Site::with(Version::V18, |settings| settings.attempts_per_minute = 3.try_into().unwrap()).await;
    let login = async |address: &str, n: u32| {
        let body = json!({ "email": format!("user{n}@x"), "password": "wrong" });
        site.send_from(address, "POST", "/api/v1/auth/login", None, Some(body)).await
    };
    for n in 0..3 {
        assert_eq!(login("198.51.100.1", n).await.code(), Some(Code::InvalidCredentials));
    }
    let hashes = site.identity.hashes();
    let refused = login("198.51.100.1", 3).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::TOO_MANY_REQUESTS, Some(Code::TooManyRequests)));
    assert!(refused.error.unwrap().retry_after.is_some_and(|wait| wait <= Duration::from_secs(20)));
    assert_eq!(site.identity.hashes(), hashes, "it was refused after the work");
    assert_eq!(login("198.51.100.2", 3).await.code(), Some(Code::InvalidCredentials));
}

#[tokio::test]
async fn a_full_queue_for_hashes_is_said_at_once() {
    let site = Site::with(Version::V18, |settings| settings.hash_queue = 0).await;
    let refused = site.login(EMAIL, PASSWORD).await;
    assert_eq!(refused.code(), Some(Code::TooManyRequests));
    assert!(refused.error.unwrap().retry_after.is_some());
}

#[tokio::test]
async fn a_bcrypt_hash_becomes_argon2id_at_the_next_login_and_ends_no_session() {
    for version in Version::ALL {
        let site = Site::start(version).await;
        let hash = bcrypt::hash(PASSWORD, 10).unwrap();
        sqlx::query("UPDATE registry.users SET password_hash = $1 WHERE id = $2")
            .bind(&hash)
            .bind(ANA)
            .execute(&site.operator)
            .await
            .unwrap();
        let held = "SELECT split_part(password_hash, '$', 2) FROM registry.users WHERE name = 'Ana'";
        assert_eq!(site.login(EMAIL, "wrong").await.code(), Some(Code::InvalidCredentials));
        assert_eq!(site.text(held).await.as_deref(), Some("2b"), "a wrong password changed the hash");
        let from = "SELECT sessions_valid_from::text FROM registry.users WHERE name = 'Ana'";
        let before = site.text(from).await;
        let first = site.login(EMAIL, PASSWORD).await;
        assert_eq!(site.text(held).await.as_deref(), Some("argon2id"));
        assert_eq!(site.text(from).await, before, "hashing the same password anew ended sessions");
        assert_eq!(site.login(EMAIL, PASSWORD).await.status, StatusCode::OK);
        assert_eq!(site.refresh(first.refresh()).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_closed_school_says_so_after_the_right_password_only() {
    let site = Site::start(Version::V18).await;
    let open = site.login(EMAIL, PASSWORD).await;
    for (sql, code) in [
        ("UPDATE registry.tenants SET state = 'suspended', is_active = false WHERE code = 'norte'", Code::TenantSuspended),
        ("UPDATE registry.tenants SET state = 'moving' WHERE code = 'norte'", Code::TenantUnavailable),
        ("UPDATE registry.tenants SET state = 'provisioning' WHERE code = 'norte'", Code::TenantUnavailable),
        ("UPDATE registry.tenants SET state = 'retained' WHERE code = 'norte'", Code::InvalidTenant),
        ("UPDATE registry.tenants SET state = 'deleted', is_deleted = true WHERE code = 'norte'", Code::InvalidTenant),
    ] {
        site.execute(sql).await;
        assert_eq!(site.login(EMAIL, "wrong").await.code(), Some(Code::InvalidCredentials), "{sql}");
        assert_eq!(site.login(EMAIL, PASSWORD).await.code(), Some(code), "{sql}");
        assert_eq!(site.refresh(open.refresh()).await.code(), Some(code), "{sql}");
    }
    site.execute("UPDATE registry.tenants SET state = 'active', is_active = true, is_deleted = false WHERE code = 'norte'").await;
    assert_eq!(site.refresh(open.refresh()).await.status, StatusCode::OK, "the session did not outlive the suspension");
}

#[tokio::test]
async fn bodies_are_validated_and_a_dead_registry_is_503() {
    let mut site = Site::start(Version::V18).await;
    let send = async |site: &Site, body: Value| site.send("POST", "/api/v1/auth/login", None, Some(body)).await.code();
    assert_eq!(send(&site, json!({ "email": EMAIL })).await, Some(Code::Validation));
    assert_eq!(send(&site, json!({ "email": EMAIL, "password": "x".repeat(257) })).await, Some(Code::Validation));
    assert_eq!(send(&site, json!({ "email": EMAIL, "password": "x", "role": "PlatformAdmin" })).await, Some(Code::Validation));
    let session = site.login(EMAIL, PASSWORD).await;
    site.server.kill9().await.unwrap();
    assert_eq!(site.login(EMAIL, PASSWORD).await.code(), Some(Code::RegistryUnavailable));
    assert!(site.identity.verify(session.access()).await.is_ok(), "tokens stop working with the master database");
    site.server.start_again().await.unwrap();
    until("logins work again", async || site.login(EMAIL, PASSWORD).await.status == StatusCode::OK).await;
}

/// What this thread logs, at every level of every crate.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_log_of_everything_holds_no_password_and_no_token() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let site = Site::start(Version::V18).await;
    let session = site.login(EMAIL, PASSWORD).await;
    let renewed = site.refresh(session.refresh()).await;
    site.login(EMAIL, "canary-password-2").await;
    let body = json!({ "current_password": PASSWORD, "new_password": "canary-password-3" });
    let changed = site.send("POST", "/api/v1/auth/password", Some(renewed.access()), Some(body)).await;
    assert_eq!(changed.status, StatusCode::OK);
    let forged = format!("{}x", session.access());
    let error = site.identity.verify(&forged).await.unwrap_err();
    tracing::error!(?error, cause = ?error.cause, "shown");
    site.execute("SELECT 1").await;
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("the signature is wrong"), "the log shows nothing");
    let key = std::fs::read_to_string(site.keys.path().join("keys")).unwrap();
    let secrets = [
        "canary-password",
        session.access(),
        session.refresh(),
        renewed.refresh(),
        changed.access(),
        key.trim().split_once(':').unwrap().1,
    ];
    for secret in secrets {
        assert!(!log.contains(secret), "a secret was logged: {secret}");
    }
}
