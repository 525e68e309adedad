//! The CRDs on a real API server: they install without a warning, refuse what they should with words a person can act on, and leave what was written alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "functions that only tests call are not recognised as tests")]

mod cases;
mod objects;
mod rules;
mod samples;

use std::time::Duration;

use cases::Kind;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::Status;
use kube::runtime::conditions;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt as _};
use operator::crd::print;
use serde_json::Value;
use testing::ControlPlane;
use tokio::sync::OnceCell;

/// One API server for all tests of this program; it ends with the process.
static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();

/// A client of the API server, with the CRDs established.
async fn client() -> Client {
    let plane = PLANE.get_or_init(async || {
        let plane = ControlPlane::private().await.unwrap();
        install(&plane.client().await.unwrap()).await;
        plane
    });
    plane.await.client().await.unwrap()
}

async fn install(client: &Client) {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    for crd in print::all() {
        let crd: CustomResourceDefinition = serde_json::from_value(crd).unwrap();
        let name = crd.name_any();
        api.patch(&name, &PatchParams::apply("tests"), &Patch::Apply(&crd)).await.unwrap();
        let established = await_condition(api.clone(), &name, conditions::is_crd_established());
        tokio::time::timeout(Duration::from_mins(1), established).await.expect("the CRD is established").unwrap();
    }
}

fn resource(kind: Kind) -> ApiResource {
    match kind {
        Kind::School => ApiResource::erase::<operator::crd::School>(&()),
        Kind::DatabaseServer => ApiResource::erase::<operator::crd::DatabaseServer>(&()),
    }
}

/// Untyped, so that objects the types cannot express are sent too.
fn untyped(client: &Client, kind: Kind) -> Api<DynamicObject> {
    match kind {
        Kind::School => Api::default_namespaced_with(client.clone(), &resource(kind)),
        Kind::DatabaseServer => Api::all_with(client.clone(), &resource(kind)),
    }
}

fn object(value: &Value) -> DynamicObject {
    serde_json::from_value(value.clone()).unwrap()
}

/// The answer of an API server that refused.
fn refusal<T: std::fmt::Debug>(outcome: kube::Result<T>) -> Status {
    match outcome {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("not refused by the API server: {other:?}"),
    }
}
