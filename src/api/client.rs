//! Stub.
use std::net::IpAddr;
/// x
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);
