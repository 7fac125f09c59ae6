//! The values of a document that matter, and what is kept of them.

use std::borrow::Cow;

use super::super::place::Place;

/// An object that may describe the workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// The root: bare IR, or the wrapper of a saved workflow.
    Top,
    /// `metadata`, in documents that keep it separate.
    Metadata,
    /// `ir`, the IR within a wrapper.
    Ir,
}

impl Level {
    pub(super) fn place(self) -> Place<'static> {
        match self {
            Self::Top => Place::Root,
            Self::Metadata => Place::Key(&Place::Root, "metadata"),
            Self::Ir => Place::Key(&Place::Root, "ir"),
        }
    }
}

/// The role of a value in the document, given by its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Level(Level),
    /// The root of a document of another tool.
    Foreign,
    Nodes(Level),
    Node(Level),
    Edges(Level),
    Edge(Level),
    Tags(Level),
    Tag(Level),
    /// A field that is read, without the values inside it.
    Field,
    /// Only checked for the general rules: no duplicate keys, not too deep.
    Other,
}

impl Role {
    /// The role of the field `key` of an object in this role.
    pub(super) fn of_field(self, key: &str) -> Self {
        match (self, key) {
            (Self::Level(Level::Top), "metadata") => Self::Level(Level::Metadata),
            (Self::Level(Level::Top), "ir") => Self::Level(Level::Ir),
            (Self::Level(level), "tags") => Self::Tags(level),
            (Self::Level(level), "nodes") => Self::Nodes(level),
            (Self::Level(_), "name" | "description" | "version") => Self::Field,
            (Self::Foreign, "name" | "description") => Self::Field,
            (Self::Level(Level::Metadata), _) => Self::Other,
            (Self::Level(level), "edges") => Self::Edges(level),
            (Self::Level(_), "ir_version" | "start_node") => Self::Field,
            (Self::Node(_), "id" | "type" | "params") => Self::Field,
            (Self::Edge(_), "from" | "to" | "action" | "condition") => Self::Field,
            _ => Self::Other,
        }
    }

    /// The role of the elements of an array in this role.
    pub(super) fn of_element(self) -> Self {
        match self {
            Self::Nodes(level) => Self::Node(level),
            Self::Edges(level) => Self::Edge(level),
            Self::Tags(level) => Self::Tag(level),
            _ => Self::Other,
        }
    }
}

/// The part of a JSON value that is kept.
#[derive(Debug)]
pub(super) struct Value<'de> {
    /// Its rank in document order: values are counted where they begin.
    pub(super) ordinal: u64,
    pub(super) data: Data<'de>,
}

/// The data of a value. Nothing is kept of arrays: their elements are passed on one by one. So the memory is
/// bounded by the content of the workflow, and not by what a hostile document of 16 MiB could expand to.
#[derive(Debug)]
pub(super) enum Data<'de> {
    Null,
    Bool,
    /// The number as it is written, with all digits.
    Number(&'de str),
    /// Empty for the role [`Role::Other`].
    Text(Cow<'de, str>),
    Array,
    /// The fields whose role is not [`Role::Other`].
    Object(Vec<(Cow<'de, str>, Value<'de>)>),
}

impl<'de> Value<'de> {
    /// The field `key` of an object; null counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Data::Object(fields) = &self.data else { return None };
        let (_, value) = fields.iter().find(|(name, _)| name == key)?;
        (!matches!(value.data, Data::Null)).then_some(value)
    }

    /// The type, with its article, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.data {
            Data::Null => "null",
            Data::Bool => "a boolean",
            Data::Number(_) => "a number",
            Data::Text(_) => "a string",
            Data::Array => "an array",
            Data::Object(_) => "an object",
        }
    }

    pub(super) fn text(&self) -> Option<&Cow<'de, str>> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }
}
