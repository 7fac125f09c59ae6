//! The options of every command that changes a workflow.

use std::{
    env,
    ffi::{OsStr, OsString},
};

use clap::Args;
use pflow_store::{Expect, LeaseId, WorkflowId, format::VersionId};

use super::{
    failure::{Failure, Result},
    hint,
};

/// The variables for a held lease and for its workflow. `lock run` sets both for its command.
pub(super) const LEASE: &str = "PFLOW_LEASE";
pub(super) const WORKFLOW: &str = "PFLOW_WORKFLOW";

#[derive(Debug, Clone, Args)]
pub(super) struct Expectation {
    /// Only if the workflow is at generation N; 0: only if it does not exist
    #[arg(long, value_name = "N")]
    if_generation: Option<u64>,

    /// Only if this version is the current one; `show --json` has its version_id
    #[arg(long, value_name = "VERSION-ID", conflicts_with = "if_generation", value_parser = version_id)]
    if_version: Option<VersionId>,

    /// Under a lease that you hold; if it was lost, nothing is changed. PFLOW_LEASE unless set, except where
    /// PFLOW_WORKFLOW names another workflow
    #[arg(long, value_name = "LEASE-ID", value_parser = hint::lease_id)]
    lease: Option<LeaseId>,

    /// Why, for the history
    #[arg(short, long, value_name = "TEXT")]
    pub(super) message: Option<String>,
}

impl Expectation {
    /// Returns the expectation that was given, if any.
    pub(super) fn given(&self) -> Option<Expect> {
        match self.if_version {
            Some(version_id) => Some(Expect::Version(version_id)),
            None => self.if_generation.map(expect),
        }
    }

    /// Returns the expectation that was given, else `Any`: the current version then becomes the parent of the
    /// change, so it is not lost.
    pub(super) fn expect(&self) -> Expect {
        self.given().unwrap_or(Expect::Any)
    }

    /// Returns the lease under which `id` is changed.
    ///
    /// # Errors
    /// The variable counts for this workflow and is not a lease id.
    pub(super) fn lease(&self, id: &WorkflowId) -> Result<Option<LeaseId>> {
        match &self.lease {
            Some(lease) => Ok(Some(lease.clone())),
            None => HeldLease::from_environment().of(id),
        }
    }
}

/// The lease that the environment variables name, and its workflow.
#[derive(Debug, Clone, Default)]
pub(super) struct HeldLease {
    lease: Option<OsString>,
    workflow: Option<OsString>,
}

impl HeldLease {
    pub(super) fn from_environment() -> Self {
        Self { lease: env::var_os(LEASE), workflow: env::var_os(WORKFLOW) }
    }

    /// Returns the lease for the only workflow that a command changes, unless the variables say that the
    /// lease is for another workflow.
    fn of(&self, id: &WorkflowId) -> Result<Option<LeaseId>> {
        match (&self.lease, &self.workflow) {
            (Some(lease), None) => parse(lease).map(Some),
            _ => self.named(id),
        }
    }

    /// Returns the lease for one workflow of a batch, if the variables say that it is for this one. A lease
    /// without a workflow is ignored: it cannot be the lease of all of them.
    ///
    /// # Errors
    /// The variable is not a lease id.
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

fn version_id(text: &str) -> std::result::Result<VersionId, String> {
    VersionId::parse(text).map_err(|invalid| invalid.to_string())
}

/// Converts a generation. 0 means that the workflow does not exist.
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
            // A lease for another workflow is not parsed.
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
