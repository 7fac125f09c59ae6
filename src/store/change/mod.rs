//! Saving, deleting and undeleting: one change of a head, as flows of the runner.
//!
//! ```text
//! StorageOperation -> ValidateData -> CheckConflicts -> WriteAtomic -> UpdateIndex -> Success
//!        |                 |           |  ^       |         |    |          |
//!   ParseError    ValidationError     |  |    Unchanged    |  WriteError  IndexError
//!                                       v  |                 |
//!                                   ResolveConflict <--------+
//!                                    |   |  ^  |
//!                       ConflictError    |  |  +-> Unchanged (theirs stands)
//!                                        v  |
//!                    WaitForLock, KeepEdit, MergeVersions (and on to CheckConflicts)
//! ```
//!
//! A conflict never leads straight to a write. The resolver's answer is recorded as [`agreed`], and
//! CheckConflicts decides again on the state that it reads then.
//!
//! Deleting and undeleting have no document and start at CheckConflicts.

pub(crate) mod agreed;
mod answer;
mod attempt;
mod check;
pub(crate) mod decide;
mod describe;
mod flows;
mod join_versions;
mod keep_edit;
mod merge_sides;
mod merge_versions;
mod parse;
mod place;
pub(crate) mod plan;
pub(crate) mod request;
mod resolve;
mod run;
mod sides;
mod state;
mod update_index;
mod wait;
pub(crate) mod write;

pub(crate) use flows::Flows;
pub(super) use request::{Request, Task, Unread};
pub(super) use sides::document_of;
pub(super) use state::{Change, Written};

/// The actions of the seed's nodes, and those that the seed has no name for.
pub(super) mod actions {
    use crate::flow::Action;

    pub(crate) const PARSE_ERROR: Action = Action::named("parse_error");
    pub(crate) const VALIDATION_ERROR: Action = Action::named("validation_error");
    pub(crate) const HANDLE_CONFLICT: Action = Action::named("handle_conflict");
    pub(crate) const UNCHANGED: Action = Action::named("unchanged");
    pub(crate) const UPDATE_INDEX: Action = Action::named("update_index");
    pub(crate) const WRITE_ERROR: Action = Action::named("write_error");
    pub(crate) const REMOVE_LOCK: Action = Action::named("remove_lock");
    pub(crate) const WAIT_FOR_LOCK: Action = Action::named("wait_for_lock");
    pub(crate) const KEEP_EDIT: Action = Action::named("keep_edit");
    pub(crate) const MERGE: Action = Action::named("merge");
    pub(crate) const TAKE_THEIRS: Action = Action::named("take_theirs");
    pub(crate) const CANCELLED: Action = Action::named("cancelled");
    pub(crate) const SUCCESS: Action = Action::named("success");
    pub(crate) const INDEX_ERROR: Action = Action::named("index_error");
}
