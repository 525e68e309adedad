//! A school's people and its own rules: guardians, classes, enrolments, staff, settings, roles.

mod classes;
pub(crate) mod fixture;
mod guardians;
mod rules;
mod staff;
