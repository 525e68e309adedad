//! Observing a School's Secrets. One that cannot be read is a fact of its own: only a School that is to be served needs it.
//!
//! Must not change a Secret, and must not take one that could not be read for an absent one.

use domain::school::desired::Desired;
use kube::{Resource as _, ResourceExt as _};
use secrecy::SecretString;

use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::crd::School;
use crate::kubernetes::secrets::{self, ObservedSecret};

/// A Secret of the School, as far as it was read.
pub enum SecretReading {
    /// No Secret of that name.
    Absent,
    /// A Secret of that name which this School does not control.
    Foreign,
    /// The School's.
    Ours(Box<ObservedSecret>),
    /// It could not be read.
    Failed(Error),
    /// It was not read: the School is being deleted.
    NotNeeded,
}

impl SecretReading {
    /// The School's own Secret.
    #[must_use]
    pub fn ours(&self) -> Option<&ObservedSecret> {
        match self {
            Self::Ours(secret) => Some(secret),
            Self::Absent | Self::Foreign | Self::Failed(_) | Self::NotNeeded => None,
        }
    }

    /// The password in the School's own Secret.
    #[must_use]
    pub fn password(&self) -> Option<SecretString> {
        self.ours()?.password()
    }

    /// Why it could not be read. Afterwards it counts as not read.
    pub(super) fn take_error(&mut self) -> Option<Error> {
        match std::mem::replace(self, Self::NotNeeded) {
            Self::Failed(error) => Some(error),
            read => {
                *self = read;
                None
            }
        }
    }
}

/// Reads a Secret of the School. One that an earlier School of this name left is an error: Kubernetes removes it soon.
pub(super) async fn read(ctx: &Context, school: &School, desired: &Desired, name: &str) -> SecretReading {
    if matches!(desired, Desired::Deleted(_)) {
        return SecretReading::NotNeeded;
    }
    let uid = school.uid().unwrap_or_default();
    match secrets::read(&ctx.client, &school.namespace().unwrap_or_default(), name).await {
        Ok(None) => SecretReading::Absent,
        Ok(Some(secret)) if secret.is_controlled_by(&uid) => SecretReading::Ours(Box::new(secret)),
        Ok(Some(secret)) if secret.is_left_by_predecessor(&School::kind(&()), &school.name_any(), &uid) => {
            SecretReading::Failed(Error::Leftover(name.to_owned()))
        }
        Ok(Some(_)) => SecretReading::Foreign,
        Err(error) => SecretReading::Failed(error.into()),
    }
}
