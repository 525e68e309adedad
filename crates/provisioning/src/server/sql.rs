//! The text of every statement that is built, by purpose. Must not send anything: these are pure functions, and they quote only with [`postgres::quote`].
//!
//! Utility statements take no parameters and cannot branch. So a guarded action is a PL/pgSQL block that takes the lock, checks the ownership comment and acts,
//! in one message and one transaction, and ends by naming its outcome. It raises no error, because an error puts the statement into the server's log. A
//! statement with a verifier never stands inside a block, because PL/pgSQL repeats the statement in the context of an error.

mod access;
mod block;
mod claim;
mod database;
mod ownership;
mod rights;
mod role;
#[cfg(test)]
mod tests;

pub(super) use self::access::{bar, bar_closed, close, open};
pub(super) use self::block::{advisory_lock, advisory_unlock, block, lock};
pub(super) use self::claim::{SpareClaim, choose_spare, claim, is_spare, spare_prefix};
pub(super) use self::database::{
    admit_migrator, bar_ours, collates_as_now, create_building, create_spare, drop_database, freeze, is_frozen, is_template,
};
pub(super) use self::ownership::{comment_database, need_nothing};
pub(super) use self::rights::{acl_of, desired_acl, finds_tables};
pub(super) use self::role::{RoleAttributes, correct_role, drop_login, expect_login, restore_login, set_password};
