//! The options that every command has which changes a workflow.

use clap::Args;
use pflow_store::{Expect, LeaseId};

#[derive(Debug, Clone, Args)]
pub(super) struct Expectation {
    /// Only if the workflow is at generation N; 0: only if it does not exist
    #[arg(long, value_name = "N")]
    if_generation: Option<u64>,

    /// Under a lease that you hold; if it was lost, nothing is changed
    #[arg(long, value_name = "LEASE-ID", env = "PFLOW_LEASE", hide_env_values = true)]
    pub(super) lease: Option<LeaseId>,

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
}

/// 0 is the generation of what does not exist.
pub(super) fn expect(generation: u64) -> Expect {
    if generation == 0 { Expect::Absent } else { Expect::Generation(generation) }
}
