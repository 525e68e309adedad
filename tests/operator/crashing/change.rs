//! What happens to a School, how that ends, and the order in which the crashes are tried.

use std::collections::VecDeque;

/// What happens to a School.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Create,
    Relabel,
    WeakenSecret,
    LoseSecret,
    LoseLogin,
    ResetAdmin,
    Suspend,
    Resume,
    Retain,
    RetainSuspended,
    Drop,
    DropSuspended,
}

/// Where that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ExpectedEnd {
    Ready,
    Relabelled,
    Suspended,
    Retained,
    Dropped,
}

/// Every action on a School but migrating, and the changes on whose way it is the first of its name.
pub(super) const SCHOOL_RUNS: &[(&str, &[Change])] = &[
    ("add_finalizer", &[Change::Create]),
    ("record_names", &[Change::Create]),
    ("reserve_tenant", &[Change::Create]),
    ("write_secret", &[Change::Create, Change::LoseSecret]),
    ("repair_secret", &[Change::WeakenSecret, Change::Relabel]),
    ("stage_database", &[Change::Create]),
    ("claim_database", &[Change::Create]),
    ("record_database", &[Change::Create]),
    ("restore_login", &[Change::LoseLogin]),
    ("set_password", &[Change::LoseSecret, Change::WeakenSecret, Change::LoseLogin]),
    ("write_admin_secret", &[Change::Create]),
    ("create_admin", &[Change::Create]),
    ("issue_admin_password", &[Change::ResetAdmin]),
    ("reset_admin_password", &[Change::ResetAdmin]),
    ("ensure_access", &[Change::Resume, Change::LoseLogin]),
    ("close_database", &[Change::Suspend, Change::Retain, Change::Drop]),
    ("publish_route", &[Change::Create, Change::Resume, Change::LoseSecret]),
    ("set_tenant_state", &[Change::Suspend, Change::Retain, Change::RetainSuspended, Change::Drop, Change::DropSuspended]),
    ("drop_database", &[Change::Drop]),
    ("drop_login", &[Change::Drop]),
    ("remove_finalizer", &[Change::Retain, Change::Drop]),
];

/// Actions on the way of an operator with one more migration.
pub(super) const SCHEMA_RUNS: &[&str] = &["migrate", "server_build_template", "server_drop_stale"];

/// Actions on the way of a server that is declared.
pub(super) const SERVER_RUNS: &[&str] = &[
    "server_add_finalizer",
    "server_record_identity",
    "server_write_marker",
    "server_prepare_roles",
    "server_close_maintenance",
    "server_build_template",
];

/// Actions on the way of a server whose object is deleted.
pub(super) const REMOVAL_RUNS: &[&str] = &["server_remove_finalizer"];

pub(super) const MOMENTS: [&str; 2] = ["before", "after"];

/// Where one operator dies.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) action: &'static str,
    pub(super) change: Change,
    pub(super) moment: &'static str,
}

/// The runs of the selected changes.
pub(super) fn runs(is_selected: impl Fn(Change) -> bool) -> Vec<Run> {
    let changes = SCHOOL_RUNS
        .iter()
        .flat_map(|(action, changes)| changes.iter().map(move |change| (*action, *change)))
        .filter(|(_, change)| is_selected(*change));
    changes.flat_map(|(action, change)| MOMENTS.map(|moment| Run { action, change, moment })).collect()
}

/// The runs between birth and end, in sequences that lead from Ready to Ready. What labels a Secret comes last: the label stays.
pub(super) fn scenarios() -> VecDeque<Vec<Run>> {
    let (suspensions, resumptions) = (runs(|change| change == Change::Suspend), runs(|change| change == Change::Resume));
    assert_eq!(suspensions.len(), resumptions.len());
    let pauses = suspensions.into_iter().zip(resumptions).map(|(suspension, resumption)| vec![suspension, resumption]);
    let losses = runs(|change| matches!(change, Change::WeakenSecret | Change::LoseSecret | Change::LoseLogin | Change::ResetAdmin))
        .into_iter()
        .map(|run| vec![run]);
    pauses.chain(losses).chain(runs(|change| change == Change::Relabel).into_iter().map(|run| vec![run])).collect()
}

impl Change {
    /// It is the School's last.
    pub(super) fn ends(self) -> bool {
        matches!(self.end(), ExpectedEnd::Retained | ExpectedEnd::Dropped)
    }

    pub(super) fn begins_suspended(self) -> bool {
        matches!(self, Self::RetainSuspended | Self::DropSuspended)
    }

    pub(super) fn end(self) -> ExpectedEnd {
        match self {
            Self::Create | Self::WeakenSecret | Self::LoseSecret | Self::LoseLogin | Self::ResetAdmin | Self::Resume => ExpectedEnd::Ready,
            Self::Relabel => ExpectedEnd::Relabelled,
            Self::Suspend => ExpectedEnd::Suspended,
            Self::Retain | Self::RetainSuspended => ExpectedEnd::Retained,
            Self::Drop | Self::DropSuspended => ExpectedEnd::Dropped,
        }
    }
}
