//! Chooses the server for a School: of those that offer its tier, the one with the least share of its capacity used.
//!
//! Must not be asked about a School whose server is recorded: a placement is decided once and nothing here moves a School.

use std::fmt::Write as _;

use crate::names::ServerName;
use crate::tier::Tier;

/// Where a School asks to be placed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlacementRequest {
    /// The tier that the server must offer.
    pub tier: Tier,
    /// The one server that may be chosen; any when none.
    pub server: Option<ServerName>,
}

/// A server as placement sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The server's name.
    pub name: ServerName,
    /// The tiers it offers.
    pub tiers: Vec<Tier>,
    /// It accepts new schools (`spec.schedulable`).
    pub schedulable: bool,
    /// It answered and is prepared.
    pub ready: bool,
    /// What its conditions say, while it is not ready and that is known.
    pub explanation: Option<String>,
    /// It accepts schools of the School's namespace.
    pub namespace_allowed: bool,
    /// Schools on it, including retained ones and those that are just being placed.
    pub schools: u32,
    /// The most schools it takes; no limit when none.
    pub capacity: Option<u32>,
}

/// The server chosen, and why, for the status.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Placement {
    /// The server.
    pub server: ServerName,
    /// The tier it was chosen for.
    pub tier: Tier,
    /// Why, in one sentence.
    pub reason: String,
}

/// Why no server was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unplaced {
    /// The obstacle at the server that was nearest to fitting.
    pub cause: Cause,
    /// What each server lacks, for a person.
    pub message: String,
}

/// What keeps a School from a server; the later in this list, the nearer the server was to fitting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// There is no server of the requested name, or none at all.
    NotFound,
    /// It does not offer the tier.
    NoMatchingTier,
    /// It does not accept the namespace.
    NamespaceNotAllowed,
    /// It is cordoned.
    NotSchedulable,
    /// It is full.
    NoCapacity,
    /// It fits, but does not answer or is not prepared.
    NotReady,
}

/// The least filled server that fits, ties by name.
///
/// # Errors
/// [`Unplaced`], which says what each server lacks.
pub fn choose(request: &PlacementRequest, candidates: &[Candidate]) -> Result<Placement, Unplaced> {
    let eligible: Vec<_> = candidates.iter().filter(|c| request.server.as_ref().is_none_or(|name| *name == c.name)).collect();
    let fitting: Vec<_> = eligible.iter().filter(|c| obstacle(request, c).is_none()).collect();
    let least = fitting.iter().min_by(|a, b| by_share_used(a, b));
    let Some(chosen) = least else { return Err(unplaced(request, &eligible)) };
    let tier = request.tier.label();
    let reason = match (&request.server, fitting.len()) {
        (Some(_), _) => format!("requested by name, offers tier {tier}"),
        (None, 1) => format!("the only server with room in tier {tier}"),
        (None, n) => format!("least filled of {n} servers with room in tier {tier}"),
    };
    Ok(Placement { server: chosen.name.clone(), tier: request.tier, reason })
}

fn obstacle(request: &PlacementRequest, candidate: &Candidate) -> Option<Cause> {
    if !candidate.tiers.contains(&request.tier) {
        Some(Cause::NoMatchingTier)
    } else if !candidate.namespace_allowed {
        Some(Cause::NamespaceNotAllowed)
    } else if !candidate.schedulable {
        Some(Cause::NotSchedulable)
    } else if candidate.capacity.is_some_and(|most| candidate.schools >= most) {
        Some(Cause::NoCapacity)
    } else if !candidate.ready {
        Some(Cause::NotReady)
    } else {
        None
    }
}

/// Compares `schools / capacity` without dividing; a server without a limit counts as one of 1,000, so that it gets a share of the schools.
fn by_share_used(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    let capacity = |c: &Candidate| u64::from(c.capacity.unwrap_or(1000).max(1));
    let (left, right) = (u64::from(a.schools) * capacity(b), u64::from(b.schools) * capacity(a));
    left.cmp(&right).then_with(|| a.name.cmp(&b.name))
}

/// Servers named in a message; the others are only counted, so that a status stays small.
const NAMED: usize = 5;

fn unplaced(request: &PlacementRequest, eligible: &[&Candidate]) -> Unplaced {
    let mut lacks: Vec<_> = eligible.iter().filter_map(|c| obstacle(request, c).map(|cause| (cause, *c))).collect();
    lacks.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.name.cmp(&y.name)));
    let tier = request.tier.label();
    let Some(&(cause, _)) = lacks.first() else {
        let message = match &request.server {
            Some(name) => format!("there is no DatabaseServer {name}; create it or change spec.placement.serverName"),
            None => "there is no DatabaseServer; create one".to_owned(),
        };
        return Unplaced { cause: Cause::NotFound, message };
    };
    let mut message = format!("no server can take a school of tier {tier}: ");
    for (i, (cause, server)) in lacks.iter().take(NAMED).enumerate() {
        let _ = write!(message, "{}{}", if i == 0 { "" } else { "; " }, lack(*cause, server, tier));
    }
    if lacks.len() > NAMED {
        let _ = write!(message, "; and {} more", lacks.len() - NAMED);
    }
    Unplaced { cause, message }
}

fn lack(cause: Cause, server: &Candidate, tier: &str) -> String {
    let name = &server.name;
    match cause {
        Cause::NotFound => format!("{name} does not exist"),
        Cause::NoMatchingTier => format!("{name} does not offer tier {tier} (add it to spec.tiers)"),
        Cause::NamespaceNotAllowed => format!("{name} does not accept this namespace (see spec.allowedNamespaces)"),
        Cause::NotSchedulable => format!("{name} is cordoned (spec.schedulable is false)"),
        Cause::NoCapacity => {
            let most = server.capacity.unwrap_or_default();
            format!("{name} holds {most} of {most} schools (raise spec.capacity.maxSchools or add a server)")
        }
        Cause::NotReady => match &server.explanation {
            Some(explanation) => format!("{name} is not ready ({explanation})"),
            None => format!("{name} is not ready (see its conditions)"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, schools: u32, capacity: Option<u32>) -> Candidate {
        let name = ServerName::parse(name).unwrap();
        Candidate {
            name,
            tiers: vec![Tier::Standard],
            schedulable: true,
            ready: true,
            explanation: None,
            namespace_allowed: true,
            schools,
            capacity,
        }
    }
    fn standard() -> PlacementRequest {
        PlacementRequest { tier: Tier::Standard, server: None }
    }

    #[test]
    fn the_least_filled_server_by_share_wins_and_names_break_ties() {
        let servers = [candidate("b", 10, Some(100)), candidate("a", 10, Some(100)), candidate("c", 5, Some(10))];
        assert_eq!(choose(&standard(), &servers).unwrap().server.as_str(), "a");
    }

    #[test]
    fn a_pinned_server_is_taken_even_when_another_is_emptier() {
        let request = PlacementRequest { server: Some(ServerName::parse("b").unwrap()), ..standard() };
        let servers = [candidate("a", 0, Some(10)), candidate("b", 9, Some(10))];
        assert_eq!(choose(&request, &servers).unwrap().server.as_str(), "b");
    }

    #[test]
    fn the_nearest_miss_is_the_cause_and_every_server_says_what_it_lacks() {
        let mut other_tier = candidate("a", 0, None);
        other_tier.tiers = vec![Tier::Premium];
        let full = candidate("b", 3, Some(3));
        let mut closed = candidate("c", 0, None);
        closed.namespace_allowed = false;
        let why = choose(&standard(), &[other_tier, full, closed]).unwrap_err();
        assert_eq!(why.cause, Cause::NoCapacity);
        for part in ["b holds 3 of 3", "a does not offer tier standard", "c does not accept this namespace"] {
            assert!(why.message.contains(part), "{}", why.message);
        }
    }

    #[test]
    fn every_single_obstacle_keeps_a_school_off_a_server() {
        type Spoil = fn(&mut Candidate);
        let cases: [(Spoil, Cause); 5] = [
            (|c| c.tiers.clear(), Cause::NoMatchingTier),
            (|c| c.namespace_allowed = false, Cause::NamespaceNotAllowed),
            (|c| c.schedulable = false, Cause::NotSchedulable),
            (|c| c.capacity = Some(0), Cause::NoCapacity),
            (|c| c.ready = false, Cause::NotReady),
        ];
        for (spoil, cause) in cases {
            let mut server = candidate("a", 0, None);
            spoil(&mut server);
            assert_eq!(choose(&standard(), &[server]).unwrap_err().cause, cause);
        }
        assert_eq!(choose(&standard(), &[]).unwrap_err().cause, Cause::NotFound);
    }
}
