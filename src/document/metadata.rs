//! The parts of a document that are copied into the head and the index, and their bounds.

use std::borrow::Cow;

/// The maximum length of [`Metadata::name`], in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// The maximum length of [`Metadata::description`], in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 1024;
/// The maximum length of [`Metadata::version`], in bytes.
pub const MAX_VERSION_BYTES: usize = 64;
/// The maximum number of [`Metadata::tags`].
pub const MAX_TAGS: usize = 64;
/// The maximum length of a tag, in bytes.
pub const MAX_TAG_BYTES: usize = 64;
/// The maximum length of [`Metadata::tags`] as they are written in JSON, in bytes.
pub const MAX_TAGS_BYTES: usize = 4096;
/// The maximum number of [`Metadata::nodes`].
pub const MAX_NODE_TYPES: usize = 64;
/// The maximum length of a node type, in bytes.
pub const MAX_NODE_TYPE_BYTES: usize = 128;
/// The maximum length of [`Metadata::nodes`] as they are written in JSON, in bytes.
pub const MAX_NODES_BYTES: usize = 4096;

/// The metadata of a document.
///
/// Each field comes from the first level of the document that has a value: the top level, then the `metadata`
/// object, then `ir`. The node types are an exception, see there.
///
/// Metadata is copied into small records, thousands of which are read at once, so it is bounded. Texts are
/// trimmed; a text beyond its bound (the constants of this module) is cut between two characters and ends
/// with `…`, within the bound; of a list the first elements are kept. The bounds are those of the text as it
/// is written in JSON, where some characters take more bytes. The document itself is never cut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// The `name`, if it is not blank. At most [`MAX_NAME_BYTES`].
    pub name: Option<String>,
    /// The `description`, if it is not blank. At most [`MAX_DESCRIPTION_BYTES`].
    pub description: Option<String>,
    /// The `tags` without blank and repeated ones, in document order. At most [`MAX_TAGS`] of
    /// [`MAX_TAG_BYTES`], and [`MAX_TAGS_BYTES`] together.
    pub tags: Vec<String>,
    /// The distinct types of the nodes in order of first appearance. They are those of the workflow's own
    /// nodes, or those in `metadata.nodes` if there are none. At most [`MAX_NODE_TYPES`] of
    /// [`MAX_NODE_TYPE_BYTES`], and [`MAX_NODES_BYTES`] together.
    pub nodes: Vec<String>,
    /// The `version` that the author gave; a number keeps its spelling, so `1.10` is not `1.1`. At most
    /// [`MAX_VERSION_BYTES`].
    pub version: Option<String>,
}

/// Trims `text` and cuts it to `max` bytes; none if it is blank.
pub(super) fn label(text: &str, max: usize) -> Option<Cow<'_, str>> {
    let text = text.trim();
    (!text.is_empty()).then(|| cut(text, max))
}

/// The length of `text` as it is written in JSON, without the quotes, in bytes.
pub(crate) fn written_bytes(text: &str) -> usize {
    text.chars().map(written).sum()
}

fn written(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => c.len_utf8(),
    }
}

/// Cuts `text` to `max` bytes as it is written in JSON, with `…` at the end if it was longer.
pub(super) fn cut(text: &str, max: usize) -> Cow<'_, str> {
    const ELLIPSIS: char = '…';
    if written_bytes(text) <= max {
        return Cow::Borrowed(text);
    }
    let (mut short, mut length) = (String::with_capacity(max), ELLIPSIS.len_utf8());
    for c in text.chars() {
        length += written(c);
        if length > max {
            break;
        }
        short.push(c);
    }
    short.push(ELLIPSIS);
    Cow::Owned(short)
}

/// Distinct labels in order of first appearance, bounded in number and length.
#[derive(Debug)]
pub(super) struct Labels {
    most: usize,
    longest: usize,
    /// How many bytes of JSON more may be taken.
    room: usize,
    found: Vec<String>,
}

impl Labels {
    pub(super) fn tags() -> Self {
        Self { most: MAX_TAGS, longest: MAX_TAG_BYTES, room: MAX_TAGS_BYTES, found: Vec::new() }
    }

    pub(super) fn node_types() -> Self {
        let (most, longest) = (MAX_NODE_TYPES, MAX_NODE_TYPE_BYTES);
        Self { most, longest, room: MAX_NODES_BYTES, found: Vec::new() }
    }

    pub(super) fn add(&mut self, text: &str) {
        if self.found.len() == self.most {
            return;
        }
        // Searching a list this short is cheaper than hashing.
        if let Some(label) = label(text, self.longest)
            && !self.found.iter().any(|known| *known == label)
        {
            // Two quotes and a comma. The first label without room ends the list.
            match self.room.checked_sub(written_bytes(&label) + 3) {
                Some(room) => self.room = room,
                None => self.most = self.found.len(),
            }
            if self.found.len() < self.most {
                self.found.push(label.into_owned());
            }
        }
    }

    /// Takes the labels; none if there are none.
    pub(super) fn take(&mut self) -> Option<Vec<String>> {
        (!self.found.is_empty()).then(|| std::mem::take(&mut self.found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_characters_and_within_the_bound() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abc…");
        assert_eq!(cut("ääää", 7), "ää…");
        assert_eq!(cut("äääää", 8), "ää…");
        assert_eq!(cut("🦀🦀🦀", 8), "🦀…");
        assert_eq!(cut("\"\"\"\"", 7), "\"\"…");
        assert_eq!(cut("\u{1}\u{1}", 12), "\u{1}\u{1}");
        assert_eq!(cut("\u{1}\u{1}", 11), "\u{1}…");
    }

    #[test]
    fn written_length_is_that_of_json() {
        for c in (0..=0x3000).filter_map(char::from_u32).chain(['🦀']) {
            let json = serde_json::to_string(&c).unwrap();
            assert_eq!(written_bytes(&c.to_string()), json.len() - 2, "{c:?}");
        }
    }

    #[test]
    fn list_is_bounded_as_a_whole() {
        let mut nodes = Labels::node_types();
        for n in 0..MAX_NODE_TYPES {
            nodes.add(&format!("{n:x>MAX_NODE_TYPE_BYTES$}"));
        }
        let found = nodes.take().unwrap();
        assert_eq!(found.len(), MAX_NODES_BYTES / (MAX_NODE_TYPE_BYTES + 3));
        assert!(serde_json::to_string(&found).unwrap().len() <= MAX_NODES_BYTES);
    }

    #[test]
    fn labels_are_trimmed_distinct_ordered_and_bounded() {
        let mut tags = Labels::tags();
        for tag in ["b", " a ", "", "  ", "a", "b"] {
            tags.add(tag);
        }
        tags.add(&"x".repeat(MAX_TAG_BYTES + 1));
        tags.add(&"x".repeat(MAX_TAG_BYTES + 2));
        let found = tags.take().unwrap();
        assert_eq!(found[..2], ["b", "a"]);
        assert_eq!(found.len(), 3, "what is equal once cut counts once");
        assert_eq!(found[2].len(), MAX_TAG_BYTES);

        for n in 0..MAX_TAGS * 2 {
            tags.add(&n.to_string());
        }
        let found = tags.take().unwrap();
        assert_eq!(found.len(), MAX_TAGS);
        assert_eq!(found.last().unwrap(), &(MAX_TAGS - 1).to_string());
        assert_eq!(tags.take(), None);
    }
}
