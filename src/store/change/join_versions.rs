//! Merges two stored versions without a person's choice.
//!
//! Invariant: the draft follows from the two versions alone, so two clients that merge the same two write the
//! same bytes under the same key. Nothing of the client goes into it: no clock, no identity, no request, no
//! random number, and not which of the two versions is its current one.

use bytes::Bytes;

use super::{
    describe::{Described, describe_exactly},
    merge_sides::{Side, merge_sides},
    plan::{Draft, Joined, Parentage},
};
use crate::{
    Error, NoContent, Result, blocking,
    conflict::Obstacle,
    document::{DocumentReader, Limits, MediaType},
    format::{ChainPlace, Current, MAX_GENERATION, Operation, StoredVersion, VersionRef, WorkflowId, keys},
    repo::{Objects, StoredHead, corrupt, unreadable},
    store::Shared,
};

/// Merges the version `with` into the current one.
pub(super) async fn join_versions(shared: &Shared, stored: &StoredHead, with: &VersionRef) -> Result<Joined> {
    let (objects, id) = (&shared.objects, &stored.head.id);
    let missing = || Error::WorkflowMissing { id: id.clone(), deleted: false };
    let current = stored.head.current.as_ref().ok_or_else(missing)?.reference();
    // IMPORTANT: the reference goes into the record, so nothing may be in it that another client's lacks.
    let named = objects.unvouched_record(id, &(with.generation, with.version_id)).await?;
    let named = named.filter(|named| with.workflow.is_none() && named.record_hash == with.record_hash);
    let Some(named) = named else {
        let (id, generation) = (id.clone(), with.generation);
        return Err(Error::GenerationMissing { id, generation, why: NoContent::Never });
    };
    let with = &VersionRef::to(&named.record, named.record_hash);
    let base = objects.common_ancestor(id, &current, with).await?;
    if base.as_ref() == Some(with) {
        return Ok(Joined::Contained);
    }
    if base.as_ref() == Some(&current) {
        return Ok(Joined::Blocked(Obstacle::Ahead { version_id: with.version_id }));
    }
    // IMPORTANT: from here on nothing asks which of the two is the current one.
    let (first, second) =
        match (current.generation, current.record_hash) > (with.generation, with.record_hash) {
            true => (current, with.clone()),
            false => (with.clone(), current),
        };
    let read = async |named: &VersionRef| readable(objects, id, named).await;
    let base = match &base {
        Some(base) => Some(read(base).await?),
        None => None,
    };
    let sides = Sides {
        base,
        first: read(&first).await?,
        second: read(&second).await?,
        limits: shared.settings.reader.limits,
    };
    let generation = sides.first.record.generation.saturating_add(1);
    if generation > MAX_GENERATION {
        let reason = format!("there is no generation after {MAX_GENERATION}");
        return Err(corrupt(&keys::version(id, first.generation, &first.version_id), reason));
    }
    let (created, modified) = sides.times();
    let made = blocking::on_compared(sides.size(), move || sides.merged()).await?;
    let (described, content) = match made {
        Ok(made) => made,
        Err(obstacle) => return Ok(Joined::Blocked(obstacle)),
    };
    let place = ChainPlace::above(Some(&placed(objects, id, &first).await?)).merging();
    Ok(Joined::Merged(Box::new(Draft {
        derived: Some(Parentage { parents: vec![first, second], place }),
        generation,
        described: Described { operation: Operation::MERGE, ..described },
        content,
        created,
        modified,
        author: Operation::MERGE.as_str().to_owned(),
        message: None,
    })))
}

/// Reads a version whose content is to be merged.
async fn readable(objects: &Objects, id: &WorkflowId, named: &VersionRef) -> Result<StoredVersion> {
    let version = objects.named_version(id, named).await?;
    let key = || keys::version(id, named.generation, &named.version_id);
    version.record.media_type.known().map_err(|source| unreadable(&key(), source))?;
    if version.content.is_none() && !version.record.deleted {
        let (id, generation) = (id.clone(), named.generation);
        return Err(Error::GenerationMissing { id, generation, why: NoContent::Pruned });
    }
    Ok(version)
}

/// Reads a version with the jumps behind its own.
async fn placed(objects: &Objects, id: &WorkflowId, named: &VersionRef) -> Result<Current> {
    let record = objects.record(id, named).await?;
    let mut jumps = Vec::new();
    let mut next = record.jump.clone();
    while let Some(jump) = next {
        next = objects.record(id, &jump.reference()).await?.jump.clone();
        jumps.push(jump);
    }
    // The first one is the record's own.
    let behind = jumps.into_iter().skip(1).collect();
    Ok(Current::restored((*record).clone(), named.record_hash, behind))
}

/// The versions to merge, the parents in their order.
struct Sides {
    base: Option<StoredVersion>,
    first: StoredVersion,
    second: StoredVersion,
    limits: Limits,
}

impl Sides {
    fn all(&self) -> impl Iterator<Item = &StoredVersion> {
        self.base.iter().chain([&self.first, &self.second])
    }

    fn size(&self) -> usize {
        self.all().filter_map(|side| side.content.as_ref()).map(Bytes::len).sum()
    }

    /// When the workflow was created, and when the later of the two versions was made.
    fn times(&self) -> (chrono::DateTime<chrono::Utc>, chrono::DateTime<chrono::Utc>) {
        let (first, second) = (&self.first.record, &self.second.record);
        (first.created.min(second.created), first.modified.max(second.modified))
    }

    /// # Errors
    /// Why only a person can merge them.
    fn merged(self) -> std::result::Result<(Described, Bytes), Obstacle> {
        let Self { base, first, second, limits } = self;
        let base = base.filter(|base| !base.record.deleted);
        let described = |side: &StoredVersion| Described::of(&side.record);
        let deletion = |side: &StoredVersion| Ok((described(side).deletion(), Bytes::new()));
        let is_unchanged = |side: &StoredVersion| {
            base.as_ref().is_some_and(|base| described(side).says_the_same_as(&base.record))
        };
        match (first.record.deleted, second.record.deleted) {
            (false, false) => {}
            (true, true) => return deletion(&first),
            (true, false) if is_unchanged(&second) => return deletion(&first),
            (false, true) if is_unchanged(&first) => return deletion(&second),
            _ => return Err(Obstacle::Deletion),
        }
        let read = |side: &StoredVersion| {
            let content = side.content.clone().unwrap_or_default();
            // An unknown one was refused when the version was read.
            let media_type = side.record.media_type.known().unwrap_or(MediaType::Opaque);
            // IMPORTANT: without the extractor of this client, which others may not have.
            let document = DocumentReader::new().limits(limits).of_stored(media_type).read(content);
            let document = document.map_err(|source| Obstacle::Unmergeable { source })?;
            Ok((document, side.record.sourced_fields()))
        };
        let (base, first, second) = (base.as_ref().map(read).transpose()?, read(&first)?, read(&second)?);
        let base = base.as_ref().map(|(document, fields)| Side { document, fields });
        let [first, second] = [&first, &second].map(|(document, fields)| Side { document, fields });
        let (document, fields) = merge_sides(base, first, second, &limits)?;
        let content = document.bytes().clone();
        Ok((describe_exactly(&document, fields), content))
    }
}
