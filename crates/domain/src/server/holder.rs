//! Which of several `DatabaseServer`s has a PostgreSQL server: the one that recorded its identity, and of several the oldest.
//!
//! Must rest on what outlives the process: recorded identities and ages. So a restart decides as before.

use crate::names::ServerName;

/// An object for a PostgreSQL server of one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// The object.
    pub name: ServerName,
    /// When it was created, in seconds since 1970.
    pub created: i64,
    /// Its status records the identity. Otherwise it has recorded none, and this server answered under its address.
    pub recorded: bool,
}

/// The object that has the server, if that is not `own`. Of objects created in the same second, the first by name has it.
#[must_use]
pub fn other_holder(own: &Claimant, others: impl IntoIterator<Item = Claimant>) -> Option<ServerName> {
    let rank = |claimant: &Claimant| (!claimant.recorded, claimant.created, claimant.name.to_string());
    let first = others.into_iter().filter(|other| other.name != own.name).min_by_key(rank)?;
    (rank(&first) < rank(own)).then_some(first.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimant(name: &str, created: i64, recorded: bool) -> Claimant {
        Claimant { name: ServerName::parse(name).unwrap(), created, recorded }
    }

    #[test]
    fn of_objects_for_one_server_exactly_one_has_it_and_every_other_is_told_which() {
        let all = [
            claimant("recorded-late", 9, true),
            claimant("unrecorded-early", 1, false),
            claimant("recorded-early-b", 3, true),
            claimant("recorded-early-a", 3, true),
        ];
        for own in &all {
            let holder = other_holder(own, all.clone());
            let expected = (own.name.as_str() != "recorded-early-a").then(|| "recorded-early-a".to_owned());
            assert_eq!(holder.map(|name| name.to_string()), expected, "{own:?}");
        }
        assert_eq!(other_holder(&all[1], []), None);
        let older = claimant("older", 0, false);
        assert_eq!(other_holder(&all[1], [older]).unwrap().as_str(), "older", "before anything is recorded the older one has it");
    }
}
