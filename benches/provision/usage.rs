//! Where processor time goes: the machine's few cores are shared by all parts, so what one of them saves is time for the others.
//!
//! Must not print.

use std::ops::Sub;

use serde::Serialize;

use crate::Outcome;
use crate::environment::Environment;
use crate::processes::{family, own};

/// Processor seconds of each part.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Usage {
    pub(crate) operator: f64,
    /// This program: it applies and watches in every phase, and does the floor's work.
    pub(crate) bench: f64,
    pub(crate) apiserver: f64,
    pub(crate) etcd: f64,
    pub(crate) controller_manager: f64,
    pub(crate) postgres: f64,
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            operator: self.operator - before.operator,
            bench: self.bench - before.bench,
            apiserver: self.apiserver - before.apiserver,
            etcd: self.etcd - before.etcd,
            controller_manager: self.controller_manager - before.controller_manager,
            postgres: self.postgres - before.postgres,
        }
    }
}

impl Usage {
    /// Until now. `operator` is its process id while it runs.
    pub(crate) fn now(environment: &Environment, operator: Option<u32>) -> Outcome<Self> {
        let [etcd, apiserver, controller_manager] = environment.plane.pids();
        let mut postgres = 0.0;
        for pid in environment.servers.iter().map(testing::Postgres::pid) {
            postgres += family(pid)?;
        }
        Ok(Self {
            operator: operator.map_or(Ok(0.0), own)?,
            bench: own(std::process::id())?,
            apiserver: own(apiserver)?,
            etcd: own(etcd)?,
            controller_manager: own(controller_manager)?,
            postgres,
        })
    }

    pub(crate) fn total(&self) -> f64 {
        self.operator + self.bench + self.apiserver + self.etcd + self.controller_manager + self.postgres
    }
}
