use pflow_store::{
    backend::Waiting,
    health::{self, Finding},
};
use serde::Serialize;

use super::{Lock, Unread};
use crate::hint;

/// A summary of a store.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Status<'a> {
    #[serde(flatten)]
    store: Identity<'a>,
    #[serde(flatten)]
    index: IndexState,
    locked: Vec<Lock<'a>>,
    /// Workflows whose working copy a person edited.
    modified_outside: Vec<&'a str>,
    unreadable: Vec<Unread<'a>>,
    waiting: Vec<OnlyInJournal<'a>>,
    strangers: Vec<Stranger<'a>>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Identity<'a> {
    location: &'a str,
    store_id: &'a str,
    /// The id of this place of the store. Null until something is written at this place.
    instance: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct IndexState {
    /// How many workflows there are, without the deleted ones.
    workflows: usize,
    /// How many are deleted and can be brought back.
    deleted: usize,
    /// How many records are not in the index yet.
    pending: usize,
    /// Whether the index was missing or damaged.
    index_lost: bool,
}

/// An object whose last value only the journal has, because its file cannot be written.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct OnlyInJournal<'a> {
    key: &'a str,
    path: &'a str,
    reason: &'a str,
    /// A command that removes the cause.
    remedy: Option<&'a str>,
}

/// An object in the place of the store that does not belong to the store.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Stranger<'a> {
    key: &'a str,
    reason: &'a str,
    /// A command that helps.
    hint: Option<String>,
}

impl<'a> Status<'a> {
    pub(crate) fn of(status: &'a health::Status) -> Self {
        Self {
            store: Identity {
                location: &status.location,
                store_id: &status.store_id,
                instance: status.instance.as_deref(),
            },
            index: IndexState {
                workflows: status.index.workflows,
                deleted: status.index.deleted,
                pending: status.index.pending,
                index_lost: status.index.lost,
            },
            locked: status.locked.iter().map(Lock::of).collect(),
            modified_outside: status.edited.iter().map(|id| id.as_str()).collect(),
            unreadable: Unread::all(&status.unreadable),
            waiting: status.waiting.iter().map(OnlyInJournal::of).collect(),
            strangers: status.strangers.iter().map(Stranger::of).collect(),
        }
    }
}

impl<'a> OnlyInJournal<'a> {
    fn of(waiting: &'a Waiting) -> Self {
        let Waiting { key, path, reason, remedy, .. } = waiting;
        Self { key: key.as_str(), path, reason, remedy: remedy.as_deref() }
    }
}

impl<'a> Stranger<'a> {
    fn of(found: &'a Finding) -> Self {
        Self { key: &found.key, reason: &found.reason, hint: found.remedy.as_ref().map(hint::command) }
    }
}
