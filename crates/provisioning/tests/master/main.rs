//! The registry on real servers: the oldest and the newest supported PostgreSQL, as superuser and as the plain admin that hosted PostgreSQL gives.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's fixtures fail as its assertions do")]

mod api_login;
mod audit;
mod authorities;
mod bootstrap;
mod erasing;
mod fixtures;
mod migrations;
mod rights;
mod tenants;
mod users;
