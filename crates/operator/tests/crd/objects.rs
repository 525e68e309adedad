//! What the API server makes of objects that it takes.

use domain::names::{ClusterUid, DatabaseName, LoginName, SchoolCode, SchoolUid, SecretName, ServerName, TenantId};
use domain::school::observed::Names;
use http::Request;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use operator::crd::school::{AdminUser, Placement, School, SchoolSpec, Tier};
use operator::crd::{convert, print};
use serde_json::{Value, json};

use crate::cases::{Kind, merge, plain};
use crate::{client, object, untyped};

fn school(name: &str) -> School {
    let admin_user = AdminUser { name: "Ana Sousa".into(), email: format!("ana@{name}.example") };
    let email = format!("office@{name}.example");
    School::new(name, SchoolSpec { code: name.into(), display_name: "A school".into(), email, admin_user, ..SchoolSpec::default() })
}

#[tokio::test]
async fn both_crds_install_without_a_warning() {
    let client = client().await;
    for crd in print::all() {
        let uri = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All&fieldValidation=Strict";
        let mut other = crd.clone();
        // Another group, because this one is taken.
        for (pointer, group) in [
            ("/metadata/name", format!("{}.example.com", crd["spec"]["names"]["plural"].as_str().unwrap())),
            ("/spec/group", "example.com".into()),
        ] {
            *other.pointer_mut(pointer).unwrap() = group.into();
        }
        let request = Request::post(uri).header("Content-Type", "application/json").body(serde_json::to_vec(&other).unwrap()).unwrap();
        let response = client.send(request.map(Into::into)).await.unwrap();
        let warnings: Vec<_> = response.headers().get_all("warning").iter().collect();
        assert!(response.status().is_success() && warnings.is_empty(), "{} {warnings:?}", response.status());
    }
}

#[tokio::test]
async fn a_new_object_has_not_been_observed_and_nothing_is_added_to_its_spec() {
    let client = client().await;
    for kind in [Kind::School, Kind::DatabaseServer] {
        let mut expected_text = plain(kind);
        merge(&mut expected_text, &json!({"metadata": {"name": "unobserved"}}));
        let created = untyped(&client, kind).create(&PostParams::default(), &object(&expected_text)).await.unwrap();
        assert_eq!(created.data["status"], json!({"observedGeneration": -1}));
        assert_eq!(created.data["spec"], expected_text["spec"]);
    }
}

#[tokio::test]
async fn null_is_the_same_as_absent() {
    let schools = untyped(&client().await, Kind::School);
    let mut expected_text = plain(Kind::School);
    for field in ["phoneNumber", "placement", "database", "credentials", "deletionPolicy", "state"] {
        expected_text["spec"][field] = Value::Null;
    }
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    assert_eq!(schools.create(&dry_run, &object(&expected_text)).await.unwrap().data["spec"], plain(Kind::School)["spec"]);
}

#[tokio::test]
async fn applying_again_bumps_no_generation_and_writes_nothing_once_the_operator_has_looked() {
    let schools = Api::<School>::default_namespaced(client().await);
    let params = PatchParams::apply("gitops");
    let apply = async || schools.patch("twice", &params, &Patch::Apply(school("twice"))).await.unwrap();
    assert_eq!(apply().await.metadata.generation, Some(1));
    assert_eq!(apply().await.metadata.generation, Some(1));
    // Until a status is stored, its default is made up at each read and stored by the next write.
    let status = Patch::Merge(json!({"status": {"observedGeneration": 1}}));
    let observed = schools.patch_status("twice", &PatchParams::default(), &status).await.unwrap();
    let again = apply().await;
    assert_eq!((again.metadata.generation, again.resource_version()), (Some(1), observed.resource_version()));
}

#[tokio::test]
async fn the_fields_an_operator_asks_for_in_an_incident_are_selectable() {
    let schools = Api::<School>::default_namespaced(client().await);
    let mut premium = school("selected");
    premium.spec.placement = Some(Placement { tier: Some(Tier::Premium), server_name: None });
    premium.metadata.labels = Some([("test".to_owned(), "selectors".to_owned())].into());
    schools.create(&PostParams::default(), &premium).await.unwrap();
    schools.create(&PostParams::default(), &school("unselected")).await.unwrap();
    let status = json!({"status": {"placement": {"serverName": "pg-3", "tier": "premium"}}});
    schools.patch_status("selected", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    let spec = json!({"spec": {"state": "Suspended", "deletionPolicy": "Delete"}});
    schools.patch("selected", &PatchParams::default(), &Patch::Merge(spec)).await.unwrap();
    for selector in [
        "status.placement.serverName=pg-3",
        "status.placement.tier=premium",
        "spec.placement.tier=premium,metadata.name=selected",
        "spec.state=Suspended,metadata.name=selected",
        "spec.deletionPolicy=Delete,metadata.name=selected",
    ] {
        let found = schools.list(&ListParams::default().fields(selector)).await.unwrap();
        assert_eq!(found.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["selected"], "{selector}");
    }
    let none = schools.list(&ListParams::default().fields("status.placement.serverName=pg-4")).await.unwrap();
    assert_eq!(none.items.len(), 0);
}

fn condition(kind: &str, reason: &str) -> Value {
    json!({
        "apiVersion": "dailycare.io/v1alpha1", "kind": "School",
        "status": {"conditions": [{
            "type": kind, "status": "True", "reason": reason, "message": "as asked", "lastTransitionTime": "2026-11-23T18:00:00Z"
        }]}
    })
}

#[tokio::test]
async fn a_status_may_be_partial_and_conditions_merge_by_type() {
    let schools = Api::<School>::default_namespaced(client().await);
    schools.create(&PostParams::default(), &school("partial")).await.unwrap();
    for part in [
        json!({"observedGeneration": 1}),
        json!({"schema": {"target": 3}}),
        json!({"placement": {}}),
        json!({"credentials": {"activeLogin": "a"}}),
        json!({"adminUser": {"secretName": "partial-admin"}}),
        json!({"operatorVersion": "0.1.0"}),
        json!({"conditions": []}),
    ] {
        schools.patch_status("partial", &PatchParams::default(), &Patch::Merge(json!({"status": part}))).await.unwrap();
    }
    for (manager, kind) in [("one", "Ready"), ("two", "Stalled")] {
        schools.patch_status("partial", &PatchParams::apply(manager), &Patch::Apply(condition(kind, "Ready"))).await.unwrap();
    }
    let status = schools.get("partial").await.unwrap().status.unwrap();
    assert_eq!(status.conditions.unwrap().iter().map(|condition| condition.type_.as_str()).collect::<Vec<_>>(), ["Ready", "Stalled"]);
    assert_eq!((status.observed_generation, status.schema.unwrap().target), (Some(1), Some(3)));
}

#[tokio::test]
async fn recorded_names_survive_the_api_server() {
    let schools = Api::<School>::default_namespaced(client().await);
    schools.create(&PostParams::default(), &school("recorded")).await.unwrap();
    let code = SchoolCode::parse(&"a".repeat(40)).unwrap();
    let database = DatabaseName::of(&code);
    let names = Names {
        tenant: TenantId::of(ClusterUid(uuid::Uuid::from_u128(1)), SchoolUid(uuid::Uuid::from_u128(2))),
        server: ServerName::parse(&"s".repeat(63)).unwrap(),
        login: LoginName::of(&database),
        database,
        secret: SecretName::parse(&"n".repeat(63)).unwrap(),
        admin_secret: SecretName::parse("recorded-admin").unwrap(),
    };
    let patch = Patch::Merge(json!({"status": convert::recorded(&names)}));
    let school = schools.patch_status("recorded", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(convert::names(school.status.as_ref()), Ok(Some(names)));
}

#[tokio::test]
async fn the_columns_show_what_the_status_says() {
    let client = client().await;
    let schools = Api::<School>::default_namespaced(client.clone());
    schools.create(&PostParams::default(), &school("columns")).await.unwrap();
    let mut status = condition("Ready", "Suspended")["status"].clone();
    merge(
        &mut status,
        &json!({
            "placement": {"tier": "standard", "serverName": "pg-9"}, "schema": {"version": 20},
            "database": {"name": "dailycare_tenant_columns"}, "credentials": {"secretName": "columns-db"}
        }),
    );
    schools.patch_status("columns", &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await.unwrap();
    let (names, cells) = table(&client, "/apis/dailycare.io/v1alpha1/namespaces/default/schools/columns").await;
    assert_eq!(names, ["Name", "Ready", "Status", "Tier", "Server", "Schema", "Age", "Database", "Secret", "State", "Message"]);
    let message = ["columns", "True", "Suspended", "standard", "pg-9", "20"];
    assert_eq!(cells[..6], message);
    assert_eq!(cells[7..], ["dailycare_tenant_columns", "columns-db", "", "as asked"]);

    let mut server = plain(Kind::DatabaseServer);
    merge(&mut server, &json!({"metadata": {"name": "columns"}, "spec": {"tiers": ["standard", "basic"]}}));
    untyped(&client, Kind::DatabaseServer).create(&PostParams::default(), &object(&server)).await.unwrap();
    let (names, cells) = table(&client, "/apis/dailycare.io/v1alpha1/databaseservers/columns").await;
    assert_eq!(names, ["Name", "Ready", "Version", "Tiers", "Schools", "Schedulable", "Age", "Host", "Message"]);
    assert_eq!((cells[3].as_str(), cells[7].as_str()), (r#"["standard","basic"]"#, "pg-1.db.example"));
}

/// The columns' names and the first row, as kubectl gets them.
async fn table(client: &kube::Client, uri: &str) -> (Vec<String>, Vec<String>) {
    let request = Request::get(uri).header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").body(Vec::new()).unwrap();
    let table: Value = client.request(request).await.unwrap();
    let text = |cell: &Value| cell.as_str().map_or_else(|| if cell.is_null() { String::new() } else { cell.to_string() }, str::to_owned);
    let names = table["columnDefinitions"].as_array().unwrap().iter().map(|column| text(&column["name"])).collect();
    (names, table["rows"][0]["cells"].as_array().unwrap().iter().map(text).collect())
}
