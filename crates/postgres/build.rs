//! Rebuilds when a migration is added or removed: `include_dir!` embeds them, and the compiler alone notices only edits.
//!
//! Must not generate code.
#![allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

fn main() {
    println!("cargo:rerun-if-changed=../../config/schema");
}
