//! Who a PostgreSQL server is: by its system identifier, which `initdb` draws, or by a marker that the operator leaves on it, where a host does not tell the first.
//!
//! Must not take a server that cannot be compared for the recorded one, nor for another.

use super::observed::Identity;

/// What a server tells of who it is, or what is recorded of that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServerIdentity {
    /// PostgreSQL's system identifier, in decimal. It counts wherever both sides have one.
    pub system: Option<String>,
    /// The marker, a random UUID.
    pub marker: Option<String>,
}

impl ServerIdentity {
    /// Nothing is known of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.system.is_none() && self.marker.is_none()
    }

    /// The text that stands for it, for what is derived from it and for people. None when nothing is known.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.system.as_deref().or(self.marker.as_deref())
    }

    /// Both are of one server, as far as both tell.
    #[must_use]
    pub fn is_of_the_same_server(&self, other: &Self) -> bool {
        match (&self.system, &other.system) {
            (Some(own), Some(other)) => own == other,
            (None, _) | (_, None) => self.marker.is_some() && self.marker == other.marker,
        }
    }

    /// Whether the server that answered is the recorded one. None when that cannot be told: it told its system identifier once, and now keeps it to itself and
    /// bears no marker that was recorded.
    #[must_use]
    pub fn compare(recorded: &Self, answered: &Self) -> Option<Identity> {
        let same = |same| Some(if same { Identity::Same } else { Identity::Other });
        match (recorded, answered) {
            (Self { system: None, marker: None }, Self { system: None, marker: None }) => Some(Identity::Unmarked),
            (Self { system: None, marker: None }, _) => Some(Identity::Unrecorded),
            // In this order: the system identifier counts where both have one.
            (Self { system: Some(recorded), .. }, Self { system: Some(answered), .. })
            | (Self { marker: Some(recorded), .. }, Self { marker: Some(answered), .. }) => same(recorded == answered),
            // The marker was all that told it from others.
            (Self { system: None, .. }, Self { marker: None, .. }) => Some(Identity::Other),
            (Self { system: Some(_), .. }, Self { system: None, .. }) => None,
        }
    }

    /// What is known of a server that is the recorded one, when it tells more than was recorded.
    #[must_use]
    pub fn completed_by(&self, answered: &Self) -> Self {
        Self {
            system: self.system.clone().or_else(|| answered.system.clone()),
            marker: answered.marker.clone().or_else(|| self.marker.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(system: &str, marker: &str) -> ServerIdentity {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ServerIdentity { system: some(system), marker: some(marker) }
    }

    #[test]
    fn a_server_is_the_recorded_one_only_by_what_both_sides_know_and_never_by_a_guess() {
        use Identity::{Other, Same, Unmarked, Unrecorded};
        for (recorded, answered, expected) in [
            (("", ""), ("", ""), Some(Unmarked)),
            (("", ""), ("1", ""), Some(Unrecorded)),
            (("", ""), ("", "m"), Some(Unrecorded)),
            (("1", ""), ("1", "m"), Some(Same)),
            // The system identifier counts, whatever the marker is: a restored dump brings the marker along.
            (("1", "m"), ("1", "n"), Some(Same)),
            (("1", "m"), ("2", "m"), Some(Other)),
            // The host began to keep the system identifier to itself.
            (("1", "m"), ("", "m"), Some(Same)),
            (("1", "m"), ("", "n"), Some(Other)),
            (("1", "m"), ("", ""), None),
            (("1", ""), ("", ""), None),
            (("1", ""), ("", "m"), None),
            // Or no longer keeps it.
            (("", "m"), ("1", "m"), Some(Same)),
            (("", "m"), ("1", "n"), Some(Other)),
            (("", "m"), ("1", ""), Some(Other)),
            (("", "m"), ("", "m"), Some(Same)),
            (("", "m"), ("", "n"), Some(Other)),
            (("", "m"), ("", ""), Some(Other)),
        ] {
            let found = ServerIdentity::compare(&identity(recorded.0, recorded.1), &identity(answered.0, answered.1));
            assert_eq!(found, expected, "{recorded:?} {answered:?}");
        }
    }

    #[test]
    fn two_objects_are_for_one_server_when_either_identity_says_so_and_none_contradicts() {
        for (one, other, same) in [
            (("1", "m"), ("1", ""), true),
            (("1", "m"), ("", "m"), true),
            (("", "m"), ("", "m"), true),
            (("1", "m"), ("2", "m"), false),
            (("1", ""), ("", "m"), false),
            (("", ""), ("", ""), false),
        ] {
            let (one, other) = (identity(one.0, one.1), identity(other.0, other.1));
            assert_eq!(one.is_of_the_same_server(&other), same, "{one:?} {other:?}");
            assert_eq!(other.is_of_the_same_server(&one), same, "{one:?} {other:?}");
        }
    }
}
