//! The workspace's architecture: which crate may depend on which, and no circle between the modules of a crate.
//!
//! Must not build or run the product: it reads the manifests and the source text.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod arrows;
mod circles;
mod modules;
mod tokens;
