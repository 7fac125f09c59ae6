//! Writing: each call is one batch.

use bytes::Bytes;
use object_store::{
    CopyMode, Error, Extensions, PutMode, PutOptions, PutPayload, PutResult, RenameTargetMode, Result,
    UpdateVersion, path::Path,
};
use pflow_backend::{Batch, Commit, Conflict, Operation, Position, Precondition, StorageBackend, Version};

use super::{
    error::{failed, generic, no_key, not_implemented, overtaken, settled},
    escape, read,
};

/// How often a rename starts again because its source changed.
const RENAMES: usize = 16;

pub(super) async fn put_opts(
    backend: &dyn StorageBackend,
    location: &Path,
    payload: PutPayload,
    options: PutOptions,
) -> Result<PutResult> {
    let PutOptions { mode, tags, attributes, extensions: _ } = options;
    check_extras(!tags.is_empty(), !attributes.is_empty())?;
    let when = match mode {
        PutMode::Overwrite => Precondition::Always,
        PutMode::Create => Precondition::Absent,
        PutMode::Update(UpdateVersion { version: Some(_), .. }) => {
            return Err(Error::NotSupported {
                source: "It knows objects by their e_tag alone, not by a version".into(),
            });
        }
        PutMode::Update(UpdateVersion { e_tag: None, .. }) => {
            return Err(generic("An update needs the e_tag of the object that it replaces"));
        }
        PutMode::Update(UpdateVersion { e_tag: Some(tag), .. }) => Precondition::Is(Version::new(tag)),
    };
    put(backend, location, payload.into(), when).await
}

/// Refuses properties that cannot be stored.
pub(super) fn check_extras(tags: bool, attributes: bool) -> Result<()> {
    match (tags, attributes) {
        (true, _) => Err(not_implemented("put with tags")),
        (_, true) => Err(not_implemented("put with attributes")),
        _ => Ok(()),
    }
}

pub(super) async fn put(
    backend: &dyn StorageBackend,
    location: &Path,
    bytes: Bytes,
    when: Precondition,
) -> Result<PutResult> {
    let key = escape::key(location).map_err(|why| no_key(location, why))?;
    let batch = Batch::new().stage([Operation::put(key, bytes).when(when.clone())]);
    let commit = backend.commit(batch).await.map_err(|error| failed(location, error))?;
    let versions = settled(location, &when, commit)?;
    let e_tag = versions.get(Position { stage: 0, operation: 0 }).map(|it| it.as_str().to_owned());
    Ok(PutResult { e_tag, version: None, extensions: Extensions::new() })
}

/// Deletes the object, if there is one.
pub(super) async fn delete(backend: &dyn StorageBackend, location: &Path) -> Result<()> {
    // No object can exist at a path without a key.
    let Ok(key) = escape::key(location) else { return Ok(()) };
    let batch = Batch::new().stage([Operation::delete(key)]);
    let commit = backend.commit(batch).await.map_err(|error| failed(location, error))?;
    settled(location, &Precondition::Always, commit).map(drop)
}

pub(super) async fn copy(backend: &dyn StorageBackend, from: &Path, to: &Path, mode: CopyMode) -> Result<()> {
    let when = match mode {
        CopyMode::Overwrite => Precondition::Always,
        CopyMode::Create => Precondition::Absent,
    };
    if from == to {
        return onto_itself(backend, from, &when).await;
    }
    let object = read::object(backend, from).await?;
    put(backend, to, object.bytes, when).await.map(drop)
}

/// Stores the source at the target, then deletes it, in one batch of two stages.
///
/// The delete is conditional if the backend supports that, so that a write to the source after the read is
/// not lost.
pub(super) async fn rename(
    backend: &dyn StorageBackend,
    from: &Path,
    to: &Path,
    mode: RenameTargetMode,
) -> Result<()> {
    let when = match mode {
        RenameTargetMode::Overwrite => Precondition::Always,
        RenameTargetMode::Create => Precondition::Absent,
    };
    if from == to {
        return onto_itself(backend, from, &when).await;
    }
    let target = escape::key(to).map_err(|why| no_key(to, why))?;
    let conditional = backend.capabilities().conditional_delete;
    for _ in 0..RENAMES {
        let source = read::object(backend, from).await?;
        let unchanged =
            if conditional { Precondition::Is(source.meta.version) } else { Precondition::Always };
        let batch = Batch::new()
            .stage([Operation::put(target.clone(), source.bytes).when(when.clone())])
            .stage([Operation::delete(source.meta.key).when(unchanged)]);
        match backend.commit(batch).await.map_err(|error| failed(to, error))? {
            // Nothing was touched: the source was replaced or removed.
            Commit::Conflict(Conflict { at: Position { stage: 1, .. }, applied: 0, .. }) => {}
            Commit::Conflict(Conflict { at: Position { stage: 1, .. }, .. }) => {
                let what = format!("{to} was written, but {from} was changed meanwhile and is kept");
                return Err(generic(what));
            }
            Commit::Overtaken(conflict) if conflict.at.stage == 1 => return Err(overtaken(from, &conflict)),
            commit => return settled(to, &when, commit).map(drop),
        }
    }
    Err(generic(format!("{from} was not renamed: it changed {RENAMES} times meanwhile")))
}

/// Handles a copy or rename onto itself. Writing back what was read could undo a newer write, and a delete
/// afterwards would lose it, so nothing is written.
async fn onto_itself(backend: &dyn StorageBackend, location: &Path, when: &Precondition) -> Result<()> {
    let found = read::head(backend, location).await?;
    match when {
        Precondition::Absent => Err(Error::AlreadyExists {
            path: location.to_string(),
            source: format!("It is the source itself, version {}", found.version).into(),
        }),
        _ => Ok(()),
    }
}
