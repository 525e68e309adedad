//! What the registry holds of a tenant, in the types that every crate shares: its state, its profile, and people with accounts.
//!
//! Must not know Kubernetes objects or SQL. Which state follows which is decided in [`crate::school::plan`].

/// A tenant's state in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TenantState {
    /// Being created; the API answers 503.
    Provisioning,
    /// Being served.
    Active,
    /// Closed, because the spec asks for it or because the School is being deleted; the API answers 403.
    Suspended,
    /// The School object is gone, the data is kept.
    Retained,
    /// The School object and the data are gone.
    Deleted,
}

/// A state in which a tenant is not served and that the registry's row gets without a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InactiveState {
    /// Closed, because the spec asks for it or because the School is being deleted; a publication brings it back.
    Suspended,
    /// The School object is gone, the data is kept.
    Retained,
    /// School and data are gone: its code is free, its accounts are closed, its credentials erased. This is final.
    Deleted,
}

impl From<InactiveState> for TenantState {
    fn from(state: InactiveState) -> Self {
        match state {
            InactiveState::Suspended => Self::Suspended,
            InactiveState::Retained => Self::Retained,
            InactiveState::Deleted => Self::Deleted,
        }
    }
}

/// Name and contact of a school.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// Free text, never used as an identifier.
    pub name: String,
    /// The school's e-mail address.
    pub email: String,
    /// The school's telephone number.
    pub phone_number: Option<String>,
}

/// A person with an account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Person {
    /// Full name.
    pub name: String,
    /// E-mail address, unique over all schools without regard to case.
    pub email: String,
}
