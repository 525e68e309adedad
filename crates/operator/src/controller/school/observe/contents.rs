//! What a School's Secret and registry row should hold, as far as an observation says it.
//!
//! Must not read any source, and must not choose a password.

use domain::school::desired::Desired;
use domain::school::observed::{CatalogFacts, ObservedDatabase, ServerObservation};
use domain::server::TlsMode;
use domain::tenant::TenantState;
use kube::ResourceExt as _;
use postgres::session::Credentials;
use provisioning::master::TenantRef;
use provisioning::master::keyring::Keyring;
use provisioning::master::tenants::Publication;
use registry::route::Route;
use secrecy::SecretString;

use super::{AssignedObservation, Observation};
use crate::controller::context::Context;
use crate::controller::school::owner_reference;
use crate::crd::convert;
use crate::kubernetes::secrets::{CredentialsContent, DesiredSecret, ObservedSecret, credentials_secret};

impl AssignedObservation {
    /// The credentials Secret as it should be, once the server's address is known.
    #[must_use]
    pub fn desired_secret(&self, ctx: &Context, observation: &Observation, password: SecretString) -> Option<DesiredSecret> {
        let connection = self.connection()?;
        let template = convert::secret_template(&observation.school);
        Some(credentials_secret(&CredentialsContent {
            namespace: observation.school.namespace().unwrap_or_default(),
            name: self.names.secret.to_string(),
            owner: owner_reference(&observation.school)?,
            host: connection.endpoint.host.clone(),
            port: connection.endpoint.port,
            ssl_mode: TlsMode::from(&connection.endpoint.tls).label(),
            certificates: connection.authority().map(<[u8]>::to_vec),
            username: self.names.login.to_string(),
            revision: self.revision(ctx, observation.owner, &password)?,
            password,
            database: self.names.database.to_string(),
            extra_labels: template.labels,
            extra_annotations: template.annotations,
        }))
    }

    /// What the registry's row should say, once everything of it is known.
    #[must_use]
    pub fn publication(&self, ctx: &Context, observation: &Observation) -> Option<Publication> {
        let Desired::Present(school) = &observation.desired else { return None };
        let ServerObservation::Available(CatalogFacts { database: ObservedDatabase::Ours { schema, .. }, .. }) = self.server else {
            return None;
        };
        Some(Publication {
            tenant: observation.owner,
            profile: school.profile.clone(),
            route: Route {
                server: self.names.server.clone(),
                endpoint: self.connection()?.endpoint.clone(),
                database: self.names.database.clone(),
                login: self.names.login.clone(),
                pool: ctx.pooling.with_size(school.connection_limit),
            },
            password: self.password(),
            schema_version: schema.version,
            state: if school.suspended { TenantState::Suspended } else { TenantState::Active },
        })
    }

    /// What the Secret is annotated with: its present value, while that is true by any of the keys, so that a rotation of keys rewrites no Secret. Nor does the
    /// removal of an old key: the value stays as long as the password is the one that is published, because it was annotated before it was published.
    fn revision(&self, ctx: &Context, owner: TenantRef, password: &SecretString) -> Option<String> {
        let accepted = ctx.keyring.fingerprints(owner.id, password);
        let present = self.secret.ours().and_then(ObservedSecret::revision).filter(|present| Keyring::is_fingerprint(present));
        let kept = present.filter(|present| accepted.iter().any(|one| one == present) || self.is_published(ctx, owner, password));
        kept.map(ToOwned::to_owned).or_else(|| accepted.into_iter().next())
    }

    /// The registry holds this password, sealed by a key that is still known.
    pub(in crate::controller::school) fn is_published(&self, ctx: &Context, owner: TenantRef, password: &SecretString) -> bool {
        let credentials = Credentials { username: self.names.login.to_string(), password: password.clone() };
        let row = self.registry.row.as_ref().filter(|row| row.is_of(owner));
        row.and_then(|row| row.sealed.as_ref()).is_some_and(|sealed| ctx.keyring.contains(owner.id, sealed, &credentials))
    }
}
