//! The care of children: what a day holds, health, incidents, and what the GDPR asks for.

mod activities;
mod erasure;
mod exports;
mod guardians;
mod health;
pub(crate) mod nursery;
mod records;
mod reports;
mod round_trips;
mod unreadable;
