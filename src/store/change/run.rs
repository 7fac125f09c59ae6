use std::sync::Arc;

use super::{
    Change, Flows, Written,
    state::{ChangePhase, Met},
};
use crate::{
    Error, Result,
    conflict::{Conflict, Goal},
    flow::Action,
    format::WorkflowId,
    operation,
};

impl Change {
    /// Runs the flow of the task and returns the result.
    pub(crate) async fn run(mut self, flows: &Flows) -> Result<Written> {
        let shared = Arc::clone(&self.shared);
        let _admission = shared.gate.admit_writer().await?;
        let flow = match self.phase {
            ChangePhase::Open(Goal::Delete) => &flows.delete,
            ChangePhase::Open(Goal::Undelete | Goal::Merge(_)) => &flows.undelete,
            _ => &flows.save,
        };
        let ended = operation::run(flow, &mut self, &shared.objects.environment).await;
        let in_doubt = !self.doubts.open.is_empty();
        let (id, doubt) = (self.request.id.clone(), self.doubts.tries.take_doubt());
        let failed = match self.phase {
            // The change was committed, whatever failed afterwards.
            ChangePhase::Done(written) => {
                let index_error = ended.err().or(self.index_error);
                return Ok(Written { index_error, resolved: self.resolved, ..*written });
            }
            phase => match ended {
                Ok(action) => phase.failure(&id, &action, self.doubts.tries.lost()),
                Err(error) => error,
            },
        };
        // IMPORTANT: whatever error came later, an attempt may have landed.
        if in_doubt {
            return Err(Error::in_doubt(format!("the change of {id}"), doubt, failed));
        }
        Err(shared.explain(failed).await)
    }
}

impl ChangePhase {
    /// Returns the error of a change that ended in this phase.
    fn failure(self, id: &WorkflowId, action: &Action, lost_races: u32) -> Error {
        match self {
            Self::Refused(source) => Error::Document { id: id.clone(), source },
            Self::Failed(error) => error,
            Self::Conflict(met) => match Arc::unwrap_or_clone(met) {
                Met { conflict, obstacle: Some(obstacle), .. } => {
                    Conflict::Unresolved { conflict: Box::new(conflict), obstacle }.into()
                }
                Met { conflict, .. } => conflict.into(),
            },
            Self::LostRace(_) | Self::InDoubt(_) => {
                Conflict::Busy { id: id.clone(), attempts: lost_races }.into()
            }
            other => Error::Internal(format!("a change ended with {action} while it is {other}")),
        }
    }
}
