use super::{Grant, LeaseRequest, Locks};
use crate::{
    Error, Result,
    conflict::Conflict,
    operation,
    stored::{LeaseId, WorkflowId},
};

/// The state of the lock flow.
pub(crate) struct LockChange {
    pub(super) locks: Locks,
    pub(super) id: WorkflowId,
    pub(super) wish: Wish,
    pub(super) lost_races: u32,
    pub(super) grant: Option<Grant>,
    pub(super) conflict: Option<Conflict>,
    pub(super) failure: Option<Error>,
}

#[derive(Debug, Clone)]
pub(super) enum Wish {
    Acquire(LeaseRequest),
    Release(LeaseId),
}

impl LockChange {
    pub(super) fn new(locks: Locks, id: WorkflowId, wish: Wish) -> Self {
        Self { locks, id, wish, lost_races: 0, grant: None, conflict: None, failure: None }
    }

    pub(super) async fn run(mut self) -> Result<Grant> {
        self.locks.gate.admit_writer().await?;
        let (flow, environment) = (self.locks.flow.clone(), self.locks.objects.environment.clone());
        let action = operation::run(&flow, &mut self, &environment).await?;
        match (self.grant, self.conflict, self.failure) {
            (Some(grant), ..) => Ok(grant),
            (None, Some(conflict), _) => Err(conflict.into()),
            (None, None, Some(failure)) => Err(failure),
            (None, None, None) => {
                Err(Error::Internal(format!("the lock flow ended with {action} and no result")))
            }
        }
    }
}
