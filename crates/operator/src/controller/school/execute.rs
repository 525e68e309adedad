//! Acting: each action to its one effect. Chooses nothing but randomness; after it, the source it touched is looked at again.
//!
//! Every effect checks its precondition where it happens: in SQL under a lock, by uid and `resourceVersion` in Kubernetes.

use domain::placement::Placement;
use domain::school::action::Action;
use domain::school::desired::{DeletionPolicy, Desired, DesiredSchool};
use domain::school::observed::ObservedTenant;
use domain::tenant::TenantState;
use kube::ResourceExt as _;
use provisioning::master::tenants::{self, Change, InactiveState, Reservation, Reserved};
use provisioning::master::users;
use provisioning::scram;
use provisioning::server::claim::{Claim, Claimed, claim};
use provisioning::server::{access, drop, migrate, stage};
use registry::password;

use super::observe::{AssignedObservation, Observation, observe_registry};
use super::{FINALIZER, owner_reference, report};
use crate::controller::context::Context;
use crate::controller::error::{Error, Result};
use crate::controller::server_cache::ServerConnection;
use crate::crd::convert;
use crate::fault::{self, Moment};
use crate::kubernetes::object;
use crate::kubernetes::secrets::{self, AdminContent, Creation, SecretObserved, SecretWanted, admin_secret};
use crate::metrics;

/// Where an effect landed, and so what to look at again.
enum Touched {
    Object,
    Binding,
    Registry,
    Secrets,
    Server,
}

/// Takes one step and looks again at what it touched.
///
/// # Errors
/// When the effect failed or its precondition no longer held; whatever happened, the next look will tell.
pub(super) async fn execute(ctx: &Context, observation: &mut Observation, action: &Action) -> Result<()> {
    if ctx.lease.as_ref().is_some_and(|lease| !lease.is_valid()) {
        return Err(Error::NotLeading);
    }
    let label = action.label();
    fault::point(Moment::Before, label);
    let touched = execute_action(ctx, observation, action).await?;
    fault::point(Moment::After, label);
    metrics::executed(label);
    tracing::info!(action = label, "executed");
    observe_again(ctx, observation, touched).await
}

async fn observe_again(ctx: &Context, observation: &mut Observation, touched: Touched) -> Result<()> {
    let Ok(assigned) = &mut observation.binding else { return Ok(()) };
    match touched {
        Touched::Object | Touched::Secrets | Touched::Binding => {}
        Touched::Registry => assigned.registry = observe_registry(ctx, &observation.wanted, observation.owner.id).await?,
        Touched::Server => {
            assigned.server = assigned.observe_server(ctx, &observation.school, &observation.wanted, observation.owner).await?
        }
    }
    // A new password makes the catalogs say something else about the login.
    if matches!(touched, Touched::Secrets) {
        assigned.server = assigned.observe_server(ctx, &observation.school, &observation.wanted, observation.owner).await?;
    }
    Ok(())
}

async fn execute_action(ctx: &Context, observation: &mut Observation, action: &Action) -> Result<Touched> {
    match action {
        Action::AddFinalizer => {
            let api = ctx.schools_in(&observation.school.namespace().unwrap_or_default());
            observation.school = object::add_finalizer(&api, &observation.school, FINALIZER).await?;
            Ok(Touched::Object)
        }
        Action::RemoveFinalizer => {
            let retained = matches!(
                assigned(observation).map(|s| s.tenant(observation.owner, false)),
                Ok(ObservedTenant::Ours { state: TenantState::Retained, .. })
            );
            if !retained && ctx.reservations.release(observation.owner.id) {
                ctx.requeue.all_waiting();
            }
            let api = ctx.schools_in(&observation.school.namespace().unwrap_or_default());
            match object::remove_finalizer(&api, &observation.school, FINALIZER).await? {
                Some(school) => observation.school = school,
                None => observation.school.metadata.finalizers = None,
            }
            Ok(Touched::Object)
        }
        Action::RecordNames(choice) => record_names(ctx, observation, choice).await,
        Action::ReserveTenant | Action::CreateAdmin | Action::Publish(_) | Action::SetTenant(_) => {
            in_registry(ctx, observation, action).await?;
            Ok(Touched::Registry)
        }
        Action::WriteSecret | Action::CompleteSecret { .. } | Action::WriteAdminSecret => in_secrets(ctx, observation, action).await,
        _ => {
            on_server(ctx, observation, action).await?;
            Ok(Touched::Server)
        }
    }
}

async fn record_names(ctx: &Context, observation: &mut Observation, choice: &Placement) -> Result<Touched> {
    let status = report::with_names(ctx, observation, choice)?;
    let api = ctx.schools_in(&observation.school.namespace().unwrap_or_default());
    if let Some(school) = object::patch_status(&api, &observation.school, &status).await? {
        observation.school = school;
    }
    Ok(Touched::Binding)
}

fn assigned(observation: &Observation) -> Result<&AssignedObservation> {
    observation.binding.as_ref().map_err(|_| Error::Bug("an action needs names that are not recorded".to_owned()))
}

fn ask(observation: &Observation) -> Result<&DesiredSchool> {
    match &observation.wanted {
        Desired::Present(ask) => Ok(ask),
        Desired::Deleted(_) => Err(Error::Bug("an action for a standing School was planned for one that is being deleted".to_owned())),
    }
}

async fn in_registry(ctx: &Context, observation: &Observation, action: &Action) -> Result<()> {
    let (assigned, owner) = (assigned(observation)?, observation.owner);
    match action {
        Action::ReserveTenant => reserve(ctx, observation, assigned).await,
        Action::CreateAdmin => {
            let password = assigned.admin_secret.as_ref().and_then(SecretObserved::password);
            let password = password.ok_or(Error::Overtaken("the administrator's Secret"))?;
            let hash = password::hash_argon2id(&password).await?;
            users::create_admin(&ctx.registry, owner, &ask(observation)?.admin, &hash).await?;
            Ok(())
        }
        Action::Publish(_) => {
            let publication = assigned.publication(ctx, observation).ok_or(Error::Overtaken("the school's route"))?;
            ours(tenants::publish(&ctx.registry, &publication, &ctx.keyring).await?)
        }
        Action::SetTenant(state) => {
            let withdrawn = match state {
                TenantState::Retained => InactiveState::Retained,
                TenantState::Deleted => InactiveState::Deleted,
                TenantState::Suspended | TenantState::Active | TenantState::Provisioning => InactiveState::Suspended,
            };
            ours(tenants::set_state(&ctx.registry, owner, withdrawn).await?)?;
            if withdrawn == InactiveState::Deleted && ctx.reservations.release(owner.id) {
                ctx.requeue.all_waiting();
            }
            Ok(())
        }
        _ => Err(Error::Bug(format!("{} is no action on the registry", action.label()))),
    }
}

fn ours(change: Change) -> Result<()> {
    match change {
        Change::Made | Change::Unneeded => Ok(()),
        Change::NotOurs => Err(Error::Overtaken("the registry's row")),
    }
}

async fn reserve(ctx: &Context, observation: &Observation, assigned: &AssignedObservation) -> Result<()> {
    let ask = ask(observation)?;
    let reservation = Reservation {
        tenant: observation.owner,
        namespace: observation.school.namespace().unwrap_or_default(),
        name: observation.school.name_any(),
        code: ask.code.clone(),
        profile: ask.profile.clone(),
        server: assigned.names.server.clone(),
        database: assigned.names.database.clone(),
        login: assigned.names.login.clone(),
    };
    if let Reserved::OfAnother(holder) = tenants::reserve(&ctx.registry, &reservation).await? {
        tracing::warn!(code = %ask.code, holder = %holder.tenant, "another tenant holds the code");
    }
    Ok(())
}

async fn in_secrets(ctx: &Context, observation: &mut Observation, action: &Action) -> Result<Touched> {
    match action {
        Action::WriteSecret => {
            let wanted = secret_with(ctx, observation, password::generate_login_password()?)?;
            let secret = create(ctx, &wanted).await?;
            put(observation, |assigned| assigned.secret = Some(secret));
            Ok(Touched::Secrets)
        }
        Action::CompleteSecret { renew } => {
            let kept = assigned(observation)?.password().filter(|_| !renew);
            let wanted = secret_with(ctx, observation, kept.map_or_else(password::generate_login_password, Ok)?)?;
            let observed = assigned(observation)?.secret.as_ref().ok_or(Error::Overtaken("the Secret"))?;
            if let Some(secret) = secrets::apply(&ctx.client, observed, &wanted).await? {
                put(observation, |assigned| assigned.secret = Some(secret));
            }
            Ok(Touched::Secrets)
        }
        _ => {
            let secret = create(ctx, &admin_secret(&admin_content(observation)?)).await?;
            put(observation, |assigned| assigned.admin_secret = Some(secret));
            Ok(Touched::Object)
        }
    }
}

fn admin_content(observation: &Observation) -> Result<AdminContent> {
    let person = &ask(observation)?.admin;
    Ok(AdminContent {
        namespace: observation.school.namespace().unwrap_or_default(),
        name: assigned(observation)?.names.admin_secret.to_string(),
        owner: owner_reference(&observation.school).ok_or_else(|| Error::Bug("the School has no uid".to_owned()))?,
        person: person.name.clone(),
        email: person.email.clone(),
        password: password::generate_temporary_password()?,
    })
}

/// Create-only: what holds the name already was written by somebody else since we looked, and the next look will judge it.
async fn create(ctx: &Context, wanted: &SecretWanted) -> Result<SecretObserved> {
    match secrets::create(&ctx.client, wanted).await? {
        Creation::Created(secret) => Ok(*secret),
        Creation::AlreadyExists => Err(Error::Overtaken("the Secret")),
    }
}

fn secret_with(ctx: &Context, observation: &Observation, password: secrecy::SecretString) -> Result<SecretWanted> {
    assigned(observation)?.secret_wanted(ctx, observation, password).ok_or(Error::Overtaken("the server"))
}

fn put(observation: &mut Observation, change: impl FnOnce(&mut AssignedObservation)) {
    if let Ok(assigned) = &mut observation.binding {
        change(assigned);
    }
}

async fn on_server(ctx: &Context, observation: &Observation, action: &Action) -> Result<()> {
    let assigned = assigned(observation)?;
    let connection = assigned.connection().ok_or(Error::Overtaken("the server"))?;
    let (objects, pool) = (assigned.objects(observation.owner), &connection.pool);
    match action {
        Action::StageDatabase => stage(ctx, connection).await,
        Action::ClaimDatabase => claim_database(ctx, observation, assigned, connection).await,
        Action::RestoreLogin => Ok(access::restore_login(pool, &objects, observation.owner.school).await?),
        Action::SetPassword => {
            let password = assigned.password().ok_or(Error::Overtaken("the Secret"))?;
            let fingerprint = ctx.keyring.fingerprint(observation.owner.id, &password)?;
            Ok(access::set_password(pool, &objects, observation.owner.school, &scram::verifier(&password), &fingerprint).await?)
        }
        Action::OpenDatabase => Ok(access::open(pool, &objects, ask(observation)?.connection_limit).await?),
        Action::CloseDatabase => Ok(access::close(pool, &objects).await?),
        Action::DropDatabase => {
            still_to_be_dropped(ctx, observation).await?;
            Ok(drop::drop_database(pool, &objects).await?)
        }
        Action::DropLogin => Ok(drop::drop_login(pool, &objects).await?),
        Action::Migrate { from, .. } => {
            let migration = ctx.migrations.next_after(*from).ok_or(Error::Overtaken("the schema"))?;
            let migrator = assigned.known.as_ref().and_then(|known| known.migrator.as_ref()).ok_or(Error::Overtaken("the server"))?;
            migrate::migrate(&connection.endpoint, migrator, &objects, &ctx.migrations, migration).await?;
            Ok(())
        }
        _ => Err(Error::Bug(format!("{} is no action on a server", action.label()))),
    }
}

/// Data is destroyed on the API server's word of this moment: the same object, still being deleted, still with the policy Delete.
async fn still_to_be_dropped(ctx: &Context, observation: &Observation) -> Result<()> {
    let api = ctx.schools_in(&observation.school.namespace().unwrap_or_default());
    let now = object::fresh(&api, &observation.school.name_any(), &observation.school.uid().unwrap_or_default()).await?;
    let now = now.ok_or(Error::Overtaken("the School"))?;
    let wanted = convert::desired(&now, ctx.migrations.target())?;
    if wanted == Desired::Deleted(DeletionPolicy::Delete) { Ok(()) } else { Err(Error::Overtaken("the School")) }
}

async fn stage(ctx: &Context, connection: &ServerConnection) -> Result<()> {
    let permit = connection.staging.acquire().await.map_err(|_| Error::Overtaken("the server"))?;
    let digest = ctx.migrations.digest();
    stage::stage(&connection.pool, digest).await?;
    std::mem::drop(permit);
    Ok(())
}

async fn claim_database(
    ctx: &Context,
    observation: &Observation,
    assigned: &AssignedObservation,
    connection: &ServerConnection,
) -> Result<()> {
    let password = assigned.password().ok_or(Error::Overtaken("the Secret"))?;
    let wanted = Claim {
        objects: &assigned.objects(observation.owner),
        school: observation.owner.school,
        schema: ctx.migrations.target(),
        digest: ctx.migrations.digest(),
        verifier: &scram::verifier(&password),
        fingerprint: &ctx.keyring.fingerprint(observation.owner.id, &password)?,
        connection_limit: ask(observation)?.connection_limit,
    };
    match claim(&connection.pool, &wanted).await? {
        // When another School took the spare, or an acknowledgement was lost, the next look will see it.
        Claimed::Now | Claimed::NoSpare | Claimed::AlreadyThere => Ok(()),
    }
}
