//! The operation history: the segments, from the newest back to the first, each naming the one before it by
//! its hash.

use pflow_backend::Key;

use super::{
    Index,
    parts::{Part, Root, Segment},
    table::{Lost, Table},
};
use crate::{
    Result,
    document::ContentHash,
    format::keys,
    repo::{Objects, unreadable},
};

impl Index {
    /// Walks the whole history and says where it breaks off: the key, what became of it, and why. What stands
    /// before that segment cannot be reached, because only it knows the one before it.
    pub(crate) async fn check_history(&self) -> Result<Option<(String, Lost, String)>> {
        // A root that cannot be read is reported as a lost index.
        let Some(root) = self.objects.get(&keys::index_root()).await? else { return Ok(None) };
        let Ok(root) = Root::decode(&root.bytes) else { return Ok(None) };
        let mut next = root.last_segment;
        while let Some(part) = next {
            match self.segment(&part).await? {
                Ok(segment) => next = segment.previous,
                Err((lost, reason)) => return Ok(Some((part.key, lost, reason))),
            }
        }
        Ok(None)
    }

    /// The table with a history that can go on: where its last segment is lost, the newest whole one takes
    /// its place. What the lost one told is lost.
    pub(super) async fn anchored(&self, mut table: Table) -> Result<Table> {
        let intact = match &table.root.last_segment {
            Some(part) => self.segment(part).await?.is_ok(),
            // A root that was lost along with everything else begins at 0 as well.
            None => table.root.sequence > 0,
        };
        if !intact {
            let newest = newest_segment(&self.objects).await?;
            let sequence = newest.as_ref().map_or(0, |(sequence, _)| *sequence);
            table.root.sequence = table.root.sequence.max(sequence);
            table.root.last_segment = newest.map(|(_, part)| part);
        }
        Ok(table)
    }

    /// Whether a root that another one overtook had been in place before it. `parts` are those that it was
    /// the first to name.
    ///
    /// Every later root goes back to its segment, so the history tells. A base alone leaves no trace: it
    /// counts while the present root names it, and whoever replaced it has deleted it. Where the history
    /// cannot be read as far back, it may have been.
    pub(super) async fn has_been(&self, overtaken: &Root, parts: &[Key]) -> Result<bool> {
        let Some(present) = self.objects.get(&keys::index_root()).await? else { return Ok(true) };
        let Ok(present) = Root::decode(&present.bytes) else { return Ok(true) };
        let is_new = |part: &&Part| parts.iter().any(|key| key.as_str() == part.key);
        let Some(segment) = overtaken.last_segment.as_ref().filter(is_new) else {
            return Ok(present.base == overtaken.base);
        };
        let mut next = present.last_segment;
        while let Some(part) = next {
            if part == *segment {
                return Ok(true);
            }
            match self.segment(&part).await? {
                Ok(later) if later.sequence >= overtaken.sequence => next = later.previous,
                Ok(_) => return Ok(false),
                Err(_) => return Ok(true),
            }
        }
        Ok(false)
    }

    async fn segment(&self, part: &Part) -> Result<std::result::Result<Segment, (Lost, String)>> {
        let damaged = |reason: &dyn ToString| Ok(Err((Lost::Damaged, reason.to_string())));
        let key = match Key::parse(part.key.as_str()) {
            Ok(key) => key,
            Err(invalid) => return damaged(&invalid),
        };
        let Some(object) = self.objects.get(&key).await? else {
            return Ok(Err((Lost::Missing, "it is missing".to_owned())));
        };
        if ContentHash::of(&object.bytes) != part.hash {
            return damaged(&"it has not the hash by which its successor names it");
        }
        match Segment::decode(&object.bytes) {
            Ok(segment) => Ok(Ok(segment)),
            Err(newer) if newer.is_newer() => Err(unreadable(&key, newer)),
            Err(source) => damaged(&source),
        }
    }
}

/// The newest whole segment there is, and its sequence. Asked only when every root is lost: it reads the
/// whole history.
async fn newest_segment(objects: &Objects) -> Result<Option<(u64, Part)>> {
    let mut newest = None;
    for key in objects.keys(&keys::index_segments()).await? {
        let Some(object) = objects.get(&key).await? else { continue };
        match Segment::decode(&object.bytes) {
            Ok(segment) if newest.as_ref().is_none_or(|(sequence, _)| *sequence < segment.sequence) => {
                newest = Some((segment.sequence, Part::new(&key, &object.bytes, segment.entries.len())));
            }
            Ok(_) => {}
            Err(newer) if newer.is_newer() => return Err(unreadable(&key, newer)),
            Err(damaged) => tracing::warn!(%key, error = %damaged, "a segment of the history cannot be read"),
        }
    }
    Ok(newest)
}
