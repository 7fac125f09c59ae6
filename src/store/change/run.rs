use std::sync::Arc;

use super::{Change, Flows, Written, request::Goal, state::Phase};
use crate::{Error, Result, conflict::Conflict, flow::Action, format::WorkflowId, operation};

impl Change {
    /// Runs the flow of the task and returns the result.
    pub(crate) async fn run(mut self, flows: &Flows) -> Result<Written> {
        let shared = Arc::clone(&self.shared);
        shared.gate.admit_writer().await?;
        let flow = match self.goal.as_ref() {
            None | Some(Goal::Save { .. }) => &flows.save,
            Some(Goal::Delete) => &flows.delete,
            Some(Goal::Undelete) => &flows.undelete,
        };
        let ended = operation::run(flow, &mut self, &shared.objects.environment).await;
        let in_doubt = !self.doubts.open.is_empty();
        let (id, doubt) = (self.request.id.clone(), self.doubts.tries.take_doubt());
        let failed = match self.phase {
            // The change was committed, whatever failed afterwards.
            Phase::Done(written) => {
                let index_error = ended.err().or(written.index_error);
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

impl Phase {
    /// Returns the error of a change that ended in this phase.
    fn failure(self, id: &WorkflowId, action: &Action, lost_races: u32) -> Error {
        match self {
            Self::Refused(source) => Error::Document { id: id.clone(), source },
            Self::Failed(error) => error,
            Self::Conflict(met) => match met.obstacle {
                Some(obstacle) => Conflict::Unresolved { conflict: Box::new(met.conflict), obstacle }.into(),
                None => met.conflict.into(),
            },
            Self::LostRace => Conflict::Busy { id: id.clone(), attempts: lost_races }.into(),
            other => Error::Internal(format!("a change ended with {action} while it is {other}")),
        }
    }
}
