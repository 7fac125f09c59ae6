//! The operation history: the segments, from the newest back to the first, each naming the one before it by its hash.

use pflow_backend::Key;

use super::{
    Index,
    parts::{Part, Root, Segment},
};
use crate::{
    Error, Result,
    document::ContentHash,
    stored::{Objects, layout},
};

impl Index {
    /// Walks the whole history and says what is wrong with it: the key and the reason. It stops at the first segment that cannot be
    /// read, because only that one knows the one before it.
    pub(crate) async fn check_history(&self) -> Result<Vec<(String, String)>> {
        // A root that cannot be read is reported as a lost index.
        let Some(root) = self.objects.get(&layout::index_root()).await? else { return Ok(Vec::new()) };
        let Ok(root) = Root::decode(&root.bytes) else { return Ok(Vec::new()) };
        let mut next = root.last_segment;
        while let Some(part) = next {
            match self.segment(&part).await {
                Ok(segment) => next = segment.previous,
                Err(Error::Corrupt { key, reason }) => return Ok(vec![(key, reason)]),
                Err(Error::Format { key, source }) => return Ok(vec![(key, source.to_string())]),
                Err(other) => return Err(other),
            }
        }
        Ok(Vec::new())
    }

    async fn segment(&self, part: &Part) -> Result<Segment> {
        let corrupt = |reason: &str| Error::Corrupt { key: part.key.clone(), reason: reason.to_owned() };
        let key = Key::parse(part.key.as_str()).map_err(|_| corrupt("its name is no key"))?;
        let object = self.objects.get(&key).await?.ok_or_else(|| corrupt("it is missing"))?;
        if ContentHash::of(&object.bytes) != part.hash {
            return Err(corrupt("it has not the hash by which its successor names it"));
        }
        Segment::decode(&object.bytes).map_err(|source| Error::Format { key: part.key.clone(), source })
    }
}

/// The newest whole segment there is, and its sequence. Asked only when every root is lost: it reads the whole history.
pub(super) async fn newest_segment(objects: &Objects) -> Result<Option<(u64, Part)>> {
    let mut newest = None;
    for key in objects.keys(&layout::index_segments()).await? {
        let Some(object) = objects.get(&key).await? else { continue };
        match Segment::decode(&object.bytes) {
            Ok(segment) if newest.as_ref().is_none_or(|(sequence, _)| *sequence < segment.sequence) => {
                newest = Some((segment.sequence, Part::new(&key, &object.bytes, segment.entries.len())));
            }
            Ok(_) => {}
            Err(damaged) => tracing::warn!(%key, error = %damaged, "a segment of the history cannot be read"),
        }
    }
    Ok(newest)
}
