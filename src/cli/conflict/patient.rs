use std::sync::atomic::{AtomicBool, Ordering};

use pflow_store::{
    Result,
    conflict::{Case, Conflict, ConflictResolver, Policy, Resolution},
    pflow_backend::async_trait,
};

use crate::cli::{
    lock::{SILENCE, tell},
    output::Output,
};

/// A rule that says for whom it waits, once, after some silence.
#[derive(Debug)]
pub(super) struct Patient {
    policy: Policy,
    output: Output,
    told: AtomicBool,
}

impl Patient {
    pub(super) fn new(policy: Policy, output: Output) -> Self {
        Self { policy, output, told: AtomicBool::new(false) }
    }
}

#[async_trait]
impl ConflictResolver for Patient {
    async fn resolve(&self, case: &Case) -> Result<Resolution> {
        let answer = self.policy.resolve(case).await?;
        let (Resolution::Wait { limit }, Conflict::Locked { id, lease, now, .. }) =
            (&answer, case.conflict())
        else {
            return Ok(answer);
        };
        let quiet = SILENCE.saturating_sub(case.waited());
        if !quiet.is_zero() {
            return Ok(Resolution::Wait { limit: quiet.min(*limit) });
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            tell(&self.output, id, lease, *now);
        }
        Ok(answer)
    }
}
