//! What a route demands, as a type: a handler that names none cannot reach a connection.
//!
//! The codes are rows of the school's own `app.permissions`; which roles hold them is the school's to say.
//! Must not decide who has a permission: the school's tables do.

/// One permission of the school's matrix.
pub trait Permission: Send + Sync + 'static {
    /// Its code, as in `app.permissions` and in the access audit.
    const CODE: &'static str;
    /// It only reads: audited through the queue. What writes is audited in its own transaction.
    const READS: bool;
    /// Every user of the school has it, whatever the matrix says; over its own.
    const EVERYBODYS: bool = false;
}

/// What the school's own people alone may do, not platform staff who act there for a quarter of an hour: give rights that outlive the request, and erase
/// what cannot be brought back.
pub const OWN_PEOPLE_ONLY: &[&str] = &[RolesUpdate::CODE, ChildrenErase::CODE];

/// To ask who one is: no row of the matrix, and demanded all the same, so that this too needs a verified token and a school that serves.
#[derive(Clone, Copy, Debug)]
pub enum Oneself {}

impl Permission for Oneself {
    const CODE: &'static str = "self:read";
    const READS: bool = true;
    const EVERYBODYS: bool = true;
}

macro_rules! permissions {
    ($($name:ident = $code:literal $reads:literal;)+) => {
        $(
            #[doc = concat!("`", $code, "`.")]
            #[derive(Clone, Copy, Debug)]
            pub enum $name {}

            impl Permission for $name {
                const CODE: &'static str = $code;
                const READS: bool = $reads;
            }
        )+

        /// Every code that the API asks for.
        pub const ALL: &[&str] = &[$($code),+];
    };
}

permissions! {
    ChildrenRead = "children:read" true;
    ChildrenCreate = "children:create" false;
    ChildrenUpdate = "children:update" false;
    ChildrenDelete = "children:delete" false;
    ChildrenExport = "children:export" true;
    ChildrenErase = "children:erase" false;
    GuardiansRead = "guardians:read" true;
    GuardiansCreate = "guardians:create" false;
    GuardiansUpdate = "guardians:update" false;
    GuardiansDelete = "guardians:delete" false;
    ClassesRead = "classes:read" true;
    ClassesCreate = "classes:create" false;
    ClassesUpdate = "classes:update" false;
    ClassesDelete = "classes:delete" false;
    ActivitiesRead = "activities:read" true;
    ActivitiesCreate = "activities:create" false;
    ActivitiesUpdate = "activities:update" false;
    ActivitiesDelete = "activities:delete" false;
    HealthRead = "health:read" true;
    HealthCreate = "health:create" false;
    HealthUpdate = "health:update" false;
    HealthDelete = "health:delete" false;
    HealthAdminister = "health:administer" false;
    IncidentsRead = "incidents:read" true;
    IncidentsCreate = "incidents:create" false;
    IncidentsUpdate = "incidents:update" false;
    IncidentsDelete = "incidents:delete" false;
    StaffRead = "staff:read" true;
    StaffCreate = "staff:create" false;
    StaffUpdate = "staff:update" false;
    StaffDelete = "staff:delete" false;
    ReportsRead = "reports:read" true;
    SettingsRead = "settings:read" true;
    SettingsUpdate = "settings:update" false;
    RolesRead = "roles:read" true;
    RolesUpdate = "roles:update" false;
    AuditRead = "audit:read" true;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use postgres::schema::Migrations;

    use super::ALL;

    #[test]
    fn the_codes_in_the_code_are_those_that_the_schema_seeds() {
        let migrations = Migrations::tenant().unwrap();
        let statements = migrations.all().iter().filter_map(|migration| migration.sql.split_once("INSERT INTO app.permissions"));
        let rows: Vec<_> = statements.filter_map(|(_, rows)| rows.split_once(';')).map(|(rows, _)| rows).collect();
        let seeded: BTreeSet<_> = rows.iter().flat_map(|rows| rows.split("('").skip(1)).filter_map(|row| row.split('\'').next()).collect();
        assert_eq!(seeded, ALL.iter().copied().collect());
    }
}
