use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use pflow_store::{
    LeaseId, Result, WorkflowId,
    conflict::{Case, Conflict, ConflictResolver, Policy, Resolution},
    pflow_backend::async_trait,
};
use serde::Serialize;

use crate::cli::{lock::who, output::Output, time::human};

/// So long a wait is nobody's business.
const SILENCE: Duration = Duration::from_millis(400);

/// For whom the program waits, under `--json`.
#[derive(Serialize)]
struct Waiting<'a> {
    id: &'a WorkflowId,
    lease_id: &'a LeaseId,
    user: &'a str,
    host: &'a str,
    pid: u32,
}

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
        let (Resolution::Wait { limit }, Conflict::Locked { id, lease, .. }) = (&answer, case.conflict())
        else {
            return Ok(answer);
        };
        let quiet = SILENCE.saturating_sub(case.waited());
        if !quiet.is_zero() {
            return Ok(Resolution::Wait { limit: quiet.min(*limit) });
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            if self.output.is_json() && !self.output.is_quiet() {
                let waiting =
                    Waiting { id, lease_id: &lease.id, user: &lease.user, host: &lease.host, pid: lease.pid };
                self.output.event("waiting", &waiting);
            }
            let left = human(chrono::Duration::from_std(*limit).unwrap_or(chrono::Duration::MAX));
            let (who, doing) = (who(lease), &lease.operation);
            self.output.note(&format!("waiting up to {left} for {who}, who holds {id} for {doing:?}"));
        }
        Ok(answer)
    }
}
