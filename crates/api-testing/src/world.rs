//! A running API before a platform of its own: the fixture of every test that speaks HTTP.
//!
//! Must not send requests: `client` does.

use std::ops::Deref;
use std::sync::Arc;

use api::settings::Settings;
use registry::password;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::AssertSqlSafe;
use tenancy::cache;
use testing::{Platform, PostgresOptions, Version};
use uuid::Uuid;

use crate::client::{Client, PASSWORD};
use crate::running::Running;

/// A platform and one API on it. Clones share it.
#[derive(Clone)]
pub struct World(Arc<Parts>);

/// What a world is made of.
pub struct Parts {
    /// The servers and the master database.
    pub platform: Platform,
    /// The API.
    pub api: Running,
    /// Holds `opening-keys` and `signing-keys`.
    pub files: tempfile::TempDir,
    hash: String,
}

/// A world on the newest server, whose API has its usual settings.
pub async fn world() -> World {
    World::start(Version::V18, usual).await
}

impl World {
    /// On a server of this version, its API with these settings changed.
    pub async fn start(version: Version, change: impl FnOnce(&mut Settings)) -> Self {
        Self::over(version, PostgresOptions::default().with("max_connections", "300"), change).await
    }

    /// On a server with these settings.
    pub async fn over(version: Version, options: PostgresOptions, change: impl FnOnce(&mut Settings)) -> Self {
        let platform = Platform::start(version, options).await.unwrap();
        let files = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &SecretString| std::fs::write(files.path().join(name), text.expose_secret()).unwrap();
        write("opening-keys", &platform.opening_keys);
        write("signing-keys", &api::identity::SigningKeys::generate_file("s1").unwrap());
        let hash = password::hash_argon2id(&PASSWORD.to_owned().into()).await.unwrap();
        let api = Running::start(&platform, files.path(), change).await;
        Self(Arc::new(Parts { platform, api, files, hash }))
    }

    /// One more API on the same platform, as a second replica.
    pub async fn replica(&self, change: impl FnOnce(&mut Settings)) -> Running {
        Running::start(&self.platform, self.files.path(), change).await
    }

    /// The file of the keys that tokens are signed with.
    #[must_use]
    pub fn signing_keys(&self) -> String {
        std::fs::read_to_string(self.files.path().join("signing-keys")).unwrap()
    }

    /// The platform, and the API to be stopped before it.
    #[must_use]
    pub fn into_parts(self) -> (Platform, Running) {
        let Parts { platform, api, .. } = Arc::into_inner(self.0).unwrap();
        (platform, api)
    }

    /// A provisioned school that this API serves.
    pub async fn school(&self, code: &str) -> School {
        let school = self.platform.school(code).await.unwrap();
        School { world: self.clone(), school }
    }

    /// An account of the platform's staff.
    pub async fn staff(&self) -> Client {
        let (email, id) = (format!("{}@platform.example", Uuid::new_v4()), Uuid::new_v4());
        let insert = "INSERT INTO registry.users (id, name, email, password_hash, role) VALUES ($1, 'Equipa', $2, $3, 'PlatformAdmin')";
        sqlx::query(insert).bind(id).bind(&email).bind(&self.hash).execute(&self.platform.operator).await.unwrap();
        Client::log_in(self.api.address, &email, id).await
    }
}

impl Deref for World {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The usual settings of a test's API.
pub fn usual(_: &mut Settings) {}

/// So many connections for one school, and four times as many requests.
pub fn connections(settings: &mut Settings, most: u32) {
    settings.pools.tenant_cap = most;
    settings.quota.in_flight = most * 4;
}

/// Values are kept in this Redis.
pub fn cached_in(url: &str) -> impl Fn(&mut Settings) + use<> {
    let url = SecretString::from(url);
    move |settings| settings.cache = Some(cache::Settings::new(url.clone()))
}

/// A school of a world.
pub struct School {
    world: World,
    /// As the platform made it.
    pub school: testing::School,
}

impl School {
    /// The world that it is in.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Its tenant's id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.school.tenant.id.0
    }

    /// A new account with this role, signed in.
    pub async fn user(&self, role: &str) -> Client {
        let (email, id) = self.account(role).await;
        Client::log_in(self.world.api.address, &email, id).await
    }

    /// A new account with this role: its e-mail address and id.
    pub async fn account(&self, role: &str) -> (String, Uuid) {
        let (email, id) = (format!("{}@{}.example", Uuid::new_v4(), self.school.code), Uuid::new_v4());
        let insert = "INSERT INTO registry.users (id, tenant_id, name, email, password_hash, role) VALUES ($1, $2, 'Pessoa', $3, $4, $5)";
        let query = sqlx::query(insert).bind(id).bind(self.id()).bind(&email).bind(&self.world.hash).bind(role);
        query.execute(&self.world.platform.operator).await.unwrap();
        (email, id)
    }

    /// Runs SQL in the school's database as a superuser.
    pub async fn sql(&self, sql: &str) {
        let mut conn = self.world.platform.superuser(&self.school).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// One value from the school's database.
    pub async fn scalar<T>(&self, sql: &str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        let mut conn = self.world.platform.superuser(&self.school).await.unwrap();
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut conn).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}
