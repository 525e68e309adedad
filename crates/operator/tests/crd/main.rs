//! The CRDs on a real API server: they install without a warning, refuse what they should with words a person can act on, and leave what was written alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "functions that only tests call are not recognised as tests")]

mod cases;
mod objects;
mod rules;
mod samples;

use cases::Kind;
use kube::api::{ApiResource, DynamicObject};
use kube::core::Status;
use kube::{Api, Client};
use operator::crd::print;
use serde_json::Value;
use testing::ControlPlane;
use testing::kubernetes::install_crds;
use tokio::sync::OnceCell;

/// One API server for all tests of this program; it ends with the process.
static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();

/// A client of the API server, with the CRDs established.
async fn client() -> Client {
    let plane = PLANE.get_or_init(async || {
        let plane = ControlPlane::private().await.unwrap();
        install_crds(&plane.client().await.unwrap(), print::all()).await.unwrap();
        plane
    });
    plane.await.client().await.unwrap()
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
