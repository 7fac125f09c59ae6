//! A markdown workflow as a tree of named blocks, which are merged by their names.

use std::collections::HashMap;

use serde_json::Value;

use crate::{
    document::{
        is_volatile,
        markdown::{MarkdownItem, MarkdownOutline, MarkdownPiece, MarkdownSection, PieceKind, SectionKind},
    },
    merge::{Fragment, Path, Step, order::count},
};

/// The name of a block among its siblings, equal in all versions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Name {
    FrontMatter,
    Preamble,
    Section(SectionKind, String, usize),
    Item(String, usize),
    /// The line that opens a block: a heading, or the first line of the front matter.
    Opening,
    /// The line that closes the front matter.
    Closing,
    Title,
    /// A parameter, inline or as a fence, or a key of the front matter.
    Key(String, usize),
    Prose(usize),
    /// Blank lines before everything else.
    Blank(usize),
    /// Lines without a meaning.
    Ignored(usize),
}

/// How a block is merged if both sides changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// By its parts.
    Parts,
    /// By its lines, which begin and end at these offsets of the text.
    Lines,
    /// As a whole.
    Whole,
    /// Never: a value that programs note. The later one counts.
    Volatile,
}

/// A part of a document.
#[derive(Debug, Clone)]
pub(super) struct Block<'d> {
    pub(super) name: Name,
    pub(super) nature: Nature,
    /// The whole block, without the blank lines after it.
    pub(super) text: &'d str,
    /// The blank lines after it; empty for a block with parts, whose last part has them.
    pub(super) gap: &'d str,
    /// The range of its value in the text: without a heading's marks, a parameter's key, or a fence.
    value: (usize, usize),
    pub(super) parts: Vec<Block<'d>>,
}

impl Name {
    /// The path of a block of this name.
    pub(super) fn path(&self, parent: &Path) -> Path {
        let again = |name: &str, nth: usize| match nth {
            0 => name.to_owned(),
            nth => format!("{name} #{}", nth + 1),
        };
        match self {
            Self::FrontMatter => parent.key("front_matter"),
            Self::Preamble => parent.clone(),
            Self::Section(kind, name, nth) => match kind {
                SectionKind::Inputs => parent.key("inputs"),
                SectionKind::Steps => parent.key("steps"),
                SectionKind::Outputs => parent.key("outputs"),
                SectionKind::Cache => parent.key("cache"),
                _ => parent.key("sections").key(again(name, *nth)),
            },
            Self::Item(id, nth) => parent.join(Step::Node(again(id, *nth))),
            Self::Opening => parent.key("heading"),
            Self::Closing => parent.key("end"),
            Self::Title => parent.key("title"),
            Self::Key(key, nth) => parent.key(again(key, *nth)),
            Self::Prose(nth) => parent.key(again("text", *nth)),
            Self::Blank(nth) => parent.key(again("blank", *nth)),
            Self::Ignored(nth) => parent.key(again("ignored", *nth)),
        }
    }
}

impl<'d> Block<'d> {
    /// Splits a document by its outline.
    pub(super) fn tree(text: &'d str, outline: &MarkdownOutline) -> Vec<Self> {
        let mut blocks = Vec::new();
        let of = |range: &std::ops::Range<usize>| text.get(range.clone()).unwrap_or_default();
        let front_matter = of(&outline.front_matter);
        if !front_matter.is_empty() {
            let parts = front_matter_parts(front_matter);
            blocks.push(Self::container(Name::FrontMatter, front_matter, parts));
        }
        let mut sections = HashMap::new();
        for (nth, section) in std::iter::once(&outline.preamble).chain(&outline.sections).enumerate() {
            let parts = section_parts(text, section);
            let whole = spanned(text, &parts);
            let name = match nth {
                0 => Name::Preamble,
                _ => {
                    let name = match section.kind {
                        SectionKind::Other => section.name.clone(),
                        _ => String::new(),
                    };
                    let nth = count(&mut sections, (section.kind, name.clone()));
                    Name::Section(section.kind, name, nth)
                }
            };
            if !parts.is_empty() {
                blocks.push(Self::container(name, whole, parts));
            }
        }
        blocks
    }

    fn container(name: Name, text: &'d str, parts: Vec<Self>) -> Self {
        Self { name, nature: Nature::Parts, text, gap: "", value: (0, text.len()), parts }
    }

    fn leaf(name: Name, nature: Nature, text: &'d str, value: (usize, usize)) -> Self {
        Self { name, nature, text, gap: "", value, parts: Vec::new() }
    }

    /// The value as people read it.
    pub(super) fn value(&self) -> &'d str {
        self.text.get(self.value.0..self.value.1).unwrap_or_default()
    }

    /// What is before and after the value.
    pub(super) fn around(&self) -> (&'d str, &'d str) {
        let (before, after) = (self.text.get(..self.value.0), self.text.get(self.value.1..));
        (before.unwrap_or_default(), after.unwrap_or_default())
    }

    pub(super) fn fragment(&self) -> Fragment {
        let shown = match self.nature {
            Nature::Parts => self.text.trim_end(),
            Nature::Lines => self.value(),
            Nature::Whole | Nature::Volatile => self.value().trim(),
        };
        Fragment::written(&Value::String(shown.to_owned()))
    }
}

/// The text from the first to the last part.
fn spanned<'d>(text: &'d str, parts: &[Block<'d>]) -> &'d str {
    let at = |part: &'d str| part.as_ptr() as usize - text.as_ptr() as usize;
    let start = parts.first().map_or(0, |part| at(part.text));
    let end = parts.last().map_or(start, |part| at(part.text) + part.text.len());
    text.get(start..end).unwrap_or_default()
}

fn section_parts<'d>(text: &'d str, section: &MarkdownSection) -> Vec<Block<'d>> {
    let heading = text.get(section.heading.clone()).unwrap_or_default();
    let mut parts = heading_part(heading);
    pieces(text, &section.lead, &mut parts);
    let mut items = HashMap::new();
    for item in &section.items {
        let parts_of_item = item_parts(text, item);
        let name = Name::Item(item.id.clone(), count(&mut items, item.id.clone()));
        let whole = spanned(text, &parts_of_item);
        parts.push(Block::container(name, whole, parts_of_item));
    }
    parts
}

fn item_parts<'d>(text: &'d str, item: &MarkdownItem) -> Vec<Block<'d>> {
    let mut parts = heading_part(text.get(item.heading.clone()).unwrap_or_default());
    pieces(text, &item.pieces, &mut parts);
    parts
}

fn heading_part(heading: &str) -> Vec<Block<'_>> {
    let whole = (0, heading.len());
    let part = (!heading.is_empty()).then(|| Block::leaf(Name::Opening, Nature::Whole, heading, whole));
    part.into_iter().collect()
}

/// Adds the pieces of a section or an item.
fn pieces<'d>(text: &'d str, pieces: &[MarkdownPiece], parts: &mut Vec<Block<'d>>) {
    let mut seen = HashMap::new();
    for piece in pieces {
        let whole = text.get(piece.range.clone()).unwrap_or_default();
        if piece.kind == PieceKind::Blank
            && let Some(last) = parts.last_mut()
        {
            last.gap = whole;
            continue;
        }
        let mut nth = |kind: &str| count(&mut seen, kind.to_owned());
        let all = (0, whole.len());
        parts.push(match &piece.kind {
            PieceKind::Title => Block::leaf(Name::Title, Nature::Whole, whole, all),
            PieceKind::Prose => {
                Block::leaf(Name::Prose(nth("prose of the workflow")), Nature::Lines, whole, all)
            }
            PieceKind::Blank => Block::leaf(Name::Blank(nth("blank lines")), Nature::Whole, whole, all),
            PieceKind::Parameter { keys } => parameter(keys, whole, &mut nth),
            PieceKind::Fence { parameter } => fence(parameter.as_deref(), whole, &mut nth),
            _ => Block::leaf(Name::Ignored(nth("ignored lines")), Nature::Lines, whole, all),
        });
    }
}

/// A parameter that is written inline. A block of text after `|` or `>` is merged by its lines.
fn parameter<'d>(keys: &[String], whole: &'d str, nth: &mut dyn FnMut(&str) -> usize) -> Block<'d> {
    let key = keys.join(", ");
    let number = nth(&format!("= {key}"));
    let first_line = whole.find('\n').map_or(whole.len(), |at| at + 1);
    let first = whole.get(..first_line).unwrap_or_default();
    let value = first.find(':').map_or(0, |at| at + 1);
    let header = first.get(value..).unwrap_or_default().trim();
    let is_text = header.starts_with(['|', '>']) && first_line < whole.len() && keys.len() == 1;
    let (nature, start) = if is_text { (Nature::Lines, first_line) } else { (Nature::Whole, value) };
    Block::leaf(Name::Key(key, number), nature, whole, (start, whole.len()))
}

/// A fence: its value is what is between its first and its last line.
fn fence<'d>(parameter: Option<&str>, whole: &'d str, nth: &mut dyn FnMut(&str) -> usize) -> Block<'d> {
    let start = whole.find('\n').map_or(whole.len(), |at| at + 1);
    let end = whole.trim_end().rfind('\n').map_or(start, |at| at + 1).max(start);
    let first = whole.get(..start).unwrap_or_default();
    // The value of a YAML fence is a tree and no text.
    let words: Vec<&str> = first.trim().trim_start_matches(['`', '~']).split_whitespace().collect();
    let is_yaml = words.len() > 1 && words.first().is_some_and(|word| word.eq_ignore_ascii_case("yaml"));
    let nature = if is_yaml { Nature::Whole } else { Nature::Lines };
    let name = match parameter {
        Some(key) => Name::Key(key.to_owned(), nth(&format!("= {key}"))),
        None => Name::Ignored(nth("ignored lines")),
    };
    Block::leaf(name, nature, whole, (start, end))
}

/// Splits front matter into its keys, by the lines that begin one. Comments belong to the key before them. If it is
/// not in block style, it is one part.
fn front_matter_parts(text: &str) -> Vec<Block<'_>> {
    let mut parts: Vec<Block<'_>> = Vec::new();
    let mut seen = HashMap::new();
    let (mut at, last) = (0, text.split_inclusive('\n').count().saturating_sub(1));
    for (nth, line) in text.split_inclusive('\n').enumerate() {
        let whole = (0, line.len());
        match key_of(line) {
            _ if nth == 0 => parts.push(Block::leaf(Name::Opening, Nature::Whole, line, whole)),
            _ if nth == last => parts.push(Block::leaf(Name::Closing, Nature::Whole, line, whole)),
            Some((key, colon)) => {
                let nature = if is_volatile(&key) { Nature::Volatile } else { Nature::Whole };
                let name = Name::Key(key.clone(), count(&mut seen, key));
                parts.push(Block::leaf(name, nature, line, (colon + 1, line.len())));
            }
            None => {
                match parts.last_mut().filter(|part| matches!(part.name, Name::Key(..) | Name::Ignored(_))) {
                    Some(part) => {
                        let start = at - part.text.len();
                        part.text = text.get(start..at + line.len()).unwrap_or_default();
                        part.value.1 = part.text.len();
                    }
                    None => parts.push(Block::leaf(Name::Ignored(0), Nature::Whole, line, whole)),
                }
            }
        }
        at += line.len();
    }
    parts
}

/// The key that a line of front matter begins, with the place of its colon.
fn key_of(line: &str) -> Option<(String, usize)> {
    let colon = line.find(':')?;
    let key = line.get(..colon)?;
    let follows = line.get(colon + 1..)?.chars().next().is_none_or(char::is_whitespace);
    let is_plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    (is_plain && follows).then(|| (key.to_owned(), colon))
}
