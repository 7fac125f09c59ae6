//! Tokens to a tree.

use std::collections::BTreeMap;

use crate::document::quoted;

use super::scalar::{self, ScalarKind};
use super::scanner::{Scanner, TokenKind};
use super::{ALIASED_PER_BYTE, MAX_ALIASED, MAX_DEPTH, YamlError, YamlMap, YamlValue};

type Read<T> = Result<T, YamlError>;

/// Reads the only document of `text`.
pub(super) fn document(text: &str) -> Read<YamlValue> {
    let left = text.len().saturating_add(64).saturating_mul(ALIASED_PER_BYTE).min(MAX_ALIASED);
    let mut composer = Composer { scanner: Scanner::new(text)?, anchors: BTreeMap::new(), left };
    composer.document()
}

struct Composer {
    scanner: Scanner,
    /// The values of the anchors; none while the value is being read.
    anchors: BTreeMap<String, Option<Anchored>>,
    /// What aliases may still add to the tree, in the units of [`MAX_ALIASED`].
    left: usize,
}

#[derive(Clone)]
struct Anchored {
    node: Node,
    weight: usize,
    depth: usize,
}

/// A value, or what is only allowed as a key.
#[derive(Clone)]
enum Node {
    Value(YamlValue),
    /// `<<`, which merges the maps that are its value.
    Merge,
    /// `=`, which as a key is a text.
    Default,
}

impl Node {
    fn into_value(self, line: usize) -> Read<YamlValue> {
        match self {
            Node::Value(value) => Ok(value),
            Node::Merge => Err(YamlError::new(line, "<< is only allowed as a key")),
            Node::Default => Err(YamlError::new(line, "= is only allowed as a key")),
        }
    }
}

/// What may be at a place.
#[derive(Clone, Copy, PartialEq)]
enum Context {
    Block,
    /// In block context the entries of a list may be at the column of its key.
    BlockOrList,
    Flow,
}

impl Composer {
    fn document(&mut self) -> Read<YamlValue> {
        let mut explicit = false;
        let mut versions = 0;
        loop {
            match self.kind()? {
                TokenKind::StreamEnd if versions == 0 && !explicit => return Ok(YamlValue::Null),
                TokenKind::Version(major) => {
                    let major = *major;
                    versions += 1;
                    if versions > 1 || major != 1 {
                        return self.refuse("the %YAML directive must be there once, with version 1");
                    }
                    explicit = true;
                }
                TokenKind::OtherDirective => explicit = true,
                TokenKind::DocumentStart => {
                    self.scanner.next_token()?;
                    break;
                }
                _ if explicit => return self.refuse("a directive must be followed by ---"),
                _ => return self.content(Some(())),
            }
            self.scanner.next_token()?;
        }
        self.content(None)
    }

    /// Reads the root and the end. Only after `---` may the root be missing.
    fn content(&mut self, required: Option<()>) -> Read<YamlValue> {
        let empty = matches!(
            self.kind()?,
            TokenKind::Version(_)
                | TokenKind::OtherDirective
                | TokenKind::DocumentStart
                | TokenKind::DocumentEnd
                | TokenKind::StreamEnd
        );
        let root = if empty && required.is_none() { YamlValue::Null } else { self.value(Context::Block, 1)? };
        while *self.kind()? == TokenKind::DocumentEnd {
            self.scanner.next_token()?;
        }
        match self.kind()? {
            TokenKind::StreamEnd => Ok(root),
            TokenKind::DocumentStart => self.refuse("there is a second document"),
            _ => self.refuse("something follows after the value"),
        }
    }

    fn kind(&mut self) -> Read<&TokenKind> {
        Ok(&self.scanner.peek_token()?.kind)
    }

    fn line(&mut self) -> Read<usize> {
        Ok(self.scanner.peek_token()?.line)
    }

    fn refuse<T>(&mut self, reason: impl Into<String>) -> Read<T> {
        Err(YamlError::new(self.line()?, reason))
    }

    /// Takes the next token if it is `kind`.
    fn takes(&mut self, kind: &TokenKind) -> Read<bool> {
        let is = self.kind()? == kind;
        if is {
            self.scanner.next_token()?;
        }
        Ok(is)
    }

    /// Reads a node that must be a value.
    fn value(&mut self, context: Context, depth: usize) -> Read<YamlValue> {
        let line = self.line()?;
        self.node(context, depth)?.into_value(line)
    }

    fn node(&mut self, context: Context, depth: usize) -> Read<Node> {
        if depth > MAX_DEPTH {
            return self.refuse(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        let line = self.line()?;
        let (mut anchor, mut tag) = (None, None);
        loop {
            match self.kind()? {
                TokenKind::Alias(name) if anchor.is_none() && tag.is_none() => {
                    let name = name.clone();
                    self.scanner.next_token()?;
                    return self.alias(&name, line, depth);
                }
                TokenKind::Anchor(name) if anchor.is_none() => anchor = Some(name.clone()),
                TokenKind::Tag(name) if tag.is_none() => tag = Some(name.clone()),
                _ => break,
            }
            self.scanner.next_token()?;
        }
        if let Some(name) = &anchor
            && self.anchors.insert(name.clone(), None).is_some()
        {
            return Err(YamlError::new(line, format!("the anchor {} is defined twice", quoted(name))));
        }
        let node = self.content_of(context, depth, anchor.is_some(), tag, line)?;
        if let Some(name) = anchor {
            let (weight, depth) = match &node {
                Node::Value(value) => (value.weight(), value.depth()),
                Node::Merge | Node::Default => (0, 1),
            };
            // The copy counts too, or anchors within anchors would multiply the memory.
            self.spend(weight, line)?;
            self.anchors.insert(name, Some(Anchored { node: node.clone(), weight, depth }));
        }
        Ok(node)
    }

    fn alias(&mut self, name: &str, line: usize, depth: usize) -> Read<Node> {
        let refuse = |reason: String| Err(YamlError::new(line, reason));
        match self.anchors.get(name) {
            None => refuse(format!("the alias {} has no anchor", quoted(name))),
            Some(None) => refuse("an anchor refers to itself".to_owned()),
            Some(Some(anchored)) => {
                if depth + anchored.depth - 1 > MAX_DEPTH {
                    return refuse(format!("nested deeper than {MAX_DEPTH} levels"));
                }
                let weight = anchored.weight;
                self.spend(weight, line)?;
                match self.anchors.get(name) {
                    Some(Some(anchored)) => Ok(anchored.node.clone()),
                    _ => refuse(format!("the alias {} has no anchor", quoted(name))),
                }
            }
        }
    }

    fn spend(&mut self, weight: usize, line: usize) -> Read<()> {
        let left = self.left.checked_sub(weight);
        self.left = left.ok_or_else(|| YamlError::new(line, "aliases expand to too much"))?;
        Ok(())
    }

    fn content_of(
        &mut self,
        context: Context,
        depth: usize,
        anchored: bool,
        tag: Option<String>,
        line: usize,
    ) -> Read<Node> {
        let list = |values| Node::Value(YamlValue::List(values));
        match self.kind()? {
            TokenKind::Entry if context == Context::BlockOrList => {
                check_tag(tag.as_deref(), "seq", line)?;
                self.unindented_list(depth).map(list)
            }
            TokenKind::Scalar { .. } => {
                let TokenKind::Scalar { text, plain } = self.scanner.next_token()?.kind else {
                    return Err(YamlError::new(line, "a value is expected"));
                };
                scalar_node(tag.as_deref(), text, plain).map_err(|reason| YamlError::new(line, reason))
            }
            TokenKind::ListStart => {
                check_tag(tag.as_deref(), "seq", line)?;
                self.list(depth).map(list)
            }
            TokenKind::MapStart => {
                check_tag(tag.as_deref(), "map", line)?;
                self.map(depth).map(|map| Node::Value(YamlValue::Map(map)))
            }
            TokenKind::BlockListStart if context != Context::Flow => {
                check_tag(tag.as_deref(), "seq", line)?;
                self.block_list(depth).map(list)
            }
            TokenKind::BlockMapStart if context != Context::Flow => {
                check_tag(tag.as_deref(), "map", line)?;
                self.block_map(depth).map(|map| Node::Value(YamlValue::Map(map)))
            }
            _ if anchored || tag.is_some() => {
                let plain = matches!(tag.as_deref(), None | Some("!"));
                scalar_node(tag.as_deref(), String::new(), plain)
                    .map_err(|reason| YamlError::new(line, reason))
            }
            other => {
                let reason = format!("a value is expected instead of {}", name_of(other));
                self.refuse(reason)
            }
        }
    }

    fn block_list(&mut self, depth: usize) -> Read<Vec<YamlValue>> {
        let line = self.scanner.next_token()?.line;
        let mut values = Vec::new();
        while self.takes(&TokenKind::Entry)? {
            values.push(match self.kind()? {
                TokenKind::Entry | TokenKind::BlockEnd => YamlValue::Null,
                _ => self.value(Context::Block, depth + 1)?,
            });
        }
        self.end_block("the list", line)?;
        Ok(values)
    }

    fn unindented_list(&mut self, depth: usize) -> Read<Vec<YamlValue>> {
        let mut values = Vec::new();
        while self.takes(&TokenKind::Entry)? {
            values.push(match self.kind()? {
                TokenKind::Entry | TokenKind::Key | TokenKind::Value | TokenKind::BlockEnd => YamlValue::Null,
                _ => self.value(Context::Block, depth + 1)?,
            });
        }
        Ok(values)
    }

    fn end_block(&mut self, what: &str, line: usize) -> Read<()> {
        if self.takes(&TokenKind::BlockEnd)? {
            return Ok(());
        }
        let found = name_of(self.kind()?);
        self.refuse(format!("{found} does not fit into {what} that begins on line {line}"))
    }

    fn block_map(&mut self, depth: usize) -> Read<YamlMap> {
        let line = self.scanner.next_token()?.line;
        let mut entries = Entries::default();
        while self.takes(&TokenKind::Key)? {
            let key_line = self.line()?;
            let key = self.block_part(depth)?;
            let value = if self.takes(&TokenKind::Value)? {
                self.block_part(depth)?
            } else {
                Node::Value(YamlValue::Null)
            };
            entries.add(key, value, key_line)?;
        }
        self.end_block("the map", line)?;
        Ok(entries.into_map())
    }

    fn block_part(&mut self, depth: usize) -> Read<Node> {
        match self.kind()? {
            TokenKind::Key | TokenKind::Value | TokenKind::BlockEnd => Ok(Node::Value(YamlValue::Null)),
            _ => self.node(Context::BlockOrList, depth + 1),
        }
    }

    fn list(&mut self, depth: usize) -> Read<Vec<YamlValue>> {
        let line = self.scanner.next_token()?.line;
        let mut values = Vec::new();
        while *self.kind()? != TokenKind::ListEnd {
            if !values.is_empty() && !self.takes(&TokenKind::Comma)? || self.is_at_end()? {
                return self.unclosed("list", line);
            }
            if self.takes(&TokenKind::Key)? {
                // A map of one entry without its own brackets.
                let mut entries = Entries::default();
                let key_line = self.line()?;
                let (key, value) = self.flow_entry(depth + 1, &TokenKind::ListEnd)?;
                entries.add(key, value, key_line)?;
                values.push(YamlValue::Map(entries.into_map()));
            } else if *self.kind()? != TokenKind::ListEnd {
                values.push(self.value(Context::Flow, depth + 1)?);
            }
        }
        self.scanner.next_token()?;
        Ok(values)
    }

    fn map(&mut self, depth: usize) -> Read<YamlMap> {
        let line = self.scanner.next_token()?.line;
        let mut entries = Entries::default();
        let mut first = true;
        while *self.kind()? != TokenKind::MapEnd {
            if !first && !self.takes(&TokenKind::Comma)? || self.is_at_end()? {
                return self.unclosed("map", line);
            }
            first = false;
            let key_line = self.line()?;
            if self.takes(&TokenKind::Key)? {
                let (key, value) = self.flow_entry(depth, &TokenKind::MapEnd)?;
                entries.add(key, value, key_line)?;
            } else if *self.kind()? != TokenKind::MapEnd {
                let key = self.node(Context::Flow, depth + 1)?;
                entries.add(key, Node::Value(YamlValue::Null), key_line)?;
            }
        }
        self.scanner.next_token()?;
        Ok(entries.into_map())
    }

    /// Reads a key and its value in brackets that end with `end`.
    fn flow_entry(&mut self, depth: usize, end: &TokenKind) -> Read<(Node, Node)> {
        let key = match self.kind()? {
            TokenKind::Value | TokenKind::Comma => Node::Value(YamlValue::Null),
            kind if kind == end => Node::Value(YamlValue::Null),
            _ => self.node(Context::Flow, depth + 1)?,
        };
        if !self.takes(&TokenKind::Value)? {
            return Ok((key, Node::Value(YamlValue::Null)));
        }
        let value = match self.kind()? {
            TokenKind::Comma => Node::Value(YamlValue::Null),
            kind if kind == end => Node::Value(YamlValue::Null),
            _ => self.node(Context::Flow, depth + 1)?,
        };
        Ok((key, value))
    }

    fn is_at_end(&mut self) -> Read<bool> {
        Ok(*self.kind()? == TokenKind::StreamEnd)
    }

    fn unclosed<T>(&mut self, what: &str, line: usize) -> Read<T> {
        if self.is_at_end()? {
            return Err(YamlError::new(line, format!("a {what} in brackets is not closed")));
        }
        let found = name_of(self.kind()?);
        self.refuse(format!("{found} instead of a comma or the end of a {what} in brackets"))
    }
}

/// The entries of a map before merging.
#[derive(Default)]
struct Entries {
    merged: Vec<(YamlValue, YamlValue)>,
    own: Vec<(YamlValue, YamlValue)>,
}

impl Entries {
    fn add(&mut self, key: Node, value: Node, line: usize) -> Read<()> {
        let refuse = |reason: &str| Err(YamlError::new(line, reason));
        let value = value.into_value(line)?;
        match key {
            Node::Default => {
                self.own.push((YamlValue::Text("=".to_owned()), value));
                Ok(())
            }
            Node::Value(YamlValue::List(_) | YamlValue::Map(_)) => refuse("a list or map cannot be a key"),
            Node::Value(key) => {
                self.own.push((key, value));
                Ok(())
            }
            Node::Merge => match value {
                YamlValue::Map(map) => {
                    self.merged.extend(map.into_entries());
                    Ok(())
                }
                YamlValue::List(maps) => {
                    // The first of the maps wins.
                    for map in maps.into_iter().rev() {
                        let YamlValue::Map(map) = map else { return refuse("only maps can be merged") };
                        self.merged.extend(map.into_entries());
                    }
                    Ok(())
                }
                _ => refuse("only maps can be merged"),
            },
        }
    }

    fn into_map(self) -> YamlMap {
        self.merged.into_iter().chain(self.own).collect()
    }
}

/// A collection may have the tag of its kind, and no other.
fn check_tag(tag: Option<&str>, kind: &str, line: usize) -> Read<()> {
    match tag {
        None | Some("!") => Ok(()),
        Some(tag) if tag.strip_prefix("tag:yaml.org,2002:") == Some(kind) => Ok(()),
        Some(tag) => Err(YamlError::new(line, wrong_tag(tag))),
    }
}

fn wrong_tag(tag: &str) -> String {
    match tag.strip_prefix("tag:yaml.org,2002:") {
        Some(name @ ("binary" | "omap" | "pairs" | "set")) => format!("the tag !!{name} is not supported"),
        Some(name @ ("bool" | "float" | "int" | "map" | "null" | "seq" | "str" | "timestamp")) => {
            format!("the tag !!{name} does not fit its value")
        }
        _ => format!("the tag {} is unknown", quoted(tag)),
    }
}

fn scalar_node(tag: Option<&str>, text: String, plain: bool) -> Result<Node, String> {
    let kind = match tag {
        None if plain => scalar::kind(&text),
        None => ScalarKind::Text,
        Some("!") => scalar::kind(&text),
        Some(tag) => match tag.strip_prefix("tag:yaml.org,2002:") {
            Some("str") => ScalarKind::Text,
            Some("bool") => ScalarKind::Bool,
            Some("float") => ScalarKind::Float,
            Some("int") => ScalarKind::Int,
            Some("null") => ScalarKind::Null,
            Some("timestamp") => ScalarKind::Timestamp,
            Some("merge") => ScalarKind::Merge,
            _ => return Err(wrong_tag(tag)),
        },
    };
    match kind {
        ScalarKind::Merge => Ok(Node::Merge),
        ScalarKind::Default => Ok(Node::Default),
        kind => scalar::value(kind, text).map(Node::Value),
    }
}

/// How messages name a token.
fn name_of(kind: &TokenKind) -> &'static str {
    match kind {
        TokenKind::Version(_) | TokenKind::OtherDirective => "a directive",
        TokenKind::DocumentStart => "---",
        TokenKind::DocumentEnd => "...",
        TokenKind::StreamEnd => "the end",
        TokenKind::BlockListStart => "a list",
        TokenKind::BlockMapStart => "a map",
        TokenKind::BlockEnd => "the end of a block",
        TokenKind::ListStart => "'['",
        TokenKind::ListEnd => "']'",
        TokenKind::MapStart => "'{'",
        TokenKind::MapEnd => "'}'",
        TokenKind::Entry => "'-'",
        TokenKind::Comma => "','",
        TokenKind::Key => "a key",
        TokenKind::Value => "':'",
        TokenKind::Alias(_) => "an alias",
        TokenKind::Anchor(_) => "an anchor",
        TokenKind::Tag(_) => "a tag",
        TokenKind::Scalar { .. } => "a text",
    }
}
