//! What every kind's status has: conditions, and the generation of the spec that they speak about.
//!
//! Must not say what a condition means.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{DatabaseServerStatus, SchoolStatus};

/// A status with conditions.
pub trait ConditionedStatus {
    /// The conditions; none before the first report.
    fn conditions(&self) -> Option<&[Condition]>;

    /// Replaces the conditions and the generation that they speak about.
    fn set_conditions(&mut self, generation: i64, conditions: Vec<Condition>);
}

impl ConditionedStatus for SchoolStatus {
    fn conditions(&self) -> Option<&[Condition]> {
        self.conditions.as_deref()
    }

    fn set_conditions(&mut self, generation: i64, conditions: Vec<Condition>) {
        self.observed_generation = Some(generation);
        self.conditions = Some(conditions);
        self.operator_version = Some(env!("CARGO_PKG_VERSION").to_owned());
    }
}

impl ConditionedStatus for DatabaseServerStatus {
    fn conditions(&self) -> Option<&[Condition]> {
        self.conditions.as_deref()
    }

    fn set_conditions(&mut self, generation: i64, conditions: Vec<Condition>) {
        self.observed_generation = Some(generation);
        self.conditions = Some(conditions);
    }
}
