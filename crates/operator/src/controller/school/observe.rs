//! Looking: everything that is known of one School, each part from its own source.
//!
//! Must not change anything. Either a source answers, or the look fails, or (for the server alone) its absence is itself a fact.

use domain::names::{SchoolCode, SchoolUid, TenantId};
use domain::placement::{Placement, Unplaced};
use domain::school::desired::Desired;
use domain::school::observed::{
    AssignedSchool, Assignment, CatalogFacts, Names, ObservedAdmin, ObservedAdminSecret, ObservedDatabase, ObservedSchool, ObservedSecret,
    ObservedTenant, SecretContent, ServerObservation, Unavailable,
};
use domain::server::TlsMode;
use domain::tenant::TenantState;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};
use provisioning::master::TenantRef;
use provisioning::master::tenants::{self, Publication, RegistryObservation};
use provisioning::master::users::Account;
use provisioning::server::{TenantObjects, catalog};
use registry::route::Route;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::{FINALIZER, placement};
use crate::controller::context::Context;
use crate::controller::error::{Error, Result};
use crate::controller::server_cache::{ServerConnection, ServerState};
use crate::crd::{DatabaseServer, School, convert};
use crate::kubernetes::secrets::{self, CredentialsContent, SecretObserved, SecretWanted, credentials_secret};

/// A password shorter than this was not made by us and is too weak to be kept.
const SHORTEST_PASSWORD: usize = 16;

/// Everything known of one School.
pub struct Observation {
    /// The object, as last read or written.
    pub school: School,
    /// What it asks for.
    pub wanted: Desired,
    /// The tenant and whom its row is written for.
    pub owner: TenantRef,
    /// Names and what stands under them, or where it would go.
    pub binding: Result<AssignedObservation, Result<Placement, Unplaced>>,
}

/// What stands under recorded names.
pub struct AssignedObservation {
    /// The names.
    pub names: Names,
    /// The registry's answer.
    pub registry: RegistryObservation,
    /// The credentials Secret.
    pub secret: Option<SecretObserved>,
    /// The administrator's Secret.
    pub admin_secret: Option<SecretObserved>,
    /// The server as last looked at; none when it never was.
    pub known: Option<ServerState>,
    /// What its catalogs say.
    pub server: ServerObservation,
}

/// Looks at everything.
///
/// # Errors
/// When the spec or the recorded names cannot be used, or a source does not answer.
pub async fn observe(ctx: &Context, school: School) -> Result<Observation> {
    let wanted = convert::desired(&school, ctx.migrations.target())?;
    let uid = school.uid().and_then(|uid| Uuid::parse_str(&uid).ok());
    let uid = SchoolUid(uid.ok_or_else(|| Error::Bug("the School has no uid".to_owned()))?);
    let mut names = convert::names(school.status.as_ref())?;
    let tenant = names.as_ref().map_or_else(|| TenantId::of(ctx.cluster, uid), |names| names.tenant);
    let owner = TenantRef { id: tenant, school: uid, cluster: ctx.cluster };
    if let (None, Desired::Deleted(_)) = (&names, &wanted) {
        names = registered_names(ctx, &school, owner).await?;
    }
    let binding = match names {
        Some(names) => Ok(stand(ctx, &school, &wanted, owner, names).await?),
        None => Err(placement::choose(ctx, &school, &wanted, owner).await?),
    };
    Ok(Observation { school, wanted, owner, binding })
}

/// The names of a School that is being deleted and whose status was lost: what the registry holds for it must not outlive it.
async fn registered_names(ctx: &Context, school: &School, owner: TenantRef) -> Result<Option<Names>> {
    let row = tenants::observe(&ctx.registry, owner.id, None, None).await?.row.filter(|row| row.is_of(owner));
    let Some((row, server)) = row.and_then(|row| row.server.clone().map(|server| (row, server))) else { return Ok(None) };
    let code = SchoolCode::parse(&row.code).map_err(|source| convert::SpecError { field: "spec.code", source })?;
    Ok(Some(convert::derived_names(school, owner.id, &code, server)?))
}

async fn stand(ctx: &Context, school: &School, wanted: &Desired, owner: TenantRef, names: Names) -> Result<AssignedObservation> {
    let namespace = school.namespace().unwrap_or_default();
    let read = async |name: &str| {
        let secret = secrets::read(&ctx.client, &namespace, name).await?;
        let left =
            |secret: &SecretObserved| secret.is_left_by_predecessor(&School::kind(&()), &school.name_any(), &owner.school.to_string());
        if matches!(wanted, Desired::Present(_)) && secret.as_ref().is_some_and(left) {
            Err(Error::Leftover(name.to_owned()))
        } else {
            Ok(secret)
        }
    };
    let (registry, secret, admin_secret) =
        tokio::try_join!(observe_registry(ctx, wanted, owner.id), read(names.secret.as_str()), read(names.admin_secret.as_str()),)?;
    let known = ctx.servers.get(&names.server);
    let mut assigned =
        AssignedObservation { names, registry, secret, admin_secret, known, server: ServerObservation::Unavailable(Unavailable::NotReady) };
    assigned.server = assigned.observe_server(ctx, school, wanted, owner).await?;
    // A School on its way out takes no place that the registry does not say it has.
    let takes_a_place = match assigned.tenant(owner, false) {
        ObservedTenant::Absent => matches!(wanted, Desired::Present(_)),
        ObservedTenant::OfAnother | ObservedTenant::Ours { state: TenantState::Deleted, .. } => false,
        ObservedTenant::Ours { .. } => true,
    };
    if takes_a_place {
        ctx.reservations.record(owner.id, assigned.names.server.clone());
    }
    Ok(assigned)
}

/// Asks the registry about one School.
///
/// # Errors
/// When it does not answer.
pub async fn observe_registry(ctx: &Context, wanted: &Desired, tenant: TenantId) -> Result<RegistryObservation> {
    let (code, email): (Option<&SchoolCode>, Option<&str>) = match wanted {
        Desired::Present(ask) => (Some(&ask.code), Some(&ask.admin.email)),
        Desired::Deleted(_) => (None, None),
    };
    Ok(tenants::observe(&ctx.registry, tenant, code, email).await?)
}

impl Observation {
    /// The planner's view of it.
    #[must_use]
    pub fn facts(&self, ctx: &Context) -> ObservedSchool {
        let binding = match &self.binding {
            Err(placed) => Assignment::Unassigned(placed.clone()),
            Ok(assigned) => Assignment::Assigned(assigned.bound(self, ctx)),
        };
        ObservedSchool { finalizer: self.school.finalizers().iter().any(|present| present == FINALIZER), assignment: binding }
    }

    /// Reference for waking and logs.
    #[must_use]
    pub fn reference(&self) -> ObjectRef<School> {
        ObjectRef::from_obj(&self.school)
    }
}

impl AssignedObservation {
    fn bound(&self, observation: &Observation, ctx: &Context) -> AssignedSchool {
        let current = self
            .publication(ctx, observation)
            .is_some_and(|wanted| self.registry.row.as_ref().is_some_and(|row| row.matches(&wanted, &ctx.keyring)));
        AssignedSchool {
            names: self.names.clone(),
            tenant: self.tenant(observation.owner, current),
            secret: self.credentials(ctx, observation),
            admin: match self.registry.admin {
                Account::Made => ObservedAdmin::Exists,
                Account::EmailTaken => ObservedAdmin::EmailTaken,
                Account::Absent => ObservedAdmin::Missing(self.admin_secret(observation)),
            },
            server: self.server,
        }
    }

    /// The registry's row.
    #[must_use]
    pub fn tenant(&self, owner: TenantRef, current: bool) -> ObservedTenant {
        self.registry.tenant(owner, |_| current)
    }

    fn credentials(&self, ctx: &Context, observation: &Observation) -> ObservedSecret {
        let Some(observed) = &self.secret else { return ObservedSecret::Absent };
        if !observed.is_controlled_by(&observation.owner.school.to_string()) {
            return ObservedSecret::Foreign;
        }
        let Some(password) = self.password() else { return ObservedSecret::Ours(SecretContent::Unusable) };
        // Without the server's address nothing can be said against the other keys, and nothing will be done about them either.
        let wanted = self.secret_wanted(ctx, observation, password);
        let matches = wanted.is_none_or(|wanted| observed.matches(&wanted));
        ObservedSecret::Ours(if matches { SecretContent::Current } else { SecretContent::Stale })
    }

    fn admin_secret(&self, observation: &Observation) -> ObservedAdminSecret {
        match &self.admin_secret {
            None => ObservedAdminSecret::Absent,
            Some(observed) if observed.is_controlled_by(&observation.owner.school.to_string()) && observed.password().is_some() => {
                ObservedAdminSecret::Ours
            }
            Some(_) => ObservedAdminSecret::Foreign,
        }
    }

    /// The password in our Secret, if it can be used.
    #[must_use]
    pub fn password(&self) -> Option<SecretString> {
        self.secret.as_ref()?.password().filter(|password| password.expose_secret().len() >= SHORTEST_PASSWORD)
    }

    /// How to reach the server, when that is known.
    #[must_use]
    pub fn connection(&self) -> Option<&ServerConnection> {
        self.known.as_ref()?.connection.as_deref()
    }

    /// The names as PostgreSQL's adapter takes them.
    #[must_use]
    pub fn objects(&self, owner: TenantRef) -> TenantObjects {
        TenantObjects { database: self.names.database.clone(), login: self.names.login.clone(), tenant: owner.id, cluster: owner.cluster }
    }

    /// The credentials Secret as it should be, once the server's address is known.
    #[must_use]
    pub fn secret_wanted(&self, ctx: &Context, observation: &Observation, password: SecretString) -> Option<SecretWanted> {
        let connection = self.connection()?;
        let template = convert::secret_template(&observation.school);
        Some(credentials_secret(&CredentialsContent {
            namespace: observation.school.namespace().unwrap_or_default(),
            name: self.names.secret.to_string(),
            owner: super::owner_reference(&observation.school)?,
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
        let Desired::Present(ask) = &observation.wanted else { return None };
        let ServerObservation::Available(CatalogFacts { database: ObservedDatabase::Ours { schema, .. }, .. }) = self.server else {
            return None;
        };
        Some(Publication {
            tenant: observation.owner,
            profile: ask.profile.clone(),
            route: Route {
                server: self.names.server.clone(),
                endpoint: self.connection()?.endpoint.clone(),
                database: self.names.database.clone(),
                login: self.names.login.clone(),
                pool: ctx.pooling.with_size(ask.connection_limit),
            },
            password: self.password()?,
            schema_version: schema.version,
            state: if ask.suspended { TenantState::Suspended } else { TenantState::Active },
        })
    }

    /// Asks the server's catalogs about this School. A server that does not answer is a fact, and is looked at by its own controller at once.
    ///
    /// # Errors
    /// When the server answered, but not what was asked.
    pub async fn observe_server(&self, ctx: &Context, school: &School, wanted: &Desired, owner: TenantRef) -> Result<ServerObservation> {
        let server = ObjectRef::<DatabaseServer>::new(self.names.server.as_str());
        let Some(known) = &self.known else {
            let exists = ctx.server_objects.get(&server).is_some();
            return Ok(ServerObservation::Unavailable(if exists { Unavailable::NotReady } else { Unavailable::NotFound }));
        };
        let connection = match (&known.fitness, &known.connection) {
            (Err(away), _) => return Ok(ServerObservation::Unavailable(*away)),
            (Ok(()), None) => return Ok(ServerObservation::Unavailable(Unavailable::NotReady)),
            (Ok(()), Some(connection)) => connection,
        };
        let expected = catalog::Expected {
            objects: self.objects(owner),
            connection_limit: connection_limit(wanted),
            fingerprints: self.fingerprints(ctx, school, owner),
        };
        match catalog::observe_one(&connection.pool, &ctx.migrations, expected).await {
            // Nothing to claim, and nothing to make it from.
            Ok(CatalogFacts { database: ObservedDatabase::Absent, spare: false, .. }) if !known.template => {
                Ok(ServerObservation::Unavailable(Unavailable::NotReady))
            }
            Ok(here) => Ok(ServerObservation::Available(here)),
            Err(error) if error.is_unreachable() => {
                tracing::warn!(server = %self.names.server, error = telemetry::logs::chain(&error), "the server does not answer");
                ctx.recheck.one(server);
                Ok(ServerObservation::Unavailable(Unavailable::Unreachable))
            }
            Err(error) => {
                ctx.recheck.one(server);
                Err(error.into())
            }
        }
    }

    /// Of the password in the Secret, if the Secret is ours.
    fn fingerprints(&self, ctx: &Context, school: &School, owner: TenantRef) -> Vec<String> {
        let ours = self.secret.as_ref().is_some_and(|secret| secret.is_controlled_by(&school.uid().unwrap_or_default()));
        ours.then(|| self.password()).flatten().map(|password| ctx.keyring.fingerprints(owner.id, &password)).unwrap_or_default()
    }

    /// What the Secret is annotated with: what it says already, while that is true by any of the keys, so that a rotation of keys rewrites no Secret.
    fn revision(&self, ctx: &Context, owner: TenantRef, password: &SecretString) -> Option<String> {
        let accepted = ctx.keyring.fingerprints(owner.id, password);
        let assigned =
            self.secret.as_ref().and_then(SecretObserved::revision).filter(|assigned| accepted.iter().any(|one| one == assigned));
        assigned.map(ToOwned::to_owned).or_else(|| accepted.into_iter().next())
    }
}

fn connection_limit(wanted: &Desired) -> u16 {
    match wanted {
        Desired::Present(ask) => ask.connection_limit,
        // On the way out no limit is right or wrong: the door is closed whatever it says.
        Desired::Deleted(_) => convert::DEFAULT_CONNECTION_LIMIT,
    }
}
