//! A document as the merge reads it, split into parts down to the values that are merged as a whole.

use std::borrow::Cow;

use super::{cursor::Cursor, text};

/// The role of a value in a workflow, given by its position. It decides how the value is split into parts.
/// The positions are those of [`document`](crate::document).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
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
    pub(super) fn may_be_absent(self) -> bool {
        matches!(self, Self::Nodes | Self::Edges | Self::Tags | Self::Collection)
    }

    /// Whether the graph check depends on this value after the merge.
    pub(super) fn is_graph(self) -> bool {
        matches!(self, Self::Document | Self::Ir | Self::Nodes | Self::Edges)
    }
}

#[derive(Debug)]
pub(super) enum Value<'d> {
    /// The text of a literal, number, string or array. Arrays that are merged as a whole are not parsed
    /// before they are compared, so that millions of small values take no memory.
    Whole(&'d str),
    Parts(Parts<'d>),
}

/// An object, or a list whose elements have names.
#[derive(Debug)]
pub(super) struct Parts<'d> {
    pub(super) text: &'d str,
    pub(super) role: Role,
    pub(super) is_list: bool,
    pub(super) parts: Vec<Part<'d>>,
}

#[derive(Debug)]
pub(super) struct Part<'d> {
    /// The key as it is written; empty in a list.
    pub(super) key: &'d str,
    /// The key, the id of a node, or the tag. Edges are named only once all versions of them are known.
    pub(super) name: Cow<'d, str>,
    pub(super) value: Value<'d>,
}

impl<'d> Value<'d> {
    /// Reads a document.
    pub(super) fn read(text: &'d str) -> Self {
        Self::read_next(&mut Cursor::new(text), Role::Document)
    }

    fn read_next(cursor: &mut Cursor<'d>, role: Role) -> Self {
        let next = cursor.peek();
        let start = cursor.at();
        let mut parts = Vec::new();
        let element = role.of_element();
        let is_list = match (next, element) {
            (Some(b'{'), _) => false,
            (Some(b'['), Some(_)) => true,
            _ => return Self::Whole(cursor.value()),
        };
        let close = if is_list { b']' } else { b'}' };
        cursor.eat(if is_list { b'[' } else { b'{' });
        while cursor.peek().is_some_and(|next| next != close) {
            let part = match element {
                Some(role) if is_list => {
                    let value = Self::read_next(cursor, role);
                    let name = if role == Role::Node { value.get("id") } else { Some(&value) };
                    let name = name.and_then(Self::string).unwrap_or_default();
                    Part { key: "", name, value }
                }
                _ => {
                    let key = cursor.key();
                    let name = text::unquoted(key);
                    let value = Self::read_next(cursor, role.of_member(&name));
                    Part { key, name, value }
                }
            };
            parts.push(part);
            if !cursor.eat(b',') {
                break;
            }
        }
        cursor.eat(close);
        Self::Parts(Parts { text: cursor.since(start), role, is_list, parts })
    }

    pub(super) fn text(&self) -> &'d str {
        match self {
            Self::Whole(text) | Self::Parts(Parts { text, .. }) => text,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Whole("null"))
    }

    /// Its value, if it is a string.
    pub(super) fn string(&self) -> Option<Cow<'d, str>> {
        match self {
            Self::Whole(text) if text.starts_with('"') => Some(text::unquoted(text)),
            _ => None,
        }
    }

    pub(super) fn parts(&self) -> Option<&Parts<'d>> {
        match self {
            Self::Whole(_) => None,
            Self::Parts(parts) => Some(parts),
        }
    }

    /// The member `key` of an object.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let parts = self.parts().filter(|parts| !parts.is_list)?;
        parts.parts.iter().find(|part| part.name == key).map(|part| &part.value)
    }

    /// Whether both are equal by [`text::same`].
    pub(super) fn same(&self, other: &Self) -> bool {
        text::same(self.text(), other.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_is_split_where_its_parts_are_merged() {
        let text = r#"{"nodes": [{"id": "\u0061", "params": {"nodes": [{"id": "x"}]}}], "list": [1, {"a": 2}],
            "tags": ["t"], "metadata": {"nodes": ["claimed"], "tags": null}}"#;
        let root = Value::read(text);
        let nodes = root.get("nodes").unwrap().parts().unwrap();
        assert_eq!((nodes.is_list, nodes.role, nodes.parts[0].name.as_ref()), (true, Role::Nodes, "a"));
        let params = nodes.parts[0].value.get("params").unwrap();
        assert_eq!(params.parts().unwrap().role, Role::Collection);
        assert!(
            matches!(params.get("nodes"), Some(Value::Whole(_))),
            "only the workflow's own nodes have names"
        );
        assert!(matches!(root.get("list"), Some(Value::Whole(r#"[1, {"a": 2}]"#))));
        assert_eq!(root.get("tags").unwrap().parts().unwrap().parts[0].name, "t");
        let metadata = root.get("metadata").unwrap();
        assert!(matches!(metadata.get("nodes"), Some(Value::Whole(_))));
        assert!(metadata.get("tags").unwrap().is_null());
        assert_eq!(root.text(), text);
    }
}
