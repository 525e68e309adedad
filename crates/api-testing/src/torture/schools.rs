//! One school of the torture: its canaries, the state that its callers may rely on, and what it was acknowledged.
//!
//! Must not send requests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _};
use testing::School;
use uuid::Uuid;

use super::World;
use super::oracle::{DIGITS, PREFIX};

/// A school, and what is known of it.
pub(crate) struct Subject {
    pub(crate) index: usize,
    /// Its marker, which is its code too, and so part of its database's and login's name.
    pub(crate) marker: String,
    pub(crate) tenant: Uuid,
    pub(crate) admin: Uuid,
    pub(crate) reader: Uuid,
    /// Children that nobody may remove.
    pub(crate) planted: [Uuid; 2],
    pub(crate) class: Uuid,
    pub(crate) guardian: Uuid,
    /// Held by whoever changes the school.
    pub(crate) school: tokio::sync::Mutex<School>,
    phase: AtomicU64,
    serial: AtomicU64,
    children: Mutex<KnownChildren>,
    cursor: Mutex<Option<String>>,
}

/// What the school's callers may rely on at a moment; the number tells one suspension from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Phase(u64);

/// A child that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) serial: u64,
    pub(crate) id: Uuid,
}

/// What is known of each child that somebody asked for.
#[derive(Default)]
pub(crate) struct KnownChildren {
    /// Asked for, and no answer said whether it was done.
    pub(crate) unknown: Vec<u64>,
    pub(crate) present: Vec<Made>,
    /// To be removed, and no answer said whether it was.
    pub(crate) removing: Vec<Made>,
    pub(crate) removed: Vec<u64>,
}

/// Serials from here on belong to writes that must be refused.
pub(crate) const NEVER: u64 = 1_000_000_000_000;

impl Phase {
    pub(crate) fn serves(self) -> bool {
        self.0.is_multiple_of(4)
    }

    pub(crate) fn suspended(self) -> bool {
        self.0 % 4 == 2
    }
}

impl Subject {
    /// A school with canaries in everything that people read.
    pub(crate) async fn create(world: &World, index: usize, seed: u64) -> Self {
        let random = format!("{:016x}{:016x}", Uuid::new_v4().as_u64_pair().0, Uuid::new_v4().as_u64_pair().1 ^ seed);
        let marker = format!("{PREFIX}{}", &random[..DIGITS]);
        let school = world.platform.school(&marker).await.unwrap();
        let tenant = school.tenant.id.0;
        let ids: [Uuid; 6] = std::array::from_fn(|_| Uuid::new_v4());
        let [admin, reader, first, second, class, guardian] = ids;
        let plant = format!(
            "INSERT INTO app.children (id, full_name, notes, address) VALUES ('{first}', '{marker} primeira', '{marker}', '{marker}'), ('{second}', '{marker} segunda', '{marker}', '{marker}');
             INSERT INTO app.classes (id, name, school_year, room) VALUES ('{class}', '{marker}', 2026, '{marker}');
             INSERT INTO app.guardians (id, full_name, email, address) VALUES ('{guardian}', '{marker}', '{marker}@guardian.example', '{marker}');
             INSERT INTO app.staff (full_name, job_title) VALUES ('{marker}', '{marker}');
             UPDATE app.settings SET value = jsonb_build_object('{marker}', '08:30') WHERE key = 'meals.times';
             INSERT INTO app.access_audit (tenant_id, action, resource, success) VALUES ('{tenant}', 'children:read', 'children/{marker}', true);"
        );
        let mut conn = world.platform.superuser(&school).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(plant)).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
        for (id, role) in [(admin, "SchoolAdmin"), (reader, "ReadOnly")] {
            let insert = "INSERT INTO registry.users (id, tenant_id, name, email, password_hash, role) VALUES ($1, $2, $3, $4, 'none', $5)";
            let email = format!("{role}@{marker}.example");
            sqlx::query(insert).bind(id).bind(tenant).bind(&marker).bind(email).bind(role).execute(&world.platform.operator).await.unwrap();
        }
        Self {
            index,
            marker,
            tenant,
            admin,
            reader,
            planted: [first, second],
            class,
            guardian,
            school: tokio::sync::Mutex::new(school),
            phase: AtomicU64::new(0),
            serial: AtomicU64::new(0),
            children: Mutex::default(),
            cursor: Mutex::default(),
        }
    }

    /// Ids that are this school's.
    pub(crate) fn ids(&self) -> Vec<Uuid> {
        let [first, second] = self.planted;
        vec![self.tenant, self.admin, self.reader, first, second, self.class, self.guardian]
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase(self.phase.load(Ordering::SeqCst))
    }

    /// Serving, changing, suspended, changing, serving.
    pub(crate) fn advance(&self) {
        self.phase.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn children(&self) -> MutexGuard<'_, KnownChildren> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next child's number.
    pub(crate) fn next(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    /// The last cursor that a list of this school gave out.
    pub(crate) fn cursor(&self) -> Option<String> {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn keep_cursor(&self, cursor: String) {
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = Some(cursor);
    }

    /// The child of this number, the same each time it is asked for.
    pub(crate) fn child(&self, serial: u64) -> Value {
        let marker = &self.marker;
        json!({ "full_name": format!("{marker} n{serial}"), "notes": marker, "address": format!("Rua {marker}") })
    }
}

/// Every school names its keys alike: a key must mean nothing beyond its own school and user.
pub(crate) fn key(serial: u64) -> String {
    format!("k{serial}")
}
