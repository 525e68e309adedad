//! A school's people and its own rules: guardians, classes, enrolments, staff, settings, roles.

mod classes;
mod fixture;
mod guardians;
mod rules;
mod staff;
