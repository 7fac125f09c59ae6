//! The rules for a workflow, beyond being valid JSON.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::super::defects::Defects;
use super::super::error::{DocumentError, Reason};
use super::super::metadata::{self, Labels, Metadata};
use super::super::place::{Place, excerpt};
use super::outline::{Data, Level, Role, Value};

/// Collects nodes, edges and tags while the document is read, and checks it at the end.
#[derive(Debug)]
pub(super) struct Check<'de> {
    pub(super) defects: Defects,
    top: Part<'de>,
    metadata: Part<'de>,
    ir: Part<'de>,
}

/// The collected arrays of one level.
#[derive(Debug)]
struct Part<'de> {
    /// The number of elements in `nodes`.
    nodes: usize,
    /// The index of the first node with each id.
    ids: HashMap<Cow<'de, str>, usize>,
    node_types: Labels,
    tags: Labels,
    /// Checked at the end, because nodes may follow edges.
    edge_ends: Vec<EdgeEnd<'de>>,
}

/// A node named by an edge.
#[derive(Debug)]
struct EdgeEnd<'de> {
    ordinal: u64,
    edge: usize,
    key: &'static str,
    id: Cow<'de, str>,
}

impl Part<'_> {
    fn new() -> Self {
        Self {
            nodes: 0,
            ids: HashMap::new(),
            node_types: Labels::node_types(),
            tags: Labels::tags(),
            edge_ends: Vec::new(),
        }
    }
}

impl<'de> Check<'de> {
    pub(super) fn new() -> Self {
        Self { defects: Defects::default(), top: Part::new(), metadata: Part::new(), ir: Part::new() }
    }

    /// Processes an element of `nodes`, `edges` or `tags`, according to its role.
    pub(super) fn element(&mut self, role: Role, index: usize, value: &Value<'de>) {
        match role {
            Role::Node(Level::Metadata) => self.claimed_node(value),
            Role::Node(level) => self.node(level, index, value),
            Role::Edge(level) => self.edge(level, index, value),
            Role::Tag(level) => self.tag(level, index, value),
            Role::Level(_)
            | Role::Foreign
            | Role::Nodes(_)
            | Role::Edges(_)
            | Role::Tags(_)
            | Role::Field
            | Role::Other => {}
        }
    }

    /// Checks the whole workflow, given its root. If it must be complete, `ir_version` and at least one node are
    /// required.
    ///
    /// # Errors
    ///
    /// `Invalid`, with all defects found so far.
    pub(super) fn finish(mut self, root: &Value<'de>, is_complete: bool) -> Result<Metadata, DocumentError> {
        if self.object(root, &Place::Root) {
            self.graph(Level::Top, root);
            let ir = root.get("ir");
            let readable = ir.is_none_or(|ir| self.object(ir, &Level::Ir.place()));
            if let Some(ir) = ir {
                self.graph(Level::Ir, ir);
            }
            if is_complete && readable {
                self.required(root, ir);
            }
        }
        // The levels in the order in which a field is looked up.
        let levels =
            [(Level::Top, Some(root)), (Level::Metadata, root.get("metadata")), (Level::Ir, root.get("ir"))];
        let mut found = Metadata::default();
        for (level, value) in levels {
            if let Some(value) = value {
                self.describe(level, value, &mut found);
            }
        }
        let Self { top, metadata, ir, .. } = &mut self;
        found.tags = [&mut top.tags, &mut metadata.tags, &mut ir.tags]
            .into_iter()
            .find_map(Labels::take)
            .unwrap_or_default();
        found.nodes = [&mut top.node_types, &mut ir.node_types, &mut metadata.node_types]
            .into_iter()
            .find_map(Labels::take)
            .unwrap_or_default();
        self.defects.into_result().map(|()| found)
    }

    /// The same for a document of another tool: only the general rules apply to it. A `name` and a
    /// `description` are taken from its root if they are texts.
    ///
    /// # Errors
    ///
    /// `Invalid`, with all defects found so far.
    pub(super) fn finish_foreign(mut self, root: &Value<'de>) -> Result<Metadata, DocumentError> {
        self.object(root, &Place::Root);
        let own = |key, max| {
            let text = root.get(key).and_then(Value::text);
            text.and_then(|text| metadata::label(text, max)).map(Cow::into_owned)
        };
        let name = own("name", metadata::MAX_NAME_BYTES);
        let description = own("description", metadata::MAX_DESCRIPTION_BYTES);
        self.defects.into_result().map(|()| Metadata { name, description, ..Metadata::default() })
    }

    fn node(&mut self, level: Level, index: usize, node: &Value<'de>) {
        self.part(level).nodes += 1;
        let top = level.place();
        let nodes = top.key("nodes");
        let place = nodes.index(index);
        if !self.object(node, &place) {
            return;
        }
        if let Some((ordinal, id)) = self.required_text(node, &place, "id") {
            match self.part(level).ids.entry(id.clone()) {
                Entry::Vacant(free) => {
                    free.insert(index);
                }
                Entry::Occupied(taken) => {
                    let first = nodes.index(*taken.get()).key("id").to_string();
                    let reason = Reason::DuplicateId { id: excerpt(&id).into_owned(), first };
                    self.defects.report(ordinal, &place.key("id"), reason);
                }
            }
        }
        if let Some((_, node_type)) = self.required_text(node, &place, "type") {
            self.part(level).node_types.add(&node_type);
        }
        if let Some(params) = node.get("params") {
            self.object(params, &place.key("params"));
        }
    }

    /// Records the type that `metadata.nodes` states for a node, as a string or in an object. These nodes are
    /// not executed, so no rules apply to them.
    fn claimed_node(&mut self, node: &Value<'de>) {
        let node_type = node.get("type").unwrap_or(node).text();
        if let Some(node_type) = node_type {
            self.metadata.node_types.add(node_type);
        }
    }

    fn edge(&mut self, level: Level, index: usize, edge: &Value<'de>) {
        let top = level.place();
        let edges = top.key("edges");
        let place = edges.index(index);
        if !self.object(edge, &place) {
            return;
        }
        for key in ["from", "to"] {
            if let Some((ordinal, id)) = self.required_text(edge, &place, key) {
                self.part(level).edge_ends.push(EdgeEnd { ordinal, edge: index, key, id });
            }
        }
        for key in ["action", "condition"] {
            self.optional_text(edge, &place, key);
        }
    }

    fn tag(&mut self, level: Level, index: usize, tag: &Value<'de>) {
        match tag.text() {
            Some(text) => self.part(level).tags.add(text),
            None => {
                let top = level.place();
                self.wrong_type(tag, &top.key("tags").index(index), "a string");
            }
        }
    }

    /// Checks the graph of one level, after its nodes and edges were collected.
    fn graph(&mut self, level: Level, object: &Value<'de>) {
        let place = level.place();
        for key in ["nodes", "edges"] {
            self.optional_array(object, &place, key);
        }
        if let Some(version) = self.optional_text(object, &place, "ir_version")
            && !is_ir_version(version)
        {
            let reason = Reason::IrVersion { found: excerpt(version).into_owned() };
            self.report(object, &place, "ir_version", reason);
        }
        for EdgeEnd { ordinal, edge, key, id } in std::mem::take(&mut self.part(level).edge_ends) {
            if !self.has_node(level, &id) {
                let reason = Reason::UnknownNode { id: excerpt(&id).into_owned() };
                self.defects.report(ordinal, &place.key("edges").index(edge).key(key), reason);
            }
        }
        if let Some(start) = self.optional_text(object, &place, "start_node")
            && !self.has_node(level, start)
        {
            let reason = Reason::UnknownNode { id: excerpt(start).into_owned() };
            self.report(object, &place, "start_node", reason);
        }
    }

    /// Whether the graph of `level` has the node. A top level without nodes of its own refers to those of
    /// `ir`.
    fn has_node(&self, level: Level, id: &str) -> bool {
        let part = if level == Level::Ir || self.top.nodes == 0 { &self.ir } else { &self.top };
        part.ids.contains_key(id)
    }

    /// Checks the fields that complete IR must have. The version may be in the top level instead.
    fn required(&mut self, root: &Value<'de>, ir: Option<&Value<'de>>) {
        let (level, object) = ir.map_or((Level::Top, root), |ir| (Level::Ir, ir));
        let place = level.place();
        if root.get("ir_version").or_else(|| object.get("ir_version")).is_none() {
            self.defects.report(object.ordinal, &place.key("ir_version"), Reason::Missing);
        }
        match object.get("nodes") {
            None => self.defects.report(object.ordinal, &place.key("nodes"), Reason::Missing),
            Some(nodes) if matches!(nodes.data, Data::Array) && self.part(level).nodes == 0 => {
                self.defects.report(nodes.ordinal, &place.key("nodes"), Reason::Empty);
            }
            Some(_) => {}
        }
    }

    /// Fills the fields of `found` that are still empty from one level.
    fn describe(&mut self, level: Level, object: &Value<'de>, found: &mut Metadata) {
        let place = level.place();
        let open = |field: &mut Option<String>, text: Option<&str>, max| {
            if field.is_none() {
                *field = text.and_then(|text| metadata::label(text, max)).map(Cow::into_owned);
            }
        };
        let name = self.optional_text(object, &place, "name");
        open(&mut found.name, name, metadata::MAX_NAME_BYTES);
        let description = self.optional_text(object, &place, "description");
        open(&mut found.description, description, metadata::MAX_DESCRIPTION_BYTES);
        self.optional_array(object, &place, "tags");
        let version = object.get("version").and_then(|version| match &version.data {
            Data::Text(text) => Some(Cow::Borrowed(text.as_ref())),
            Data::Number(number) => Some(Cow::Borrowed(*number)),
            _ => {
                self.wrong_type(version, &place.key("version"), "a string or a number");
                None
            }
        });
        open(&mut found.version, version.as_deref(), metadata::MAX_VERSION_BYTES);
    }

    fn part(&mut self, level: Level) -> &mut Part<'de> {
        match level {
            Level::Top => &mut self.top,
            Level::Metadata => &mut self.metadata,
            Level::Ir => &mut self.ir,
        }
    }

    /// Whether `value` is an object; reports a defect if not.
    fn object(&mut self, value: &Value<'de>, place: &Place<'_>) -> bool {
        let is_object = matches!(value.data, Data::Object(_));
        if !is_object {
            self.wrong_type(value, place, "an object");
        }
        is_object
    }

    fn optional_array(&mut self, object: &Value<'de>, place: &Place<'_>, key: &'static str) {
        if let Some(value) = object.get(key)
            && !matches!(value.data, Data::Array)
        {
            self.wrong_type(value, &place.key(key), "an array");
        }
    }

    fn optional_text<'v>(
        &mut self,
        object: &'v Value<'de>,
        place: &Place<'_>,
        key: &'static str,
    ) -> Option<&'v str> {
        let value = object.get(key)?;
        if value.text().is_none() {
            self.wrong_type(value, &place.key(key), "a string");
        }
        value.text().map(Cow::as_ref)
    }

    /// Returns the text under `key` with its ordinal; reports a defect if it is missing, not a text, or
    /// empty.
    fn required_text(
        &mut self,
        object: &Value<'de>,
        place: &Place<'_>,
        key: &'static str,
    ) -> Option<(u64, Cow<'de, str>)> {
        let Some(value) = object.get(key) else {
            self.defects.report(object.ordinal, &place.key(key), Reason::Missing);
            return None;
        };
        match value.text() {
            None => self.wrong_type(value, &place.key(key), "a string"),
            Some(text) if text.is_empty() => {
                self.defects.report(value.ordinal, &place.key(key), Reason::Empty)
            }
            Some(text) => return Some((value.ordinal, text.clone())),
        }
        None
    }

    fn report(&mut self, object: &Value<'de>, place: &Place<'_>, key: &'static str, reason: Reason) {
        let ordinal = object.get(key).unwrap_or(object).ordinal;
        self.defects.report(ordinal, &place.key(key), reason);
    }

    fn wrong_type(&mut self, value: &Value<'de>, place: &Place<'_>, expected: &'static str) {
        self.defects.report(value.ordinal, place, Reason::WrongType { expected, found: value.kind() });
    }
}

/// Three numbers separated by dots, as in the schema of the IR: `^\d+\.\d+\.\d+$`.
fn is_ir_version(text: &str) -> bool {
    let mut numbers = 0;
    text.split('.').all(|part| {
        numbers += 1;
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())
    }) && numbers == 3
}
