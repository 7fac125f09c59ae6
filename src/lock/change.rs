use std::sync::Arc;

use super::{Grant, LeaseRequest, node::LockfileManager};
use crate::{
    Error, Result,
    conflict::Conflict,
    flow::{Action, Flow, GraphError},
    store::{Shared, end_of},
    stored::{Lease, LeaseId, WorkflowId},
};

/// The actions of the seed's `LockfileManagerNode`.
pub(super) mod actions {
    use crate::flow::Action;

    pub(crate) const SUCCESS: Action = Action::named("success");
    pub(crate) const ALREADY_LOCKED: Action = Action::named("already_locked");
    pub(crate) const CONFLICT: Action = Action::named("conflict");
    pub(crate) const ERROR: Action = Action::named("error");
}

/// The state of the lock flow.
pub(crate) struct LockChange {
    pub(super) shared: Arc<Shared>,
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
    /// The lease id is fixed here, once, so that every attempt asks for the same grant.
    pub(super) fn acquire(shared: Arc<Shared>, id: WorkflowId, request: LeaseRequest) -> Self {
        let own = || LeaseId::parse(shared.objects.environment.new_id()).ok();
        let lease_id = request.id.clone().or_else(own);
        Self::new(shared, id, Wish::Acquire(LeaseRequest { id: lease_id, ..request }))
    }

    pub(super) fn release(shared: Arc<Shared>, id: WorkflowId, lease: LeaseId) -> Self {
        Self::new(shared, id, Wish::Release(lease))
    }

    fn new(shared: Arc<Shared>, id: WorkflowId, wish: Wish) -> Self {
        Self { shared, id, wish, lost_races: 0, grant: None, conflict: None, failure: None }
    }

    pub(super) async fn run(mut self) -> Result<Grant> {
        let shared = Arc::clone(&self.shared);
        shared.check_writable()?;
        let action = end_of(&shared.flows.lock, &mut self, &shared).await?;
        match (self.grant, self.conflict, self.failure) {
            (Some(grant), ..) => Ok(grant),
            (None, Some(conflict), _) => Err(conflict.into()),
            (None, None, Some(failure)) => Err(failure),
            (None, None, None) => {
                Err(Error::Internal(format!("the lock flow ended with {action} and no result")))
            }
        }
    }

    pub(super) fn succeed(&mut self, lease: Lease, renewed: bool) -> Action {
        self.grant = Some(Grant { lease, renewed });
        actions::SUCCESS
    }
}

/// One node, which comes back to itself after a lost race.
pub(crate) fn lock_flow() -> std::result::Result<Flow<LockChange, Error>, GraphError> {
    let mut flow = Flow::builder("lock");
    let manager = flow.node(LockfileManager);
    flow.start(manager)
        .connect(manager, Action::DEFAULT, manager)
        .end(manager, actions::SUCCESS, "Success")
        .end(manager, actions::ALREADY_LOCKED, "AlreadyLocked")
        .end(manager, actions::CONFLICT, "LockConflict")
        .end(manager, actions::ERROR, "LockError");
    flow.build()
}
