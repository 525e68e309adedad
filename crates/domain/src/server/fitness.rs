//! What a server's state means for schools: whether those on it can be worked on, and whether new ones may be placed there.
//!
//! Must not hold anything against the schools on a server that does not concern them: a missing right, a missing template or an open maintenance database is
//! told of the server alone.

use super::observed::{Identity, ObservedServer, ServerFacts};
use crate::condition::Reason;
use crate::school::observed::Unavailable;

/// Whether the schools on a server can be observed and worked on.
///
/// # Errors
/// Why not.
pub fn for_its_schools(observed: &ObservedServer) -> Result<(), Unavailable> {
    let facts = match &observed.contact {
        Err(obstacle) if obstacle.reason == Reason::DatabaseUnreachable => return Err(Unavailable::Unreachable),
        Err(obstacle) => return Err(Unavailable::Unusable(obstacle.reason)),
        Ok(facts) => facts,
    };
    match facts.identity {
        Identity::Other => Err(Unavailable::IdentityMismatch),
        Identity::Unmarked | Identity::Unrecorded if facts.taken_by.is_some() => Err(Unavailable::Unusable(Reason::DuplicateServer)),
        Identity::Unmarked | Identity::Unrecorded => Err(Unavailable::NotReady),
        Identity::Same if !facts.supported => Err(Unavailable::Unusable(Reason::VersionUnsupported)),
        Identity::Same if !facts.writable => Err(Unavailable::Unusable(Reason::ServerReadOnly)),
        Identity::Same if facts.full => Err(Unavailable::Unusable(Reason::TooManyConnections)),
        Identity::Same => Ok(()),
    }
}

/// Whether new schools may be placed there: everything that they start with exists.
#[must_use]
pub fn for_new_schools(observed: &ObservedServer) -> bool {
    let prepared = |facts: &ServerFacts| {
        facts.taken_by.is_none() && facts.lacking.is_empty() && facts.has_marker && facts.roles && facts.closed && facts.template
    };
    for_its_schools(observed).is_ok() && observed.contact.as_ref().is_ok_and(prepared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::ServerName;
    use crate::server::observed::Obstacle;

    fn fit() -> ServerFacts {
        ServerFacts {
            identity: Identity::Same,
            taken_by: None,
            supported: true,
            lacking: vec![],
            writable: true,
            full: false,
            has_marker: true,
            roles: true,
            closed: true,
            template: true,
            stale: false,
        }
    }

    fn server(contact: Result<ServerFacts, Obstacle>) -> ObservedServer {
        ObservedServer { deleting: false, finalizer: true, in_use: true, contact }
    }

    #[test]
    fn what_does_not_concern_the_schools_on_a_server_is_not_held_against_them() {
        let another = ServerName::parse("pg-first").ok();
        for facts in [
            ServerFacts { lacking: vec!["CREATEDB"], ..fit() },
            ServerFacts { has_marker: false, ..fit() },
            ServerFacts { roles: false, ..fit() },
            ServerFacts { closed: false, ..fit() },
            ServerFacts { template: false, ..fit() },
            ServerFacts { taken_by: another, ..fit() },
        ] {
            let observed = server(Ok(facts));
            assert_eq!(for_its_schools(&observed), Ok(()), "{observed:?}");
            assert!(!for_new_schools(&observed), "{observed:?}");
        }
        let stale = server(Ok(ServerFacts { stale: true, ..fit() }));
        assert!(for_new_schools(&stale), "old templates are in nobody's way");
    }

    #[test]
    fn what_keeps_the_operator_from_a_servers_schools_is_told_by_the_servers_own_reason() {
        for (facts, reason) in [
            (ServerFacts { supported: false, ..fit() }, Reason::VersionUnsupported),
            (ServerFacts { writable: false, ..fit() }, Reason::ServerReadOnly),
            (ServerFacts { full: true, ..fit() }, Reason::TooManyConnections),
        ] {
            assert_eq!(for_its_schools(&server(Ok(facts))), Err(Unavailable::Unusable(reason)));
        }
        let failed = |reason| server(Err(Obstacle { reason, message: String::new() }));
        for reason in [Reason::AuthenticationFailed, Reason::TlsFailed, Reason::AdminSecretInvalid, Reason::PoolerInBetween] {
            assert_eq!(for_its_schools(&failed(reason)), Err(Unavailable::Unusable(reason)));
        }
        assert_eq!(for_its_schools(&failed(Reason::DatabaseUnreachable)), Err(Unavailable::Unreachable));
        let other = server(Ok(ServerFacts { identity: Identity::Other, ..fit() }));
        assert_eq!(for_its_schools(&other), Err(Unavailable::IdentityMismatch));
    }
}
