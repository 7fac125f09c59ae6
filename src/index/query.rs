use std::{cmp::Reverse, sync::Arc};

use chrono::{DateTime, Utc};

use super::Entry;

/// Which workflows to list, and in what order. [`Query::new`] is all of them by id.
///
/// ```
/// use pflow_store::{Query, Sort};
///
/// let query = Query::new().text("daily report").tags(["etl"]).sort(Sort::Modified).limit(10);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    text: String,
    tags: Vec<String>,
    nodes: Vec<String>,
    since: Option<DateTime<Utc>>,
    sort: Sort,
    limit: Option<usize>,
    deleted: bool,
}

impl Query {
    /// Asks for all workflows that are not deleted, by id.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for those in which every word of the text occurs, each in the id, the name, the description, a
    /// tag or a node type. Case does not matter.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// Asks for those that have all these tags. Case does not matter.
    #[must_use]
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// Asks for those that use all these node types. Case does not matter.
    #[must_use]
    pub fn nodes<T: Into<String>>(mut self, nodes: impl IntoIterator<Item = T>) -> Self {
        self.nodes = nodes.into_iter().map(Into::into).collect();
        self
    }

    /// Asks for those that changed at this time or later, by the clocks of the writers.
    #[must_use]
    pub fn since(mut self, since: impl Into<Option<DateTime<Utc>>>) -> Self {
        self.since = since.into();
        self
    }

    /// Sets the order.
    #[must_use]
    pub fn sort(mut self, sort: Sort) -> Self {
        self.sort = sort;
        self
    }

    /// Sets how many workflows are listed at most.
    #[must_use]
    pub fn limit(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.limit = limit.into();
        self
    }

    /// Asks for the deleted workflows instead of the others.
    #[must_use]
    pub fn deleted(mut self, deleted: bool) -> Self {
        self.deleted = deleted;
        self
    }
}

/// The order of a list. Equal ones are in the order of their ids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sort {
    /// By id.
    #[default]
    Id,
    /// By name, or by the id of a workflow that has none.
    Name,
    /// The last changed first.
    Modified,
    /// The last created first.
    Created,
}

impl Query {
    /// The entries that match, in order.
    pub(crate) fn select<'a>(&self, entries: impl Iterator<Item = &'a Arc<Entry>>) -> Vec<Arc<Entry>> {
        let lower = |texts: &[String]| texts.iter().map(|text| text.to_lowercase()).collect::<Vec<_>>();
        let (tags, nodes) = (lower(&self.tags), lower(&self.nodes));
        let text = self.text.to_lowercase();
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut found: Vec<Arc<Entry>> = entries
            .filter(|entry| entry.deleted == self.deleted)
            .filter(|entry| self.since.is_none_or(|since| entry.modified >= since))
            .filter(|entry| has_all(&entry.tags, &tags) && has_all(&entry.nodes, &nodes))
            .filter(|entry| words.iter().all(|word| mentions(entry, word)))
            .cloned()
            .collect();
        // Stable sorts, and the entries come in the order of their ids.
        match self.sort {
            Sort::Id => {}
            Sort::Name => found.sort_by_key(|entry| entry.title().to_lowercase()),
            Sort::Modified => found.sort_by_key(|entry| Reverse(entry.modified)),
            Sort::Created => found.sort_by_key(|entry| Reverse(entry.created)),
        }
        found.truncate(self.limit.unwrap_or(usize::MAX));
        found
    }
}

fn has_all(texts: &[Arc<str>], wanted: &[String]) -> bool {
    wanted.iter().all(|wanted| texts.iter().any(|text| text.to_lowercase() == *wanted))
}

fn mentions(entry: &Entry, word: &str) -> bool {
    let texts = [Some(entry.id.as_str()), entry.name.as_deref(), entry.description.as_deref()];
    let all = texts.into_iter().flatten().chain(entry.tags.iter().chain(&*entry.nodes).map(AsRef::as_ref));
    all.into_iter().any(|text| text.to_lowercase().contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::MediaType,
        format::{VersionId, WorkflowId},
    };

    fn entries() -> Vec<Arc<Entry>> {
        let entry = |id: &str, name: Option<&str>, tags: &[&str], nodes: &[&str], at: i64| {
            Arc::new(Entry {
                id: WorkflowId::parse(id).unwrap(),
                generation: 1,
                version_id: VersionId::parse("0".repeat(26)).unwrap(),
                hash: None,
                size: 0,
                media_type: MediaType::Json.into(),
                name: name.map(str::to_owned),
                description: Some(format!("Does {id} things")),
                tags: tags.iter().map(|tag| Arc::from(*tag)).collect(),
                nodes: nodes.iter().map(|node| Arc::from(*node)).collect(),
                version: None,
                created: DateTime::from_timestamp(100 - at, 0).unwrap(),
                modified: DateTime::from_timestamp(at, 0).unwrap(),
                author: "".into(),
                deleted: id == "gone",
            })
        };
        vec![
            entry("a", Some("Zebra Über"), &["ETL", "daily"], &["llm"], 1),
            entry("b", None, &["etl"], &["shell", "llm"], 3),
            entry("c", Some("apple"), &[], &["shell"], 2),
            entry("gone", None, &["etl"], &[], 9),
        ]
    }

    fn ids(query: &Query) -> Vec<String> {
        query.select(entries().iter()).iter().map(|entry| entry.id.to_string()).collect()
    }

    #[test]
    fn everything_that_lives_is_listed_by_id() {
        assert_eq!(ids(&Query::new()), ["a", "b", "c"]);
        assert_eq!(ids(&Query::new().deleted(true)), ["gone"]);
    }

    #[test]
    fn all_words_tags_and_nodes_must_match_whatever_their_case() {
        let text = |text: &str| Query::new().text(text);
        assert_eq!(ids(&text("über")), ["a"]);
        assert_eq!(ids(&text("THINGS apple")), ["c"]);
        assert_eq!(ids(&text("shell")), ["b", "c"]);
        assert_eq!(ids(&text("shell zebra")), [""; 0]);
        let tagged = Query::new().tags(["etl"]);
        assert_eq!(ids(&tagged), ["a", "b"]);
        let both = tagged.nodes(["LLM", "shell"]);
        assert_eq!(ids(&both), ["b"]);
    }

    #[test]
    fn order_limit_and_time() {
        let sorted = |sort| ids(&Query::new().sort(sort));
        assert_eq!(sorted(Sort::Name), ["c", "b", "a"]);
        assert_eq!(sorted(Sort::Modified), ["b", "c", "a"]);
        assert_eq!(sorted(Sort::Created), ["a", "c", "b"]);
        assert_eq!(ids(&Query::new().limit(2).sort(Sort::Modified)), ["b", "c"]);
        assert_eq!(ids(&Query::new().since(DateTime::from_timestamp(2, 0))), ["b", "c"]);
    }
}
