//! The tenant registry cache: that it learns of every change, in time and in order, and what it answers while the registry cannot be read.

mod changes;
mod fixture;
mod lookups;
mod outages;
mod restores;
mod rows;
