//! Accounts of a school, platform staff who act for one, and what the database holds whoever asks.

use api::accounts::dto::{NewUser, SchoolRole, UserChange, UserFilter};
use api::accounts::store;
use api::identity::{Origin, Role, UserId};
use domain::names::TenantId;
use tenancy::audit::Record;

use api::resource::precondition::IfMatch;

use super::*;

const HERE: TenantId = TenantId(NORTE);

fn rui() -> NewUser {
    NewUser { name: "Rui".into(), email: "rui@norte.example".into(), phone_number: None, role: SchoolRole::Teacher }
}

/// What every write leaves in the audit.
fn audit_record() -> Record {
    Record {
        id: Uuid::now_v7(),
        tenant: Some(HERE),
        user: Some(ANA),
        action: "roles:update".into(),
        resource: "/api/v1/users".into(),
        address: None,
        at: chrono::Utc::now(),
        success: true,
        reason: None,
        request_id: None,
    }
}

fn code<T>(result: Result<T, Error>) -> Option<Code> {
    result.err().map(|error| error.code)
}

#[tokio::test]
async fn an_administrator_makes_changes_and_removes_accounts_of_the_own_school() {
    for version in Version::ALL {
        let site = Site::start(version).await;
        let made = store::create(&site.api, HERE, &rui(), &audit_record()).await.unwrap();
        let id = UserId(made.user.id);
        assert!(made.user.must_change_password && made.user.role == Role::Teacher);
        let session = site.login("rui@norte.example", made.password.expose_secret()).await;
        assert_eq!(session.body["data"]["must_change_password"], true);

        let taken = store::create(&site.api, TenantId(SUL), &NewUser { email: "RUI@norte.example".into(), ..rui() }, &audit_record()).await;
        assert_eq!(taken.err().map(|error| (error.code, error.fields[0].field.clone())), Some((Code::Conflict, "email".to_owned())));
        let change = UserChange { role: Some(SchoolRole::HealthStaff), phone_number: Some(Some("1".into())), ..UserChange::default() };
        let changed = store::change(&site.api, HERE, id, &IfMatch::Any, &change, &audit_record()).await.unwrap();
        assert_eq!((changed.role, changed.phone_number.as_deref(), changed.name.as_str()), (Role::HealthStaff, Some("1"), "Rui"));
        let cleared = store::change(
            &site.api,
            HERE,
            id,
            &IfMatch::Any,
            &UserChange { phone_number: Some(None), ..UserChange::default() },
            &audit_record(),
        )
        .await
        .unwrap();
        assert_eq!((cleared.phone_number, cleared.role), (None, Role::HealthStaff));

        let reset = store::reset_password(&site.api, HERE, id, &audit_record()).await.unwrap();
        assert_eq!(site.login("rui@norte.example", made.password.expose_secret()).await.code(), Some(Code::InvalidCredentials));
        assert_eq!(site.login("rui@norte.example", reset.password.expose_secret()).await.status, StatusCode::OK);

        let elsewhere = TenantId(SUL);
        assert_eq!(code(store::get(&site.api, elsewhere, id).await), Some(Code::NotFound));
        assert_eq!(
            code(store::change(&site.api, elsewhere, id, &IfMatch::Any, &UserChange::default(), &audit_record()).await),
            Some(Code::NotFound)
        );
        assert_eq!(code(store::remove(&site.api, elsewhere, id, &IfMatch::Any, &audit_record()).await), Some(Code::NotFound));
        assert_eq!(code(store::reset_password(&site.api, elsewhere, id, &audit_record()).await), Some(Code::NotFound));
        assert_eq!(code(store::reset_password(&site.api, HERE, UserId(ROOT), &audit_record()).await), Some(Code::NotFound));

        store::remove(&site.api, HERE, id, &IfMatch::Any, &audit_record()).await.unwrap();
        assert_eq!(code(store::get(&site.api, HERE, id).await), Some(Code::NotFound));
        assert_eq!(site.login("rui@norte.example", reset.password.expose_secret()).await.code(), Some(Code::InvalidCredentials));
        assert!(store::create(&site.api, HERE, &rui(), &audit_record()).await.is_ok(), "the address of a removed account is not free");
    }
}

#[tokio::test]
async fn a_removed_account_keeps_nothing_personal_but_the_name_of_staff() {
    let site = Site::start(Version::V18).await;
    let phone_number = Some("912000001".to_owned());
    let make = async |role, name: &str, email: &str| {
        let new = NewUser { name: name.into(), email: email.into(), phone_number: phone_number.clone(), role };
        store::create(&site.api, HERE, &new, &audit_record()).await.unwrap()
    };
    let teacher = make(SchoolRole::Teacher, "Rui", "rui@norte.example").await;
    let mother = make(SchoolRole::Guardian, "Marta", "marta@norte.example").await;
    for made in [&teacher, &mother] {
        store::remove(&site.api, HERE, UserId(made.user.id), &IfMatch::Any, &audit_record()).await.unwrap();
    }
    let rows: Vec<(Uuid, String, String, Option<String>, String)> =
        sqlx::query_as("SELECT id, name, email, phone_number, password_hash FROM registry.users WHERE is_deleted ORDER BY role DESC")
            .fetch_all(&site.operator)
            .await
            .unwrap();
    let kept = |made: &store::Temporary, name: &str| {
        (made.user.id, name.to_owned(), format!("{}@removed.invalid", made.user.id), None, "!".to_owned())
    };
    assert_eq!(rows, [kept(&teacher, "Rui"), kept(&mother, "-")]);
    let login = site.login(&format!("{}@removed.invalid", teacher.user.id), teacher.password.expose_secret()).await;
    assert_eq!(login.code(), Some(Code::InvalidCredentials));
}

#[tokio::test]
async fn accounts_are_listed_in_pages_that_miss_none_and_show_no_other_school() {
    let site = Site::start(Version::V18).await;
    site.execute(
        "INSERT INTO registry.users (tenant_id, name, email, password_hash, role)
         SELECT t.id, 'User ' || n % 5, t.code || n || '@x', 'x', 'Teacher' FROM registry.tenants t, generate_series(1, 23) n",
    )
    .await;
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = store::list(&site.api, HERE, &UserFilter::default(), after.as_ref(), 5).await.unwrap();
        assert!(page.len() == 5 || next.is_none());
        listed.extend(page);
        after = next;
        if after.is_none() {
            break;
        }
    }
    let ids: std::collections::BTreeSet<_> = listed.iter().map(|user| user.id).collect();
    assert_eq!((listed.len(), ids.len()), (24, 24));
    assert!(listed.iter().all(|user| user.email.contains("norte")), "another school's account is listed");
}

#[tokio::test]
async fn of_two_administrators_who_remove_each_other_one_stays() {
    let site = Site::start(Version::V18).await;
    assert_eq!(code(store::remove(&site.api, HERE, UserId(ANA), &IfMatch::Any, &audit_record()).await), Some(Code::Conflict));
    let demote = UserChange { role: Some(SchoolRole::ReadOnly), ..UserChange::default() };
    assert_eq!(code(store::change(&site.api, HERE, UserId(ANA), &IfMatch::Any, &demote, &audit_record()).await), Some(Code::Conflict));
    let other = store::create(&site.api, HERE, &NewUser { role: SchoolRole::SchoolAdmin, ..rui() }, &audit_record()).await.unwrap();
    let (first, second, other) = (audit_record(), audit_record(), UserId(other.user.id));
    let (one, two) = tokio::join!(
        store::remove(&site.api, HERE, UserId(ANA), &IfMatch::Any, &first),
        store::remove(&site.api, HERE, other, &IfMatch::Any, &second)
    );
    assert_eq!(one.is_ok(), two.is_err());
    let left = "SELECT count(*)::text FROM registry.users WHERE role = 'SchoolAdmin' AND NOT is_deleted";
    assert_eq!(site.text(left).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn the_database_lets_the_api_neither_make_nor_change_platform_staff_nor_move_anybody() {
    for version in Version::ALL {
        let site = Site::start(version).await;
        for sql in [
            "INSERT INTO registry.users (name, email, password_hash, role) VALUES ('x', 'x@x', 'x', 'PlatformAdmin')",
            "INSERT INTO registry.users (tenant_id, name, email, password_hash, role) SELECT id, 'x', 'x@x', 'x', 'PlatformAdmin' FROM registry.tenants",
            "INSERT INTO registry.users (name, email, password_hash, role) VALUES ('x', 'x@x', 'x', 'Teacher')",
            "UPDATE registry.users SET role = 'PlatformAdmin' WHERE name = 'Ana'",
            "UPDATE registry.users SET role = 'Teacher' WHERE name = 'Root'",
            "UPDATE registry.users SET email = 'x@x' WHERE name = 'Root'",
            "UPDATE registry.users SET name = 'x' WHERE name = 'Root'",
            "UPDATE registry.users SET phone_number = '1' WHERE name = 'Root'",
            "UPDATE registry.users SET is_active = false WHERE name = 'Root'",
            "UPDATE registry.users SET is_deleted = true WHERE name = 'Root'",
            "UPDATE registry.users SET tenant_id = NULL WHERE name = 'Ana'",
            "UPDATE registry.users SET tenant_id = (SELECT id FROM registry.tenants WHERE code = 'sul') WHERE name = 'Ana'",
            "ALTER TABLE registry.users DISABLE TRIGGER users_guard_platform_staff",
            "SET session_replication_role = 'replica'",
        ] {
            let refused = sqlx::raw_sql(sql).execute(&site.api).await.unwrap_err();
            let state = refused.as_database_error().unwrap().code().unwrap().into_owned();
            assert_eq!(state, "42501", "{sql}");
        }
        // What the operator does, and what a login does, still works.
        site.execute("UPDATE registry.users SET phone_number = '1' WHERE name = 'Root'").await;
        assert_eq!(site.login("root@dailycare.example", PASSWORD).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn platform_staff_act_for_a_school_for_a_reason_for_minutes_and_on_record() {
    let site = Site::start(Version::V18).await;
    let staff = site.login("root@dailycare.example", PASSWORD).await;
    let root = site.identity.verify(staff.access()).await.unwrap();
    let ana = site.identity.verify(site.login("ana@norte.example", PASSWORD).await.access()).await.unwrap();
    let origin = Origin { path: "/api/v1/platform/impersonations".into(), client: None, request_id: None };
    let reason = "ticket 4711: meals are missing";
    let mint = async |by, tenant, reason| site.identity.mint(by, tenant, reason, &origin).await;
    assert_eq!(code(mint(&root, HERE, " ").await), Some(Code::Validation));
    assert_eq!(code(mint(&ana, HERE, reason).await), Some(Code::Forbidden));
    assert_eq!(code(mint(&root, TenantId(Uuid::from_u128(9)), reason).await), Some(Code::InvalidTenant));
    let minted = mint(&root, HERE, reason).await.unwrap();
    assert_eq!(minted.expires_in, Duration::from_mins(15));
    let acting = site.identity.verify(minted.token.expose_secret()).await.unwrap();
    let impersonation = acting.impersonation.clone().unwrap();
    assert_eq!((acting.user.0, acting.tenant, acting.role), (ROOT, Some(HERE), Some(Role::PlatformAdmin)));
    assert_eq!((impersonation.by.0, impersonation.reason.as_str()), (ROOT, reason));
    assert_eq!(site.text("SELECT string_agg(reason || ' ' || success, ', ' ORDER BY success) FROM registry.access_audit WHERE action = 'auth:impersonate'").await, Some(format!("{reason} false, {reason} true")));

    assert_eq!(code(mint(&acting, TenantId(SUL), reason).await), Some(Code::Forbidden), "an impersonation begets another");
    let body = json!({ "current_password": PASSWORD, "new_password": "canary-password-2" });
    let change = site.send("POST", "/api/v1/auth/password", Some(minted.token.expose_secret()), Some(body)).await;
    assert_eq!(change.code(), Some(Code::Forbidden));
    site.execute("UPDATE registry.users SET is_active = false WHERE name = 'Root'").await;
    assert_eq!(code(mint(&root, HERE, reason).await), Some(Code::Forbidden), "who left the platform acts on");
    until("the token ends with the account", async || site.identity.verify(minted.token.expose_secret()).await.is_err()).await;
}
