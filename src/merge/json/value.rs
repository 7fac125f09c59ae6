//! A document as the merge reads it: values in the text, split into parts when they are needed.

use std::borrow::Cow;

use super::cursor::{Cursor, Source};
use super::text;

/// The role of a value in a workflow, given by its position. It decides how the value is split into parts.
/// The positions are those of [`document`](crate::document).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::merge) enum Role {
    /// The root: bare IR, or the wrapper of a saved workflow.
    Document,
    /// `metadata` at the root.
    Metadata,
    /// `ir` at the root.
    Ir,
    Nodes,
    Node,
    Edges,
    Edge,
    Tags,
    /// An object of independent members, where an absent object is equivalent to an empty one.
    Collection,
    Other,
}

impl Role {
    fn of_member(self, key: &str) -> Self {
        match (self, key) {
            (Self::Document, "ir") => Self::Ir,
            (Self::Document, "metadata") => Self::Metadata,
            (Self::Document | Self::Ir, "nodes") => Self::Nodes,
            (Self::Document | Self::Ir, "edges") => Self::Edges,
            (Self::Document | Self::Ir | Self::Metadata, "tags") => Self::Tags,
            (Self::Document | Self::Ir, "inputs" | "outputs" | "mappings") | (Self::Node, "params") => {
                Self::Collection
            }
            _ => Self::Other,
        }
    }

    fn of_element(self) -> Option<Self> {
        match self {
            Self::Nodes => Some(Self::Node),
            Self::Edges => Some(Self::Edge),
            Self::Tags => Some(Self::Other),
            _ => None,
        }
    }

    /// Whether an absent or null value is equivalent to an empty one.
    pub(in crate::merge) fn may_be_absent(self) -> bool {
        matches!(self, Self::Nodes | Self::Edges | Self::Tags | Self::Collection)
    }

    /// Whether all members have the role [`Other`](Self::Other).
    fn is_other(self) -> bool {
        matches!(self, Self::Collection | Self::Edge | Self::Other)
    }

    /// Whether the graph check depends on this value after the merge.
    pub(in crate::merge) fn is_graph(self) -> bool {
        matches!(self, Self::Document | Self::Ir | Self::Nodes | Self::Edges)
    }
}

/// A value in a document, as a range of its text. Nothing inside it has been read.
#[derive(Debug, Clone, Copy)]
pub(in crate::merge) struct Value<'d> {
    source: &'d Source<'d>,
    start: Offset,
    end: Offset,
    pub(in crate::merge) role: Role,
}

/// A position in a text, in bytes. A value of many parts takes as little memory as possible, and what may be
/// compared is far smaller than 4 GiB ([`MAX_COMPARED_BYTES`](crate::merge::MAX_COMPARED_BYTES)).
type Offset = u32;

/// The parts of an object, or of a list whose elements have names.
#[derive(Debug)]
pub(in crate::merge) struct Parts<'d> {
    whole: Value<'d>,
    pub(in crate::merge) is_list: bool,
    parts: Vec<Part>,
}

/// A member of an object or an element of a list.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// The start of the key; that of the value in a list.
    key: Offset,
    start: Offset,
    end: Offset,
}

impl<'d> Value<'d> {
    /// The root of a document.
    pub(in crate::merge) fn root(source: &'d Source<'d>) -> Self {
        let mut cursor = source.cursor(0);
        cursor.peek();
        let start = cursor.at();
        cursor.value();
        Self { source, start: offset(start), end: offset(cursor.at()), role: Role::Document }
    }

    /// The same value in another role.
    pub(super) fn in_role(self, role: Role) -> Self {
        Self { role, ..self }
    }

    pub(in crate::merge) fn text(self) -> &'d str {
        slice(self.source, self.start, self.end)
    }

    /// A cursor before this value.
    pub(in crate::merge) fn cursor(self) -> Cursor<'d> {
        self.source.cursor(self.start as usize)
    }

    pub(in crate::merge) fn is_null(self) -> bool {
        self.text() == "null"
    }

    /// Its value, if it is a string.
    pub(in crate::merge) fn string(self) -> Option<Cow<'d, str>> {
        let text = self.text();
        text.starts_with('"').then(|| text::unquoted(text))
    }

    /// Whether it is a list; none if it has no parts: it is a literal, a number, a string, or an array that is
    /// merged as a whole.
    pub(in crate::merge) fn is_list(self) -> Option<bool> {
        match self.text().as_bytes().first() {
            Some(b'{') => Some(false),
            Some(b'[') => self.role.of_element().map(|_| true),
            _ => None,
        }
    }

    /// Splits it into parts; none if it has no parts.
    pub(in crate::merge) fn parts(self) -> Option<Parts<'d>> {
        let is_list = self.is_list()?;
        let mut parts = Vec::new();
        self.walk(is_list, |part| {
            parts.push(part);
            true
        });
        Some(Parts { whole: self, is_list, parts })
    }

    /// Passes on the parts until `goes_on` returns false.
    fn walk(self, is_list: bool, mut goes_on: impl FnMut(Part) -> bool) {
        let mut cursor = self.cursor();
        let (open, close) = if is_list { (b'[', b']') } else { (b'{', b'}') };
        cursor.eat(open);
        while cursor.peek().is_some_and(|next| next != close) {
            let key = cursor.at();
            if !is_list {
                cursor.key();
                cursor.peek();
            }
            let start = cursor.at();
            cursor.value();
            let part = Part { key: offset(key), start: offset(start), end: offset(cursor.at()) };
            if !goes_on(part) || !cursor.eat(b',') {
                break;
            }
        }
    }

    /// The member `key` of an object.
    pub(in crate::merge) fn get(self, key: &str) -> Option<Self> {
        if self.is_list() != Some(false) {
            return None;
        }
        let mut found = None;
        self.walk(false, |part| {
            let is_it = text::is(part.written_key(self.source), key);
            if is_it {
                found = Some(part.value(self, self.role.of_member(key)));
            }
            !is_it
        });
        found
    }

    /// Whether both are equal by [`text::same`].
    pub(in crate::merge) fn same(self, other: Self) -> bool {
        self.text() == other.text() || text::same(&mut self.cursor(), &mut other.cursor())
    }
}

impl<'d> Parts<'d> {
    pub(in crate::merge) fn text(&self) -> &'d str {
        self.whole.text()
    }

    pub(in crate::merge) fn role(&self) -> Role {
        self.whole.role
    }

    pub(in crate::merge) fn len(&self) -> usize {
        self.parts.len()
    }

    /// The key of a part as it is written; empty in a list.
    pub(in crate::merge) fn key(&self, nth: usize) -> &'d str {
        self.parts.get(nth).map(|part| part.written_key(self.whole.source)).unwrap_or_default()
    }

    pub(in crate::merge) fn value(&self, nth: usize) -> Option<Value<'d>> {
        self.value_with(nth, self.role_of(nth))
    }

    /// The text of an element.
    pub(in crate::merge) fn element(&self, nth: usize) -> Option<&'d str> {
        self.value_with(nth, Role::Other).map(Value::text)
    }

    /// The value of a part whose role is known.
    pub(in crate::merge) fn value_with(&self, nth: usize, role: Role) -> Option<Value<'d>> {
        self.parts.get(nth).map(|part| part.value(self.whole, role))
    }

    /// The role of a part, which follows from its name.
    pub(in crate::merge) fn role_of(&self, nth: usize) -> Role {
        match self.role().of_element() {
            Some(role) if self.is_list => role,
            _ if self.role().is_other() => Role::Other,
            _ => self.role().of_member(&text::unquoted(self.key(nth))),
        }
    }

    /// The member `key` of an object.
    pub(in crate::merge) fn get(&self, key: &str) -> Option<Value<'d>> {
        (0..self.len()).find(|nth| self.is_member(*nth, key)).and_then(|nth| self.value(nth))
    }

    /// Whether a part is the member `key` of an object.
    pub(in crate::merge) fn is_member(&self, nth: usize, key: &str) -> bool {
        !self.is_list && text::is(self.key(nth), key)
    }

    pub(in crate::merge) fn values(&self) -> impl Iterator<Item = Value<'d>> {
        (0..self.len()).filter_map(|nth| self.value(nth))
    }

    /// The key, the id of a node, or the tag. Edges are named only once all versions of them are known.
    pub(in crate::merge) fn name(&self, nth: usize) -> Cow<'d, str> {
        if !self.is_list {
            return text::unquoted(self.key(nth));
        }
        let value = self.value(nth);
        let name = if self.role() == Role::Nodes { value.and_then(|node| node.get("id")) } else { value };
        name.and_then(Value::string).unwrap_or_default()
    }
}

impl Part {
    /// The key as it is written: what is before the value, without the colon.
    fn written_key<'d>(self, source: &Source<'d>) -> &'d str {
        let key = slice(source, self.key, self.start).trim_ascii_end();
        key.strip_suffix(':').unwrap_or(key).trim_ascii_end()
    }

    fn value(self, whole: Value<'_>, role: Role) -> Value<'_> {
        Value { start: self.start, end: self.end, role, ..whole }
    }
}

fn offset(at: usize) -> Offset {
    Offset::try_from(at).unwrap_or(Offset::MAX)
}

fn slice<'d>(source: &Source<'d>, start: Offset, end: Offset) -> &'d str {
    source.text().get(start as usize..end as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_is_split_where_its_parts_are_merged() {
        let text = r#"{"nodes": [{"id": "\u0061", "params": {"nodes": [{"id": "x"}]}}], "list": [1, {"a": 2}],
            "tags": ["t"], "metadata": {"nodes": ["claimed"], "tags": null}}"#;
        let source = Source::new(text);
        let root = Value::root(&source);
        let nodes = root.get("nodes").unwrap().parts().unwrap();
        assert_eq!((nodes.is_list, nodes.role(), nodes.name(0).as_ref()), (true, Role::Nodes, "a"));
        let params = nodes.value(0).unwrap().get("params").unwrap();
        assert_eq!(params.role, Role::Collection);
        let is_whole = |value: Value<'_>| value.parts().is_none();
        assert!(is_whole(params.get("nodes").unwrap()), "only the workflow's own nodes have names");
        let list = root.get("list").unwrap();
        assert!(is_whole(list) && list.text() == r#"[1, {"a": 2}]"#);
        assert_eq!(root.get("tags").unwrap().parts().unwrap().name(0), "t");
        let metadata = root.get("metadata").unwrap();
        assert!(is_whole(metadata.get("nodes").unwrap()));
        assert!(metadata.get("tags").unwrap().is_null());
        assert_eq!(root.text(), text);
    }
}
