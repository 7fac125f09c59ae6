//! Compares `workflow.lock` with the head. The head is authoritative. The mirror is for people, and content
//! that they put there is kept.

use bytes::Bytes;
use futures::future::try_join;
use pflow_backend::{Object, Operation, Precondition};

use crate::{
    Result,
    document::ContentHash,
    flow::with_causes,
    format::{Head, Lease, Lockfile, WorkflowId, encode_pretty, keys},
    repo::{Objects, StoredHead, unreadable},
};

/// How the content of `workflow.lock` compares with the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mirror {
    /// Matches the head: the lease, or no file if there is no lease.
    Faithful,
    /// Missing, although the head has a lease: a crash before it was written, or a person deleted it.
    Missing,
    /// An earlier lease or renewal: a crash before it was refreshed.
    Lagging,
    /// In the format of a mirror, but never written for this workflow: a person edited it.
    Edited,
    /// Anything else: garbage, or the lockfile of another program.
    Foreign,
    /// Not readable as a file: a link, a folder, or a file of another user. It is left alone.
    Unreadable,
}

/// The object under the mirror's name.
#[derive(Debug)]
enum There {
    Nothing,
    Object(Object),
    Unreadable,
}

impl There {
    /// Reads the object. An unreadable object is not an error, because no decision depends on the mirror.
    async fn look(objects: &Objects, id: &WorkflowId) -> Result<Self> {
        match objects.get(&keys::lockfile(id)).await {
            Ok(object) => Ok(object.map_or(Self::Nothing, Self::Object)),
            Err(error) if error.is_of_one_object() => {
                tracing::warn!(%id, error = with_causes(&error), "the file of the lock is left alone; the lock itself counts");
                Ok(Self::Unreadable)
            }
            Err(other) => Err(other),
        }
    }
}

impl Mirror {
    /// Whether another program or a person wrote it. It is then kept beside the mirror when the mirror is
    /// written again.
    pub fn is_odd(&self) -> bool {
        matches!(self, Self::Edited | Self::Foreign)
    }

    /// Compares the object under the mirror's name with the head.
    fn of(head: &Head, there: &There) -> Result<Self> {
        let object = match there {
            There::Nothing if head.lease.is_some() => return Ok(Self::Missing),
            There::Nothing => return Ok(Self::Faithful),
            There::Unreadable => return Ok(Self::Unreadable),
            There::Object(object) => object,
        };
        if let Some(lease) = &head.lease
            && object.bytes == lockfile(&head.id, lease)?
        {
            return Ok(Self::Faithful);
        }
        let Ok(says) = serde_json::from_slice::<Lockfile>(&object.bytes) else { return Ok(Self::Foreign) };
        let as_written = encode_pretty(&says).is_ok_and(|text| text == object.bytes);
        let earlier = match &head.lease {
            Some(lease) if lease.id == says.lease_id => says.renewals < lease.renewals,
            Some(lease) => says.fence < lease.fence,
            None => says.fence <= head.fence,
        };
        Ok(if as_written && earlier { Self::Lagging } else { Self::Edited })
    }
}

/// The object under the mirror's name, and how it compares with the head.
#[derive(Debug)]
pub(super) struct SeenMirror {
    there: There,
    pub(super) mirror: Mirror,
}

/// A head, and the object under the mirror's name at about the same time.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) stored: StoredHead,
    pub(super) seen: SeenMirror,
}

/// The change of the mirror that goes with a change of the lease.
///
/// Invariant: on storage with plain files that people edit, an object that the store did not write is kept
/// beside the mirror before it is replaced or deleted, and only the object that was read is replaced.
#[derive(Debug, Default)]
pub(crate) struct MirrorUpdate {
    /// Keeps the other content; it belongs in a stage before `write`. None if there is nothing to keep.
    pub(crate) keep: Option<Operation>,
    /// Brings the mirror in line with the head; none if the file is missing and should be, or cannot be read.
    pub(crate) write: Option<Operation>,
}

impl MirrorUpdate {
    /// Returns the update for a swap from `before`, which was read, to `after`.
    pub(crate) async fn of(objects: &Objects, before: &Head, after: &Head) -> Result<Self> {
        if !objects.traits.plain_files {
            return Ok(Self { keep: None, write: Some(write(after)?) });
        }
        SeenMirror::new(before, There::look(objects, &before.id).await?)?.update(after)
    }
}

impl Pair {
    /// Reads both. A mirror that does not match may belong to a newer head than the one that was read, so the
    /// head is read again until it no longer changes.
    pub(super) async fn read(objects: &Objects, id: &WorkflowId) -> Result<Self> {
        let (stored, there) = try_join(objects.head(id), There::look(objects, id)).await?;
        Self::settled(objects, stored, there).await
    }

    /// Reads the mirror beside a head that was read just now.
    pub(super) async fn beside(objects: &Objects, stored: StoredHead) -> Result<Self> {
        let there = There::look(objects, &stored.head.id).await?;
        Self::settled(objects, stored, there).await
    }

    async fn settled(objects: &Objects, mut stored: StoredHead, mut there: There) -> Result<Self> {
        let id = stored.head.id.clone();
        loop {
            let seen = SeenMirror::new(&stored.head, there)?;
            if seen.mirror == Mirror::Faithful {
                return Ok(Self { stored, seen });
            }
            let again = objects.head(&id).await?;
            if again == stored {
                return Ok(Self { stored, seen });
            }
            (stored, there) = (again, There::look(objects, &id).await?);
        }
    }
}

impl SeenMirror {
    fn new(head: &Head, there: There) -> Result<Self> {
        let mirror = Mirror::of(head, &there)?;
        Ok(Self { there, mirror })
    }

    /// Returns the update that brings this mirror in line with `head`.
    pub(super) fn update(&self, head: &Head) -> Result<MirrorUpdate> {
        Ok(MirrorUpdate { keep: self.keeping(&head.id), write: self.writing(head)? })
    }

    /// Returns the write that keeps the other content. The key contains the content hash, so the same content
    /// is kept only once.
    fn keeping(&self, id: &WorkflowId) -> Option<Operation> {
        let There::Object(object) = &self.there else { return None };
        if !self.mirror.is_odd() {
            return None;
        }
        let key = keys::odd_lockfile(id, ContentHash::of(&object.bytes));
        Some(Operation::put(key, object.bytes.clone()))
    }

    /// Returns the conditional write that replaces only what was read.
    fn writing(&self, head: &Head) -> Result<Option<Operation>> {
        let when = match &self.there {
            There::Object(object) => Precondition::Is(object.meta.version.clone()),
            There::Nothing if head.lease.is_some() => Precondition::Absent,
            There::Nothing | There::Unreadable => return Ok(None),
        };
        write(head).map(|operation| Some(operation.when(when)))
    }
}

/// Returns the unconditional write that brings the mirror in line with `head`.
fn write(head: &Head) -> Result<Operation> {
    let key = keys::lockfile(&head.id);
    Ok(match &head.lease {
        Some(lease) => Operation::put(key, lockfile(&head.id, lease)?).copy(),
        None => Operation::delete(key),
    })
}

/// Returns the content of `workflow.lock`.
fn lockfile(id: &WorkflowId, lease: &Lease) -> Result<Bytes> {
    let text = encode_pretty(&Lockfile::from(lease));
    text.map(Bytes::from).map_err(|source| unreadable(&keys::lockfile(id), source))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pflow_backend::{Environment, ManualEnvironment, Meta, Version};

    use super::*;
    use crate::format::LeaseId;

    const MINUTE: Duration = Duration::from_secs(60);

    fn head(fence: u64, lease: Option<&str>) -> Head {
        let environment = ManualEnvironment::new(1);
        let lease = lease.map(|name| {
            let (id, identity) = (LeaseId::parse(name).unwrap(), environment.identity());
            Lease::grant(id, fence, "edit".to_owned(), None, identity, environment.now(), MINUTE)
        });
        Head { fence, lease, ..Head::new(WorkflowId::parse("a").unwrap()) }
    }

    fn mirror_of(head: &Head) -> Vec<u8> {
        lockfile(&head.id, head.lease.as_ref().unwrap()).unwrap().to_vec()
    }

    fn judged(head: &Head, bytes: Option<Vec<u8>>) -> Mirror {
        let key = keys::lockfile(&head.id);
        let object = bytes.map(|bytes| {
            Object::new(
                Meta::new(key, bytes.len() as u64, Version::new("v"), chrono::DateTime::UNIX_EPOCH),
                bytes,
            )
        });
        Mirror::of(head, &object.map_or(There::Nothing, There::Object)).unwrap()
    }

    #[test]
    fn mirror_is_classified_against_the_head() {
        let now = head(4, Some("now"));
        let renewed = |head: &Head, times: u64| {
            let mut head = head.clone();
            head.lease.as_mut().unwrap().renewals += times;
            head
        };
        let by_hand = String::from_utf8(mirror_of(&now)).unwrap().replace("edit", "mine");
        for (head, bytes, expected) in [
            (&now, Some(mirror_of(&now)), Mirror::Faithful),
            (&head(4, None), None, Mirror::Faithful),
            (&now, None, Mirror::Missing),
            (&now, Some(mirror_of(&head(3, Some("before")))), Mirror::Lagging),
            (&renewed(&now, 2), Some(mirror_of(&renewed(&now, 1))), Mirror::Lagging),
            (&head(4, None), Some(mirror_of(&now)), Mirror::Lagging),
            (&now, Some(by_hand.into_bytes()), Mirror::Edited),
            (&now, Some(mirror_of(&renewed(&now, 1))), Mirror::Edited),
            (&now, Some(mirror_of(&head(5, Some("after")))), Mirror::Edited),
            (&now, Some([mirror_of(&now), b"\n".to_vec()].concat()), Mirror::Edited),
            (&head(3, None), Some(mirror_of(&now)), Mirror::Edited),
            (&now, Some(b"garbage".to_vec()), Mirror::Foreign),
            (&now, Some(Vec::new()), Mirror::Foreign),
            // The seed's own lockfile.
            (
                &now,
                Some(br#"{"hash": "x", "timestamp": "y", "pid": 7, "host": "h"}"#.to_vec()),
                Mirror::Foreign,
            ),
        ] {
            assert_eq!(judged(head, bytes), expected);
        }
    }
}
