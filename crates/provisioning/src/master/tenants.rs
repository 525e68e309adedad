//! The registry's tenants, as the operator keeps them: reserving a code, observing, publishing a route, taking a tenant out of service.
//!
//! Every write has its precondition (the row's School and cluster) in its WHERE clause, and writes nothing when nothing would change.
//! Must not open routes by itself: the operator decides when.

mod authorities;
mod inactive;
mod observe;
mod observed_row;
mod occupancy;
mod occupants;
mod publication;
mod publish;
mod reserve;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

pub use self::authorities::clear_former_authorities;
pub use self::inactive::set_state;
pub use self::observe::{CodeHolder, RegistryObservation, observe};
pub use self::observed_row::ObservedRow;
pub use self::occupancy::{Occupancy, occupancy};
pub use self::occupants::{Occupant, occupants};
pub use self::publication::{PoolDefaults, Publication};
pub use self::publish::publish;
pub use self::reserve::{Reservation, Reserved, reserve};

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The row was changed.
    Made,
    /// The row held this already; nothing was written.
    Unneeded,
    /// This School has no such row, or the row is deleted; nothing was written.
    NotOurs,
}

impl Change {
    /// Reads the answer of a write: whether the row is ours, and whether it was changed.
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(match (row.try_get(0)?, row.try_get(1)?) {
            (_, true) => Self::Made,
            (true, false) => Self::Unneeded,
            (false, false) => Self::NotOurs,
        })
    }
}
