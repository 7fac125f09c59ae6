use std::fmt;

use super::{
    Change, actions,
    check::CheckConflicts,
    keep_edit::KeepEdit,
    merge_versions::MergeVersions,
    parse::{StorageOperation, ValidateData},
    resolve::ResolveConflict,
    update_index::UpdateIndex,
    wait::WaitForLock,
    write::WriteAtomic,
};
use crate::{
    Error, Result, Store,
    flow::{Action, Drawing, Flow, FlowBuilder, GraphError, NodeId},
    lock::lock_flow,
};

/// The flows of all operations of a store. They are built, and checked, once.
pub(crate) struct Flows {
    pub(crate) save: Flow<Change, Error>,
    pub(crate) delete: Flow<Change, Error>,
    pub(crate) undelete: Flow<Change, Error>,
}

impl Flows {
    pub(crate) fn build() -> Result<Self> {
        let broken = |defects: GraphError| Error::Internal(defects.to_string());
        Ok(Self {
            save: save().map_err(broken)?,
            delete: from_check("delete").map_err(broken)?,
            undelete: from_check("undelete").map_err(broken)?,
        })
    }
}

impl Store {
    /// Returns drawings of the flows that every store uses.
    ///
    /// # Errors
    /// [`Error::Internal`] if a flow has a defect.
    pub fn flows() -> Result<Vec<Drawing>> {
        let (Flows { save, delete, undelete }, lock) = (Flows::build()?, lock_flow()?);
        Ok(vec![save.drawing(), delete.drawing(), undelete.drawing(), lock.drawing()])
    }
}

type Builder = FlowBuilder<Change, Error>;

fn save() -> std::result::Result<Flow<Change, Error>, GraphError> {
    let mut flow = Flow::builder("save");
    let parse = flow.node(StorageOperation);
    let validate = flow.node(ValidateData);
    let (check, resolve) = write_path(&mut flow, true);
    let merge = flow.node(MergeVersions);
    flow.start(parse)
        .chain([parse, validate, check])
        .end_as(parse, actions::PARSE_ERROR, "ParseError")
        .end_as(validate, actions::VALIDATION_ERROR, "ValidationError")
        .connect(resolve, actions::MERGE, merge)
        .connect(merge, Action::DEFAULT, check)
        .connect(merge, actions::HANDLE_CONFLICT, resolve)
        .end_as(merge, actions::TAKE_THEIRS, "Unchanged")
        .build()
}

fn from_check(name: &str) -> std::result::Result<Flow<Change, Error>, GraphError> {
    let mut flow = Flow::builder(name);
    let (check, _) = write_path(&mut flow, false);
    flow.start(check).build()
}

/// Adds the nodes that every change of a head shares. Returns the first node and the one that resolves
/// conflicts.
fn write_path(flow: &mut Builder, merges: bool) -> (NodeId, NodeId) {
    let check = flow.node(CheckConflicts);
    let write = flow.node(WriteAtomic);
    let index = flow.node(UpdateIndex);
    let resolve = flow.node(ResolveConflict { merges });
    let wait = flow.node(WaitForLock);
    let keep = flow.node(KeepEdit);
    flow.connect(check, Action::DEFAULT, write)
        .connect(check, actions::HANDLE_CONFLICT, resolve)
        .connect(check, actions::UPDATE_INDEX, index)
        .end_as(check, actions::UNCHANGED, "Unchanged")
        .connect(write, actions::UPDATE_INDEX, index)
        .connect(write, actions::HANDLE_CONFLICT, resolve)
        .end_as(write, actions::WRITE_ERROR, "WriteError")
        .connect(resolve, Action::DEFAULT, check)
        // The next swap removes the lease.
        .connect(resolve, actions::REMOVE_LOCK, check)
        .connect(resolve, actions::WAIT_FOR_LOCK, wait)
        .connect(wait, Action::DEFAULT, check)
        .end_as(wait, actions::CANCELLED, "Cancelled")
        .connect(resolve, actions::KEEP_EDIT, keep)
        .connect(keep, Action::DEFAULT, check)
        .connect(keep, actions::HANDLE_CONFLICT, resolve)
        .end_as(resolve, actions::TAKE_THEIRS, "Unchanged")
        .end_as(resolve, actions::CANCELLED, "ConflictError")
        .end_as(index, actions::SUCCESS, "Success")
        .end_as(index, actions::INDEX_ERROR, "IndexError");
    (check, resolve)
}

impl fmt::Debug for Flows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flows").finish_non_exhaustive()
    }
}
