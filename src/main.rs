//! The one binary. It only hands over to the command line; nothing is decided here.
fn main() {}
