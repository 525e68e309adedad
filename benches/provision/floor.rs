//! The floor: the least that the result needs, done by a bare client that looks at nothing and knows beforehand that all goes well.
//!
//! For each school the statements of [`crate::statements`], and five API calls besides the apply: finalizer, names, two Secrets, final status.
//! Hashing and verifiers are part of it. Four workers for each server, each of which does one school after the other.
//! Must not look at anything before it writes.

use std::sync::Arc;
use std::time::Instant;

use domain::condition::Condition;
use domain::placement::Placement;
use domain::school::action::ObjectAction;
use domain::school::observed::{
    AssignedSchool, Assignment, CatalogFacts, DatabaseAccess, ObservedAdmin, ObservedDatabase, ObservedLogin, ObservedReset,
    ObservedSchool, ObservedSecret, ObservedTenant, Schema, SecretContent, ServerObservation,
};
use domain::school::plan::Plan;
use domain::school::status;
use domain::server::PasswordForm;
use domain::tenant::TenantState;
use futures::StreamExt as _;
use futures::channel::mpsc;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client, Resource as _};
use operator::controller::server_connection::ServerConnection;
use operator::crd::school::{AdminUserStatus, DatabaseStatus, PlacementStatus, SchemaStatus, SchoolStatus, Tier};
use operator::crd::{School, convert};
use operator::kubernetes::condition::merge_conditions;
use operator::kubernetes::object;
use operator::kubernetes::secrets::{self, AdminContent, Creation, CredentialsContent, DesiredSecret, admin_secret, credentials_secret};
use provisioning::server::password::SentPassword;
use registry::password;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::environment::{Environment, NAMESPACE};
use crate::statements::{Case, Password, Sql};
use crate::{Outcome, schools};

/// More only compete for the server's disk.
pub(crate) const AT_ONCE_PER_SERVER: usize = 4;

/// See the module.
struct Floor {
    sql: Sql,
    client: Client,
    cluster: domain::names::ClusterUid,
}

/// Applies a School for each code, through the same function as for the operator, and makes each as soon as it exists.
/// Returns when each request was begun, and when the last School was made.
pub(crate) async fn provision(environment: &Environment, codes: &[String]) -> Outcome<std::collections::HashMap<String, Instant>> {
    let floor = Arc::new(Floor { sql: Sql::open(environment).await?, client: environment.client.clone(), cluster: environment.cluster });
    let (mut workers, mut queues) = (JoinSet::new(), Vec::new());
    for server in 0..floor.sql.connections.len() {
        let (queue, schools) = mpsc::unbounded::<School>();
        queues.push(queue);
        let floor = Arc::clone(&floor);
        let schools = Arc::new(tokio::sync::Mutex::new(schools));
        for _ in 0..AT_ONCE_PER_SERVER {
            let (floor, schools) = (Arc::clone(&floor), Arc::clone(&schools));
            workers.spawn(async move {
                loop {
                    let next = schools.lock().await.next().await;
                    let Some(school) = next else { return Ok(()) };
                    floor.make(school, server).await?;
                }
            });
        }
    }
    let number = std::sync::atomic::AtomicUsize::new(0);
    let begun = schools::apply(&environment.schools(), codes, |school| {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // A worker that failed has closed its queue, and says why below.
        let _ = queues[number % queues.len()].unbounded_send(school);
    })
    .await?;
    drop(queues);
    while let Some(worked) = workers.join_next().await {
        let _: () = worked.map_err(Into::into).and_then(|worked: Outcome| worked)?;
    }
    floor.sql.close().await;
    Ok(begun)
}

impl Floor {
    async fn make(&self, school: School, server: usize) -> Outcome {
        let (name, connection) = &self.sql.connections[server];
        let case = Case::of(&school, self.cluster, name, self.sql.migrations.target())?;
        let api = Api::<School>::namespaced(self.client.clone(), NAMESPACE);
        let school = object::add_finalizer(&api, &school, operator::controller::school::FINALIZER).await?;
        let school = write_status(&api, &school, &with_names(&case, &school)).await?;
        self.sql.reserve(&case).await?;
        let password = password::generate_login_password()?;
        let password = Password { sent: SentPassword::new(&password, PasswordForm::Verifier), password };
        self.create(&self.credentials(&case, &school, connection, &password)?).await?;
        self.sql.stage_and_claim(&case, connection, &password).await?;
        let temporary = password::generate_temporary_password()?;
        let content = AdminContent {
            namespace: NAMESPACE.to_owned(),
            name: case.names.admin_secret.to_string(),
            owner: school.controller_owner_ref(&()).ok_or("a School has no uid")?,
            person: case.school.admin.name.clone(),
            email: case.school.admin.email.clone(),
            password: temporary.clone(),
            request: None,
        };
        self.create(&admin_secret(&content)).await?;
        self.sql.create_admin(&case, &password::hash_argon2id(&temporary).await?).await?;
        self.sql.publish(&case, connection, &password).await?;
        write_status(&api, &school, &self.settled(&case, &school, connection)).await?;
        Ok(())
    }

    fn credentials(&self, case: &Case, school: &School, connection: &ServerConnection, password: &Password) -> Outcome<DesiredSecret> {
        let template = convert::secret_template(school);
        Ok(credentials_secret(&CredentialsContent {
            namespace: NAMESPACE.to_owned(),
            name: case.names.secret.to_string(),
            owner: school.controller_owner_ref(&()).ok_or("a School has no uid")?,
            host: connection.endpoint.host.clone(),
            port: connection.endpoint.port,
            ssl_mode: "disable",
            certificates: None,
            username: case.names.login.to_string(),
            revision: self.sql.keyring.fingerprint(case.tenant.id, &password.password)?,
            password: password.password.clone(),
            database: case.names.database.to_string(),
            extra_labels: template.labels,
            extra_annotations: template.annotations,
        }))
    }

    async fn create(&self, secret: &DesiredSecret) -> Outcome {
        match secrets::create(&self.client, secret).await? {
            Creation::Created(_) => Ok(()),
            Creation::AlreadyExists => Err("a Secret of the floor exists already".into()),
        }
    }

    fn settled(&self, case: &Case, school: &School, connection: &ServerConnection) -> SchoolStatus {
        let version = self.sql.migrations.target();
        let database = ObservedDatabase::Ours { schema: Schema { version, genuine: true }, access: DatabaseAccess::Open };
        let bound = AssignedSchool {
            names: case.names.clone(),
            existed: true,
            routed: true,
            tenant: ObservedTenant::Ours { state: TenantState::Active, current: true },
            secret: ObservedSecret::Ours(SecretContent::Current),
            admin: ObservedAdmin::Exists,
            reset: ObservedReset::NotRequested,
            server: ServerObservation::Available(CatalogFacts { database, login: ObservedLogin::Matching, spare: false, template: true }),
        };
        let conditions = status::report(
            &case.desired,
            &ObservedSchool { finalizer: true, assignment: Assignment::Assigned(bound) },
            &Plan::Settled,
            false,
        );
        let admin = &case.school.admin;
        let complete = SchoolStatus {
            database: Some(DatabaseStatus {
                name: Some(case.names.database.to_string()),
                host: Some(connection.endpoint.host.clone()),
                port: Some(connection.endpoint.port),
                created_at: Some(Time(Timestamp::now())),
            }),
            schema: Some(SchemaStatus { version: Some(version), target: Some(version) }),
            admin_user: Some(AdminUserStatus {
                name: Some(admin.name.clone()),
                email: Some(admin.email.clone()),
                secret_name: Some(case.names.admin_secret.to_string()),
                last_password_reset: None,
            }),
            ..school.status.clone().unwrap_or_default()
        };
        dated(school, complete, &conditions)
    }
}

fn with_names(case: &Case, school: &School) -> SchoolStatus {
    let reason = "the floor places in turn".to_owned();
    let choice = Placement { server: case.names.server.clone(), tier: case.school.placement.tier, reason: reason.clone() };
    let facts = ObservedSchool { finalizer: true, assignment: Assignment::Unassigned(Ok(choice.clone())) };
    let conditions = status::report(&case.desired, &facts, &Plan::Execute(ObjectAction::RecordNames(choice).into()), false);
    let placement = PlacementStatus {
        server_name: Some(case.names.server.to_string()),
        tier: Some(Tier::Standard),
        bound_at: Some(Time(Timestamp::now())),
        reason: Some(reason),
    };
    dated(school, SchoolStatus { placement: Some(placement), ..convert::recorded(&case.names) }, &conditions)
}

async fn write_status(api: &Api<School>, school: &School, status: &SchoolStatus) -> Outcome<School> {
    object::patch_status(api, school, status).await?.ok_or_else(|| "the floor's status said so already".into())
}

fn dated(school: &School, status: SchoolStatus, conditions: &[Condition]) -> SchoolStatus {
    let before = school.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let generation = school.metadata.generation.unwrap_or_default();
    SchoolStatus {
        observed_generation: Some(generation),
        conditions: Some(merge_conditions(before, conditions, generation, Timestamp::now())),
        operator_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        ..status
    }
}

/// The SQL part alone, four schools at a time on each server: no API call, no hash and no verifier (one of each, made before, serves all),
/// no School object. Then a bare `DROP DATABASE` for each, as many at a time. Returns how long both took; afterwards nothing of it is left.
pub(crate) async fn sql_alone(environment: &Environment, codes: &[String]) -> Outcome<(f64, f64)> {
    let sql = Arc::new(Sql::open(environment).await?);
    let login = password::generate_login_password()?;
    let password = Arc::new(Password { sent: SentPassword::new(&login, PasswordForm::Verifier), password: login });
    let hash: Arc<str> = password::hash_argon2id(&password::generate_temporary_password()?).await?.into();
    let mut cases = [Vec::new(), Vec::new()];
    for (number, code) in codes.iter().enumerate() {
        let mut school = schools::school(code);
        school.metadata.uid = Some(Uuid::new_v5(&environment.cluster.0, code.as_bytes()).to_string());
        let server = number % cases.len();
        cases[server].push(Arc::new(Case::of(&school, environment.cluster, &sql.connections[server].0, sql.migrations.target())?));
    }
    let begun = Instant::now();
    each(&sql, &cases, |sql, case, connection| {
        let (password, hash) = (Arc::clone(&password), Arc::clone(&hash));
        async move { sql.make(&case, &connection, &password, &hash).await }
    })
    .await?;
    let made = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    each(&sql, &cases, |sql, case, connection| async move { sql.drop_bare(&case, &connection).await }).await?;
    let dropped = begun.elapsed().as_secs_f64();
    each(&sql, &cases, |sql, case, connection| async move { sql.unmake(&case, &connection).await }).await?;
    sql.close().await;
    Ok((made, dropped))
}

/// Does something for each case, four at a time on each server.
async fn each<F>(sql: &Arc<Sql>, cases: &[Vec<Arc<Case>>; 2], work: impl Fn(Arc<Sql>, Arc<Case>, Arc<ServerConnection>) -> F) -> Outcome
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let mut workers = JoinSet::new();
    for (server, cases) in cases.iter().enumerate() {
        let connection = &sql.connections[server].1;
        let places = Arc::new(tokio::sync::Semaphore::new(AT_ONCE_PER_SERVER));
        for case in cases {
            let (work, places) = (work(Arc::clone(sql), Arc::clone(case), Arc::clone(connection)), Arc::clone(&places));
            workers.spawn(async move {
                let _place = places.acquire_owned().await?;
                work.await
            });
        }
    }
    while let Some(worked) = workers.join_next().await {
        let _: () = worked.map_err(Into::into).and_then(|worked: Outcome| worked)?;
    }
    Ok(())
}
