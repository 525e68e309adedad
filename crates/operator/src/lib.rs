//! The operator: its resource definitions, its way to Kubernetes, and the controllers.
//!
//! Must not serve HTTP but for its probes, and must not know the API. What decides is in `domain`; what touches a server is in `provisioning`.

pub mod controller;
pub mod crd;
pub mod fault;
pub mod kubernetes;
pub mod metrics;
