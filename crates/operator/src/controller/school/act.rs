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

use super::sight::{Sight, Standing, look_up};
use super::{FINALIZER, owner_reference, report};
use crate::controller::context::Context;
use crate::controller::error::{Error, Result};
use crate::controller::servers::Reach;
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
pub(super) async fn act(ctx: &Context, sight: &mut Sight, action: &Action) -> Result<()> {
    if ctx.lease.as_ref().is_some_and(|lease| !lease.is_valid()) {
        return Err(Error::NotLeading);
    }
    let label = action.label();
    fault::point(Moment::Before, label);
    let touched = effect(ctx, sight, action).await?;
    fault::point(Moment::After, label);
    metrics::effect(label);
    tracing::info!(effect = label, "done");
    look_again(ctx, sight, touched).await
}

async fn look_again(ctx: &Context, sight: &mut Sight, touched: Touched) -> Result<()> {
    let Ok(standing) = &mut sight.binding else { return Ok(()) };
    match touched {
        Touched::Object | Touched::Secrets | Touched::Binding => {}
        Touched::Registry => standing.registry = look_up(ctx, &sight.wanted, sight.owner.id).await?,
        Touched::Server => standing.server = standing.ask_server(ctx, &sight.school, &sight.wanted, sight.owner).await?,
    }
    // A new password makes the catalogs say something else about the login.
    if matches!(touched, Touched::Secrets) {
        standing.server = standing.ask_server(ctx, &sight.school, &sight.wanted, sight.owner).await?;
    }
    Ok(())
}

async fn effect(ctx: &Context, sight: &mut Sight, action: &Action) -> Result<Touched> {
    match action {
        Action::AddFinalizer => {
            let api = ctx.schools_in(&sight.school.namespace().unwrap_or_default());
            sight.school = object::add_finalizer(&api, &sight.school, FINALIZER).await?;
            Ok(Touched::Object)
        }
        Action::RemoveFinalizer => {
            let retained = matches!(
                standing(sight).map(|s| s.tenant(sight.owner, false)),
                Ok(ObservedTenant::Ours { state: TenantState::Retained, .. })
            );
            if !retained && ctx.ledger.free(sight.owner.id) {
                ctx.wake.waiting();
            }
            let api = ctx.schools_in(&sight.school.namespace().unwrap_or_default());
            match object::remove_finalizer(&api, &sight.school, FINALIZER).await? {
                Some(school) => sight.school = school,
                None => sight.school.metadata.finalizers = None,
            }
            Ok(Touched::Object)
        }
        Action::RecordNames(choice) => record_names(ctx, sight, choice).await,
        Action::ReserveTenant | Action::CreateAdmin | Action::Publish(_) | Action::SetTenant(_) => {
            in_registry(ctx, sight, action).await?;
            Ok(Touched::Registry)
        }
        Action::WriteSecret | Action::CompleteSecret { .. } | Action::WriteAdminSecret => in_secrets(ctx, sight, action).await,
        _ => {
            on_server(ctx, sight, action).await?;
            Ok(Touched::Server)
        }
    }
}

async fn record_names(ctx: &Context, sight: &mut Sight, choice: &Placement) -> Result<Touched> {
    let status = report::with_names(ctx, sight, choice)?;
    let api = ctx.schools_in(&sight.school.namespace().unwrap_or_default());
    if let Some(school) = object::patch_status(&api, &sight.school, &status).await? {
        sight.school = school;
    }
    Ok(Touched::Binding)
}

fn standing(sight: &Sight) -> Result<&Standing> {
    sight.binding.as_ref().map_err(|_| Error::Bug("an action needs names that are not recorded".to_owned()))
}

fn ask(sight: &Sight) -> Result<&DesiredSchool> {
    match &sight.wanted {
        Desired::Present(ask) => Ok(ask),
        Desired::Deleted(_) => Err(Error::Bug("an action for a standing School was planned for one that is being deleted".to_owned())),
    }
}

async fn in_registry(ctx: &Context, sight: &Sight, action: &Action) -> Result<()> {
    let (standing, owner) = (standing(sight)?, sight.owner);
    match action {
        Action::ReserveTenant => reserve(ctx, sight, standing).await,
        Action::CreateAdmin => {
            let password = standing.admin_secret.as_ref().and_then(SecretObserved::password);
            let password = password.ok_or(Error::Overtaken("the administrator's Secret"))?;
            let hash = password::hash_argon2id(&password).await?;
            users::create_admin(&ctx.registry, owner, &ask(sight)?.admin, &hash).await?;
            Ok(())
        }
        Action::Publish(_) => {
            let publication = standing.publication(ctx, sight).ok_or(Error::Overtaken("the school's route"))?;
            ours(tenants::publish(&ctx.registry, &publication, &ctx.keyring).await?)
        }
        Action::SetTenant(state) => {
            let withdrawn = match state {
                TenantState::Retained => InactiveState::Retained,
                TenantState::Deleted => InactiveState::Deleted,
                TenantState::Suspended | TenantState::Active | TenantState::Provisioning => InactiveState::Suspended,
            };
            ours(tenants::set_state(&ctx.registry, owner, withdrawn).await?)?;
            if withdrawn == InactiveState::Deleted && ctx.ledger.free(owner.id) {
                ctx.wake.waiting();
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

async fn reserve(ctx: &Context, sight: &Sight, standing: &Standing) -> Result<()> {
    let ask = ask(sight)?;
    let reservation = Reservation {
        tenant: sight.owner,
        namespace: sight.school.namespace().unwrap_or_default(),
        name: sight.school.name_any(),
        code: ask.code.clone(),
        profile: ask.profile.clone(),
        server: standing.names.server.clone(),
        database: standing.names.database.clone(),
        login: standing.names.login.clone(),
    };
    if let Reserved::OfAnother(holder) = tenants::reserve(&ctx.registry, &reservation).await? {
        tracing::warn!(code = %ask.code, holder = %holder.tenant, "another tenant holds the code");
    }
    Ok(())
}

async fn in_secrets(ctx: &Context, sight: &mut Sight, action: &Action) -> Result<Touched> {
    match action {
        Action::WriteSecret => {
            let wanted = secret_with(ctx, sight, password::generate_login_password()?)?;
            let secret = create(ctx, &wanted).await?;
            put(sight, |standing| standing.secret = Some(secret));
            Ok(Touched::Secrets)
        }
        Action::CompleteSecret { renew } => {
            let kept = standing(sight)?.password().filter(|_| !renew);
            let wanted = secret_with(ctx, sight, kept.map_or_else(password::generate_login_password, Ok)?)?;
            let observed = standing(sight)?.secret.as_ref().ok_or(Error::Overtaken("the Secret"))?;
            if let Some(secret) = secrets::apply(&ctx.client, observed, &wanted).await? {
                put(sight, |standing| standing.secret = Some(secret));
            }
            Ok(Touched::Secrets)
        }
        _ => {
            let secret = create(ctx, &admin_secret(&admin_content(sight)?)).await?;
            put(sight, |standing| standing.admin_secret = Some(secret));
            Ok(Touched::Object)
        }
    }
}

fn admin_content(sight: &Sight) -> Result<AdminContent> {
    let person = &ask(sight)?.admin;
    Ok(AdminContent {
        namespace: sight.school.namespace().unwrap_or_default(),
        name: standing(sight)?.names.admin_secret.to_string(),
        owner: owner_reference(&sight.school).ok_or_else(|| Error::Bug("the School has no uid".to_owned()))?,
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

fn secret_with(ctx: &Context, sight: &Sight, password: secrecy::SecretString) -> Result<SecretWanted> {
    standing(sight)?.secret_wanted(ctx, sight, password).ok_or(Error::Overtaken("the server"))
}

fn put(sight: &mut Sight, change: impl FnOnce(&mut Standing)) {
    if let Ok(standing) = &mut sight.binding {
        change(standing);
    }
}

async fn on_server(ctx: &Context, sight: &Sight, action: &Action) -> Result<()> {
    let standing = standing(sight)?;
    let reach = standing.reach().ok_or(Error::Overtaken("the server"))?;
    let (objects, pool) = (standing.objects(sight.owner), &reach.pool);
    match action {
        Action::StageDatabase => stage(ctx, reach).await,
        Action::ClaimDatabase => claim_database(ctx, sight, standing, reach).await,
        Action::RestoreLogin => Ok(access::restore_login(pool, &objects, sight.owner.school).await?),
        Action::SetPassword => {
            let password = standing.password().ok_or(Error::Overtaken("the Secret"))?;
            let fingerprint = ctx.keyring.fingerprint(sight.owner.id, &password)?;
            Ok(access::set_password(pool, &objects, sight.owner.school, &scram::verifier(&password), &fingerprint).await?)
        }
        Action::OpenDatabase => Ok(access::open(pool, &objects, ask(sight)?.connection_limit).await?),
        Action::CloseDatabase => Ok(access::close(pool, &objects).await?),
        Action::DropDatabase => {
            still_to_be_dropped(ctx, sight).await?;
            Ok(drop::drop_database(pool, &objects).await?)
        }
        Action::DropLogin => Ok(drop::drop_login(pool, &objects).await?),
        Action::Migrate { from, .. } => {
            let migration = ctx.migrations.next_after(*from).ok_or(Error::Overtaken("the schema"))?;
            let migrator = standing.known.as_ref().and_then(|known| known.migrator.as_ref()).ok_or(Error::Overtaken("the server"))?;
            migrate::migrate(&reach.endpoint, migrator, &objects, &ctx.migrations, migration).await?;
            Ok(())
        }
        _ => Err(Error::Bug(format!("{} is no action on a server", action.label()))),
    }
}

/// Data is destroyed on the API server's word of this moment: the same object, still being deleted, still with the policy Delete.
async fn still_to_be_dropped(ctx: &Context, sight: &Sight) -> Result<()> {
    let api = ctx.schools_in(&sight.school.namespace().unwrap_or_default());
    let now = object::fresh(&api, &sight.school.name_any(), &sight.school.uid().unwrap_or_default()).await?;
    let now = now.ok_or(Error::Overtaken("the School"))?;
    let wanted = convert::desired(&now, ctx.migrations.target())?;
    if wanted == Desired::Deleted(DeletionPolicy::Delete) { Ok(()) } else { Err(Error::Overtaken("the School")) }
}

async fn stage(ctx: &Context, reach: &Reach) -> Result<()> {
    let permit = reach.staging.acquire().await.map_err(|_| Error::Overtaken("the server"))?;
    let digest = ctx.migrations.digest();
    stage::stage(&reach.pool, digest).await?;
    std::mem::drop(permit);
    Ok(())
}

async fn claim_database(ctx: &Context, sight: &Sight, standing: &Standing, reach: &Reach) -> Result<()> {
    let password = standing.password().ok_or(Error::Overtaken("the Secret"))?;
    let wanted = Claim {
        objects: &standing.objects(sight.owner),
        school: sight.owner.school,
        schema: ctx.migrations.target(),
        digest: ctx.migrations.digest(),
        verifier: &scram::verifier(&password),
        fingerprint: &ctx.keyring.fingerprint(sight.owner.id, &password)?,
        connection_limit: ask(sight)?.connection_limit,
    };
    match claim(&reach.pool, &wanted).await? {
        // When another School took the spare, or an acknowledgement was lost, the next look will see it.
        Claimed::Now | Claimed::NoSpare | Claimed::AlreadyThere => Ok(()),
    }
}
