//! The options that every command has which changes a workflow.

use std::{
    env,
    ffi::{OsStr, OsString},
};

use clap::Args;
use pflow_store::{Expect, LeaseId, WorkflowId};

use super::{
    failure::{Failure, Result},
    hint,
};

/// The lease that is held, and for which workflow. `lock run` sets both for its command.
pub(super) const LEASE: &str = "PFLOW_LEASE";
pub(super) const WORKFLOW: &str = "PFLOW_WORKFLOW";

#[derive(Debug, Clone, Args)]
pub(super) struct Expectation {
    /// Only if the workflow is at generation N; 0: only if it does not exist
    #[arg(long, value_name = "N")]
    if_generation: Option<u64>,

    /// Under a lease that you hold; if it was lost, nothing is changed. PFLOW_LEASE unless set, except where
    /// PFLOW_WORKFLOW names another workflow
    #[arg(long, value_name = "LEASE-ID", value_parser = hint::lease_id)]
    lease: Option<LeaseId>,

    /// Why, for the history
    #[arg(short, long, value_name = "TEXT")]
    pub(super) message: Option<String>,
}

impl Expectation {
    /// What was said, if anything was.
    pub(super) fn given(&self) -> Option<Expect> {
        self.if_generation.map(expect)
    }

    /// Anything unless something was said: what is there becomes the parent of the change and is not lost.
    pub(super) fn expect(&self) -> Expect {
        self.given().unwrap_or(Expect::Any)
    }

    /// The lease under which `id` is changed.
    ///
    /// # Errors
    /// A variable that is meant for it and names no lease.
    pub(super) fn lease(&self, id: &WorkflowId) -> Result<Option<LeaseId>> {
        match &self.lease {
            Some(lease) => Ok(Some(lease.clone())),
            None => HeldLease::from_environment().of(id),
        }
    }
}

/// What the environment says about a lease that is held.
#[derive(Debug, Clone, Default)]
pub(super) struct HeldLease {
    lease: Option<OsString>,
    workflow: Option<OsString>,
}

impl HeldLease {
    pub(super) fn from_environment() -> Self {
        Self { lease: env::var_os(LEASE), workflow: env::var_os(WORKFLOW) }
    }

    /// For the only workflow that a command changes: the lease, unless it is said to be another one's.
    fn of(&self, id: &WorkflowId) -> Result<Option<LeaseId>> {
        match (&self.lease, &self.workflow) {
            (Some(lease), None) => parse(lease).map(Some),
            _ => self.named(id),
        }
    }

    /// For one of many: the lease, if it is said to be this one's. Without a name it could not be that of all
    /// of them.
    ///
    /// # Errors
    /// The variable names no lease.
    pub(super) fn named(&self, id: &WorkflowId) -> Result<Option<LeaseId>> {
        let is_meant = self.workflow.as_deref().is_some_and(|named| named == OsStr::new(id.as_str()));
        self.lease.as_deref().filter(|_| is_meant).map(parse).transpose()
    }
}

/// Refuses an empty lease id too: a caller that gives one means to save under a lease.
fn parse(lease: &OsStr) -> Result<LeaseId> {
    let text = lease.to_string_lossy();
    hint::lease_id(&text).map_err(|error| {
        Failure::usage(format!("{LEASE}: {error}")).with_hint("unset it, or name a lease with `--lease`")
    })
}

/// 0 is the generation of what does not exist.
pub(super) fn expect(generation: u64) -> Expect {
    if generation == 0 { Expect::Absent } else { Expect::Generation(generation) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_of_the_environment_is_for_the_workflow_that_it_names() {
        let id = WorkflowId::parse("a").unwrap();
        let held = |lease: Option<&str>, workflow: Option<&str>| HeldLease {
            lease: lease.map(Into::into),
            workflow: workflow.map(Into::into),
        };
        for (lease, workflow, alone, of_many) in [
            (None, None, None, None),
            (None, Some("a"), None, None),
            (Some("l1"), None, Some("l1"), None),
            (Some("l1"), Some("a"), Some("l1"), Some("l1")),
            (Some("l1"), Some("b"), None, None),
            (Some("l1"), Some(""), None, None),
            // What is not meant is not read.
            (Some("no lease"), Some("b"), None, None),
        ] {
            let held = held(lease, workflow);
            let text = |found: Result<Option<LeaseId>>| found.unwrap().map(|lease| lease.to_string());
            assert_eq!(text(held.of(&id)).as_deref(), alone, "{held:?}");
            assert_eq!(text(held.named(&id)).as_deref(), of_many, "{held:?}");
        }
        for broken in ["", "no lease"] {
            let refused = held(Some(broken), Some("a")).of(&id).unwrap_err();
            assert!(refused.message.starts_with("PFLOW_LEASE: "), "{refused:?}");
        }
    }
}
