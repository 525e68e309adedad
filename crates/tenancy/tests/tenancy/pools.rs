//! Pools on real servers: the budget as PostgreSQL counts it, fairness, what is handed on, and what a dead server does.

mod authorities;
mod clean;
mod faults;
mod fleet;
mod sharing;
mod shift;
