//! A running API with its people, and the isolation torture: shared by the API's tests, the program's tests and `make torture-api`.
//!
//! A dev-dependency only. It stands apart from `testing`, so that a change of the API rebuilds nothing of the operator's tests.
//! Must not be a dependency of the product.
#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc, reason = "a fixture fails as a test's assertions do")]
#![allow(clippy::large_futures, reason = "a fixture's future holds servers and clients, and runs once")]

mod client;
mod conformance;
mod running;
mod tokens;
pub mod torture;
mod world;

pub use self::client::{Answer, Client, PASSWORD};
pub use self::running::{METRICS, Running};
pub use self::tokens::Signer;
pub use self::world::{Parts, School, World, cached_in, connections, usual, world};
