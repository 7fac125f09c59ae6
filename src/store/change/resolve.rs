use std::sync::Arc;

use super::{Change, Trouble, actions};
use crate::{
    Error, Result,
    flow::{Action, Node, Visit},
    operation::back_off,
    store::Shared,
};

/// How often a change is tried again after it lost a race that was no conflict. Many writers of one workflow all get through; a
/// program that rewrites a head without end is noticed.
const RACES: u32 = 100;

/// Decides what to do about a conflict: a lost race is tried again, on top of what is there now; anything else is the caller's to
/// decide.
pub(super) struct ResolveConflict;

impl Node<Change, Error> for ResolveConflict {
    type Prep = (Arc<Shared>, bool, u32);
    type Exec = ();

    fn name(&self) -> &str {
        "ResolveConflict"
    }

    fn actions(&self) -> &[Action] {
        const { &[Action::DEFAULT, actions::CANCELLED] }
    }

    async fn prep(&self, change: &Change, _: Visit<'_>) -> Result<Self::Prep> {
        let raced = matches!(change.trouble, Some(Trouble::LostRace));
        Ok((Arc::clone(&change.shared), raced, change.lost_races + 1))
    }

    async fn exec(&self, (shared, raced, races): &Self::Prep, _: Visit<'_>) -> Result<()> {
        if *raced && *races <= RACES {
            back_off(shared.objects.environment.as_ref(), *races).await;
        }
        Ok(())
    }

    async fn post(
        &self,
        change: &mut Change,
        (_, raced, races): Self::Prep,
        (): (),
        _: Visit<'_>,
    ) -> Result<Action> {
        if raced && races <= RACES {
            change.lost_races = races;
            change.trouble = None;
            Ok(Action::DEFAULT)
        } else {
            Ok(actions::CANCELLED)
        }
    }
}
