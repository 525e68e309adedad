//! Sessions: renewed, stolen, ended, and how fast an access token ends with its account.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;

use super::*;

const EMAIL: &str = "ana@norte.example";

async fn is_refused(site: &Site, token: &str) -> bool {
    site.identity.verify(token).await.is_err_and(|error| error.code == Code::Unauthenticated)
}

#[tokio::test]
async fn a_refresh_token_counts_once_and_a_lost_answer_is_given_again() {
    for version in Version::ALL {
        let site = Site::start(version).await;
        let first = site.login(EMAIL, PASSWORD).await;
        let both = futures::future::join_all((0..2).map(|_| site.refresh(first.refresh()))).await;
        assert_eq!(both[0].refresh(), both[1].refresh(), "two who ask at once drive each other out");
        assert_ne!(both[0].refresh(), first.refresh());
        let next = site.refresh(both[0].refresh()).await;
        assert_eq!(next.status, StatusCode::OK);
        assert!(site.identity.verify(next.access()).await.is_ok());

        // The first is two uses old: somebody kept a copy.
        assert_eq!(site.refresh(first.refresh()).await.code(), Some(Code::Unauthenticated));
        assert_eq!(site.refresh(next.refresh()).await.code(), Some(Code::Unauthenticated), "the session goes on after a theft");
        assert_eq!(site.audit().await.last(), Some(&("auth:refresh-reuse".to_owned(), Some(ANA), false)));

        let first = site.login(EMAIL, PASSWORD).await;
        let next = site.refresh(first.refresh()).await;
        site.execute("UPDATE registry.refresh_tokens SET rotated_at = now() - interval '11 seconds'").await;
        assert_eq!(site.refresh(first.refresh()).await.code(), Some(Code::Unauthenticated), "an answer is lost for ever");
        assert_eq!(site.refresh(next.refresh()).await.code(), Some(Code::Unauthenticated));
        assert_eq!(site.text("SELECT count(*)::text FROM registry.refresh_tokens").await.as_deref(), Some("0"));
    }
}

#[tokio::test]
async fn one_address_may_renew_and_end_sessions_only_so_often_whether_there_are_such_or_not() {
    let site = Site::with(Version::V18, |settings| settings.renewals_per_minute = 3.try_into().unwrap()).await;
    let session = site.login(EMAIL, PASSWORD).await;
    let made_up = B64.encode([7; 48]);
    let send = async |address: &str, path: &str, token: &str| {
        let body = json!({ "refresh_token": token });
        site.send_from(address, "POST", &format!("/api/v1/auth/{path}"), None, Some(body)).await
    };
    for (path, status) in [("refresh", 401), ("logout", 204), ("refresh", 401)] {
        assert_eq!(send("192.0.2.9", path, &made_up).await.status, status, "{path}");
    }
    for (path, token) in
        [("refresh", made_up.as_str()), ("logout", &made_up), ("refresh", session.refresh()), ("logout", session.refresh())]
    {
        let error = send("192.0.2.9", path, token).await.error.unwrap();
        assert_eq!(error.code, Code::TooManyRequests, "{path}");
        assert!(error.retry_after.is_some());
    }
    // Neither other addresses nor logins pay for it, and the session was left alone.
    assert_eq!(send("192.0.2.10", "refresh", session.refresh()).await.status, StatusCode::OK);
    let login = json!({ "email": EMAIL, "password": PASSWORD });
    assert_eq!(site.send_from("192.0.2.9", "POST", "/api/v1/auth/login", None, Some(login)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_session_runs_out_unused_and_in_any_case_and_is_swept_away() {
    let site = Site::with(Version::V18, |settings| settings.sweep_period = Duration::from_millis(50)).await;
    let lives =
        "SELECT extract(day FROM expires_at - created_at) || ' ' || extract(day FROM ends_at - created_at) FROM registry.refresh_tokens";
    let session = site.login(EMAIL, PASSWORD).await;
    assert_eq!(site.text(lives).await.as_deref(), Some("7 30"));
    site.execute("UPDATE registry.refresh_tokens SET ends_at = now() + interval '1 day', expires_at = now() + interval '1 hour'").await;
    let next = site.refresh(session.refresh()).await;
    let bounded = "SELECT (expires_at = ends_at)::text FROM registry.refresh_tokens";
    assert_eq!(site.text(bounded).await.as_deref(), Some("true"), "a session outlives its end");
    site.execute("UPDATE registry.refresh_tokens SET expires_at = now() - interval '1 second'").await;
    assert_eq!(site.refresh(next.refresh()).await.code(), Some(Code::Unauthenticated));
    until("the row is gone", async || site.text("SELECT count(*)::text FROM registry.refresh_tokens").await.as_deref() == Some("0")).await;
}

#[tokio::test]
async fn a_user_has_twenty_sessions_and_the_oldest_gives_way() {
    let site = Site::start(Version::V18).await;
    let first = site.login(EMAIL, PASSWORD).await;
    let second = site.login(EMAIL, PASSWORD).await;
    for _ in 0..19 {
        assert_eq!(site.login(EMAIL, PASSWORD).await.status, StatusCode::OK);
    }
    assert_eq!(site.text("SELECT count(*)::text FROM registry.refresh_tokens").await.as_deref(), Some("20"));
    assert_eq!(site.refresh(first.refresh()).await.code(), Some(Code::Unauthenticated));
    assert_eq!(site.refresh(second.refresh()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_logout_ends_its_session_and_no_other_and_may_be_repeated() {
    let site = Site::start(Version::V18).await;
    let (one, other) = (site.login(EMAIL, PASSWORD).await, site.login(EMAIL, PASSWORD).await);
    let logout = async |token: &str| site.send("POST", "/api/v1/auth/logout", None, Some(json!({ "refresh_token": token }))).await.status;
    // The session's id with another secret ends nothing.
    let forged = format!("{}{}", &one.refresh()[..21], &other.refresh()[21..]);
    assert_eq!(logout(&forged).await, StatusCode::NO_CONTENT);
    assert_eq!(site.text("SELECT count(*)::text FROM registry.refresh_tokens").await.as_deref(), Some("2"));
    for _ in 0..2 {
        assert_eq!(logout(one.refresh()).await, StatusCode::NO_CONTENT);
    }
    assert_eq!(site.refresh(one.refresh()).await.code(), Some(Code::Unauthenticated));
    assert_eq!(site.refresh(other.refresh()).await.status, StatusCode::OK);
    let logouts = site.audit().await.into_iter().filter(|row| *row == ("auth:logout".to_owned(), Some(ANA), true)).count();
    assert_eq!(logouts, 1);
}

#[tokio::test]
async fn a_temporary_password_allows_its_own_change_and_nothing_else() {
    let site = Site::start(Version::V18).await;
    site.execute("UPDATE registry.users SET must_change_password = true WHERE name = 'Ana'").await;
    let session = site.login(EMAIL, PASSWORD).await;
    assert_eq!(session.body["data"]["must_change_password"], true);
    assert!(site.identity.verify(session.access()).await.unwrap().must_change_password);
    assert_eq!(site.me(session.access()).await.code(), Some(Code::PasswordChangeRequired));
    assert!(
        site.identity.verify(site.refresh(session.refresh()).await.access()).await.unwrap().must_change_password,
        "a renewal washes it off"
    );
    let change = async |current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new });
        site.send("POST", "/api/v1/auth/password", Some(session.access()), Some(body)).await
    };
    assert_eq!(change(PASSWORD, PASSWORD).await.code(), Some(Code::Validation));
    assert_eq!(change(PASSWORD, "short").await.code(), Some(Code::Validation));
    assert_eq!(change("wrong", "canary-password-2").await.code(), Some(Code::InvalidCredentials));
    let changed = change(PASSWORD, "canary-password-2").await;
    assert_eq!((changed.status, changed.body["data"]["must_change_password"].as_bool()), (StatusCode::OK, Some(false)));
    assert_eq!(site.me(changed.access()).await.status, StatusCode::OK);
    assert_eq!(site.login(EMAIL, PASSWORD).await.code(), Some(Code::InvalidCredentials));
    assert_eq!(site.login(EMAIL, "canary-password-2").await.status, StatusCode::OK);
    let rows = site.audit().await.into_iter().filter(|row| row.0 == "auth:password").map(|row| row.2).collect::<Vec<_>>();
    assert_eq!(rows, [false, true]);
}

#[tokio::test]
async fn a_changed_password_ends_every_other_session_within_moments() {
    for version in Version::ALL {
        // Nothing but the notification can bring it within the test.
        let site = Site::with(version, |settings| settings.revocation_period = Duration::from_hours(1)).await;
        let (here, there) = (site.login(EMAIL, PASSWORD).await, site.login(EMAIL, PASSWORD).await);
        let body = json!({ "current_password": PASSWORD, "new_password": "canary-password-2" });
        let changed = site.send("POST", "/api/v1/auth/password", Some(here.access()), Some(body)).await;
        assert_eq!(changed.status, StatusCode::OK, "{:?}", changed.error);
        for old in [&here, &there] {
            assert_eq!(site.refresh(old.refresh()).await.code(), Some(Code::Unauthenticated));
            until("the old access token is refused", async || is_refused(&site, old.access()).await).await;
        }
        assert!(site.identity.verify(changed.access()).await.is_ok(), "the new session ended with the others");
        let again = site.refresh(changed.refresh()).await;
        assert!(site.identity.verify(again.access()).await.is_ok());
    }
}

#[tokio::test]
async fn tokens_end_with_the_account_whatever_changed_of_it_by_notification_alone() {
    let site = Site::with(Version::V18, |settings| settings.revocation_period = Duration::from_hours(1)).await;
    for change in [
        "UPDATE registry.users SET role = 'Teacher' WHERE name = 'Ana'",
        "UPDATE registry.users SET tenant_id = (SELECT id FROM registry.tenants WHERE code = 'sul') WHERE name = 'Ana'",
        "UPDATE registry.users SET password_hash = '$argon2id$x' || password_hash WHERE name = 'Ana'",
        "UPDATE registry.users SET is_active = false WHERE name = 'Ana'",
        "UPDATE registry.users SET is_active = true, is_deleted = true WHERE name = 'Ana'",
    ] {
        site.execute("UPDATE registry.users SET is_active = true, is_deleted = false, password_hash = (SELECT password_hash FROM registry.users WHERE name = 'Root') WHERE name = 'Ana'").await;
        let (ana, root) = (site.login(EMAIL, PASSWORD).await, site.login("root@dailycare.example", PASSWORD).await);
        assert!(!is_refused(&site, ana.access()).await, "{change}: a token given after the last change is refused");
        site.execute(change).await;
        until(change, async || is_refused(&site, ana.access()).await).await;
        assert!(!is_refused(&site, root.access()).await, "{change}: somebody else's token ended");
        let renewed = site.refresh(ana.refresh()).await;
        assert_eq!(renewed.status == StatusCode::OK, change.contains("role ="), "{change}");
    }
}

#[tokio::test]
async fn what_changes_nothing_about_who_somebody_is_ends_nothing() {
    let site = Site::start(Version::V18).await;
    let from = "SELECT sessions_valid_from::text FROM registry.users WHERE name = 'Ana'";
    let before = site.text(from).await;
    site.execute(
        "UPDATE registry.users SET last_login_at = now(), failed_logins = 1, phone_number = '1', password_hash = password_hash,
            sessions_valid_from = now() WHERE name = 'Ana'",
    )
    .await;
    assert_eq!(site.text(from).await, before, "sessions end, or their beginning can be written");
}

#[tokio::test]
async fn with_notifications_cut_a_change_is_seen_by_the_poll() {
    let site = Site::with(Version::V18, |settings| settings.revocation_period = Duration::from_millis(50)).await;
    let session = site.login(EMAIL, PASSWORD).await;
    // Without the trigger nothing notifies.
    site.execute(
        "ALTER TABLE registry.users DISABLE TRIGGER users_end_sessions;
         UPDATE registry.users SET is_active = false, sessions_valid_from = date_trunc('second', now()) + interval '1 second' WHERE name = 'Ana'",
    )
    .await;
    until("the poll has seen it", async || is_refused(&site, session.access()).await).await;
}

#[tokio::test]
async fn a_change_of_an_account_reads_the_latest_changes_and_not_those_of_an_hour() {
    let site = Site::with(Version::V18, |settings| settings.revocation_period = Duration::from_hours(1)).await;
    let read = |seconds: &str| std::fs::read_to_string(site.server.log_path()).unwrap().matches(&format!("$1 = '{seconds}'")).count();
    let session = site.login(EMAIL, PASSWORD).await;
    until("it listens", async || read("3720") == 2).await;
    for active in
        ["UPDATE registry.users SET is_active = false WHERE name = 'Ana'", "UPDATE registry.users SET is_active = true WHERE name = 'Ana'"]
    {
        site.execute(active).await;
    }
    until("the change is seen", async || is_refused(&site, session.access()).await).await;
    assert!(read("300") >= 1);
    assert_eq!(read("3720"), 2);
}

#[tokio::test]
async fn a_lost_listener_comes_back_and_misses_nothing() {
    let site = Site::with(Version::V18, |settings| settings.revocation_period = Duration::from_hours(1)).await;
    let session = site.login(EMAIL, PASSWORD).await;
    let listening = "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND usename = 'api'";
    // Others do not see what a session runs.
    let superuser = PgPool::connect(&site.server.superuser_url("dailycare_master")).await.unwrap();
    let listeners = async || sqlx::query_scalar::<_, String>(listening).fetch_one(&superuser).await.unwrap();
    until("it listens", async || listeners().await == "1").await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND usename = 'api'";
    sqlx::raw_sql(cut).execute(&superuser).await.unwrap();
    site.execute("UPDATE registry.users SET is_active = false WHERE name = 'Ana'").await;
    until("the change is seen", async || is_refused(&site, session.access()).await).await;
    superuser.close().await;
}

#[tokio::test]
async fn a_process_that_starts_knows_which_sessions_ended_before() {
    let site = Site::start(Version::V18).await;
    let session = site.login(EMAIL, PASSWORD).await;
    site.execute("UPDATE registry.users SET is_active = false WHERE name = 'Ana'").await;
    let settings = Settings::new(ISSUER, AUDIENCE, site.keys.path().join("keys"));
    let restarted = Identity::start(settings, site.api.clone()).await.unwrap();
    assert!(restarted.verify(session.access()).await.is_err());
}
