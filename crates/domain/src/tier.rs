//! The classes of service that schools ask for and servers offer.
//!
//! Must not say what a tier costs or which servers it has: that is the spec's and the placement's business.

/// A class of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// The best servers.
    Premium,
    /// The default.
    Standard,
    /// For schools with few resources.
    Basic,
}

impl Tier {
    /// The word used in the spec, in metrics and in messages.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Premium => "premium",
            Self::Standard => "standard",
            Self::Basic => "basic",
        }
    }
}
