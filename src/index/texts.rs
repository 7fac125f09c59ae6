use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use super::Entry;

/// So many texts are remembered. A store has few node types, tags and authors; where it has more, those that
/// are not remembered are merely not shared.
const REMEMBERED: usize = 16 * 1024;

/// Texts that many entries have in common, each kept once: they are half of what an entry has.
#[derive(Debug, Default)]
pub(super) struct Texts(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    texts: HashSet<Arc<str>>,
    lists: HashSet<Arc<[Arc<str>]>>,
}

impl Texts {
    /// The same entry, with the texts that are known.
    pub(super) fn share(&self, mut entry: Entry) -> Entry {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.texts.len() + known.lists.len() > REMEMBERED {
            *known = Known::default();
        }
        entry.author = known.text(entry.author);
        entry.tags = known.list(entry.tags);
        entry.nodes = known.list(entry.nodes);
        entry
    }
}

impl Known {
    fn text(&mut self, text: Arc<str>) -> Arc<str> {
        if let Some(known) = self.texts.get(&text) {
            return Arc::clone(known);
        }
        self.texts.insert(Arc::clone(&text));
        text
    }

    fn list(&mut self, list: Arc<[Arc<str>]>) -> Arc<[Arc<str>]> {
        if let Some(known) = self.lists.get(&list) {
            return Arc::clone(known);
        }
        let shared: Arc<[Arc<str>]> = list.iter().map(|text| self.text(Arc::clone(text))).collect();
        self.lists.insert(Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use pflow_backend::DateTime;

    use super::*;
    use crate::{
        document::MediaType,
        format::{VersionId, WorkflowId},
    };

    fn entry(id: &str, tags: &[&str]) -> Entry {
        Entry {
            id: WorkflowId::parse(id).unwrap(),
            generation: 1,
            version_id: VersionId::parse("0".repeat(26)).unwrap(),
            hash: None,
            size: 0,
            media_type: MediaType::Json.into(),
            name: None,
            description: None,
            tags: tags.iter().map(|tag| Arc::from(*tag)).collect(),
            nodes: Arc::default(),
            version: None,
            created: DateTime::UNIX_EPOCH,
            modified: DateTime::UNIX_EPOCH,
            author: Arc::from("me@here"),
            deleted: false,
        }
    }

    #[test]
    fn equal_texts_are_kept_once_and_stay_what_they_are() {
        let texts = Texts::default();
        let [one, two, other] = [("a", ["x", "y"]), ("b", ["x", "y"]), ("c", ["y", "z"])]
            .map(|(id, tags)| (entry(id, &tags), texts.share(entry(id, &tags))))
            .map(|(before, after)| {
                assert_eq!(before, after);
                after
            });
        assert!(Arc::ptr_eq(&one.tags, &two.tags) && Arc::ptr_eq(&one.author, &other.author));
        assert!(Arc::ptr_eq(&one.tags[1], &other.tags[0]));
        for n in 0..2 * REMEMBERED {
            texts.share(entry("d", &[&n.to_string()]));
        }
        let known = texts.0.lock().unwrap();
        assert!(known.texts.len() + known.lists.len() <= REMEMBERED + 3);
    }
}
