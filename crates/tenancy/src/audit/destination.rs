//! Where an audit record is to be written.
//!
//! Must not open a connection: `delivery` does.

use domain::names::TenantId;

/// A database that takes audit records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Destination {
    /// The master database.
    Platform,
    /// The school's own.
    School(TenantId),
}

impl Destination {
    /// The value of the metrics' label `sink`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::School(_) => "school",
        }
    }

    /// None for the master database.
    pub(super) fn tenant(self) -> Option<TenantId> {
        match self {
            Self::Platform => None,
            Self::School(tenant) => Some(tenant),
        }
    }

    /// Spreads the retries of destinations that failed together.
    pub(super) fn seed(self) -> u64 {
        self.tenant().map_or(0, |tenant| tenant.0.as_u64_pair().1)
    }
}
