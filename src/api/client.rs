//! Who is at the other end of the connection, as far as the edge can tell.

use std::net::IpAddr;

/// The caller's address, put into a request's extensions by the edge; absent where there is none, as in tests without a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);
