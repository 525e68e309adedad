//! The operator as users run it: a real process against a real API server and real PostgreSQL 18 (as superuser) and 15 (as plain CREATEDB + CREATEROLE).
//!
//! Tests that only add and remove Schools share one world; a test that stops, kills or breaks anything has a world of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod apiserver;
mod certificates;
mod conflicts;
mod crashing;
mod credentials;
mod crowded;
mod deleting;
mod diagnosis;
mod drift;
mod duplicates;
mod fleet;
mod forbidden;
mod gitops;
mod isolation;
mod killing;
mod landing;
mod migrations;
mod oracle;
mod outages;
mod passwords;
mod placement;
mod planning;
mod probes;
mod provisioning;
mod rebuilt;
mod resetting;
mod resting;
mod secrecy;
mod servers;
mod sources;
mod suspending;
mod templates;
mod truth;
mod unidentified;
mod upgrading;
mod urgency;
mod world;
