//! A markdown workflow as a tree of named blocks, which are merged by their names.

use std::collections::{HashMap, HashSet};

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
    Section(SectionKind),
    /// A section without a meaning. If a version has several of its name, they are told apart by their whole
    /// text, because their number changes when one is removed.
    OtherSection(String, Option<String>),
    Item(String),
    /// The line that opens a block: a heading, or the first line of the front matter.
    Opening,
    /// The line that closes the front matter.
    Closing,
    Title,
    /// A parameter, inline or as a fence, or a key of the front matter. The number counts equal keys.
    Key(String, usize),
    /// A run of text, named by what is before it: a parameter, the title, or other lines.
    Text(Option<String>),
    /// Blank lines before everything else.
    Blank,
    /// Lines without a meaning, named like text and counted.
    Ignored(Option<String>, usize),
}

/// How a block is merged if both sides changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// By its parts.
    Parts,
    /// By its lines, which are those of its value.
    Lines,
    /// As a whole.
    Whole,
    /// Never: a value that programs note. The values of the side with more runs count.
    Volatile,
    /// Never: blank lines.
    Layout,
}

/// A part of a document.
#[derive(Debug, Clone)]
pub(super) struct Block<'d> {
    pub(super) name: Name,
    pub(super) nature: Nature,
    /// The block without the last line end.
    pub(super) text: &'d str,
    /// That line end and the blank lines after it; empty for a block with parts, whose last part has them.
    pub(super) gap: &'d str,
    /// The range of its value in the text: without a heading's marks, a parameter's key, or a fence.
    value: (usize, usize),
    pub(super) parts: Vec<Block<'d>>,
}

impl Name {
    /// The path of a block of this name.
    pub(super) fn path(&self, parent: &Path) -> Path {
        let after = |name: &str, after: &Option<String>| match after {
            None => name.to_owned(),
            Some(key) => format!("{name} after {key}"),
        };
        match self {
            Self::FrontMatter => parent.key("front_matter"),
            Self::Preamble => parent.clone(),
            Self::Section(SectionKind::Inputs) => parent.key("inputs"),
            Self::Section(SectionKind::Steps) => parent.key("steps"),
            Self::Section(SectionKind::Outputs) => parent.key("outputs"),
            Self::Section(_) => parent.key("cache"),
            Self::OtherSection(name, _) => parent.key("sections").key(name.as_str()),
            Self::Item(id) => parent.join(Step::Node(id.clone())),
            Self::Opening => parent.key("heading"),
            Self::Closing => parent.key("end"),
            Self::Title => parent.key("title"),
            Self::Key(key, nth) => parent.key(numbered(key, *nth)),
            Self::Text(key) => parent.key(after("text", key)),
            Self::Blank => parent.key("blank lines"),
            Self::Ignored(key, nth) => parent.key(format!("{} #{}", after("ignored", key), nth + 1)),
        }
    }
}

/// The names of sections without a meaning that a version has several times.
pub(super) fn crowded<'o>(outlines: impl IntoIterator<Item = &'o MarkdownOutline>) -> HashSet<String> {
    let mut crowded = HashSet::new();
    for outline in outlines {
        let mut seen = HashSet::new();
        let others = outline.sections.iter().filter(|section| section.kind == SectionKind::Other);
        crowded.extend(others.map(|section| &section.name).filter(|name| !seen.insert(*name)).cloned());
    }
    crowded
}

impl<'d> Block<'d> {
    /// Splits a document by its outline.
    pub(super) fn tree(text: &'d str, outline: &MarkdownOutline, crowded: &HashSet<String>) -> Vec<Self> {
        let mut blocks = Vec::new();
        let front_matter = text.get(outline.front_matter.clone()).unwrap_or_default();
        if !front_matter.is_empty() {
            let parts = front_matter_parts(front_matter);
            blocks.push(Self::container(Name::FrontMatter, spanned(text, &parts), parts));
        }
        for (nth, section) in std::iter::once(&outline.preamble).chain(&outline.sections).enumerate() {
            let parts = section_parts(text, section);
            let whole = spanned(text, &parts);
            let name = match section.kind {
                _ if nth == 0 => Name::Preamble,
                SectionKind::Other => {
                    let told_apart = crowded.contains(&section.name).then(|| whole.to_owned());
                    Name::OtherSection(section.name.clone(), told_apart)
                }
                kind => Name::Section(kind),
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

    /// A leaf with these lines. The range is that of its value in them.
    fn leaf(name: Name, nature: Nature, lines: &'d str, value: (usize, usize)) -> Self {
        let text = lines.strip_suffix('\n').unwrap_or(lines);
        let gap = lines.get(text.len()..).unwrap_or_default();
        let value = (value.0.min(text.len()), value.1.min(text.len()));
        Self { name, nature, text, gap, value, parts: Vec::new() }
    }

    fn whole(name: Name, lines: &'d str) -> Self {
        Self::leaf(name, Nature::Whole, lines, (0, lines.len()))
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
            Nature::Whole | Nature::Volatile | Nature::Layout => self.value().trim(),
        };
        Fragment::written(&Value::String(shown.to_owned()))
    }

    /// Whether a block differs from another one in nothing but what programs note.
    pub(super) fn is_but_noted(&self, other: &Self) -> bool {
        let kept = |block: &Self| -> Vec<(Name, String)> {
            let parts = block.parts.iter().filter(|part| part.nature != Nature::Volatile);
            parts.map(|part| (part.name.clone(), part.text.to_owned())).collect()
        };
        self.nature == Nature::Parts && self.name == Name::FrontMatter && kept(self) == kept(other)
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
    let mut parts = heading_part(text.get(section.heading.clone()).unwrap_or_default());
    pieces(text, &section.lead, &mut parts);
    for item in &section.items {
        let of_item = item_parts(text, item);
        parts.push(Block::container(Name::Item(item.id.clone()), spanned(text, &of_item), of_item));
    }
    parts
}

fn item_parts<'d>(text: &'d str, item: &MarkdownItem) -> Vec<Block<'d>> {
    let mut parts = heading_part(text.get(item.heading.clone()).unwrap_or_default());
    pieces(text, &item.pieces, &mut parts);
    parts
}

fn heading_part(heading: &str) -> Vec<Block<'_>> {
    (!heading.is_empty()).then(|| Block::whole(Name::Opening, heading)).into_iter().collect()
}

/// Adds the pieces of a section or an item. Text with the blank lines within is one block.
fn pieces<'d>(text: &'d str, pieces: &[MarkdownPiece], parts: &mut Vec<Block<'d>>) {
    let mut keys = HashMap::new();
    let mut ignored = HashMap::new();
    // What text is named by. It is another one after each block, so no two blocks have one name.
    let mut anchor: Option<String> = None;
    for (nth, piece) in pieces.iter().enumerate() {
        let lines = text.get(piece.range.clone()).unwrap_or_default();
        match &piece.kind {
            PieceKind::Title => {
                parts.push(Block::whole(Name::Title, lines));
                anchor = Some("title".to_owned());
            }
            PieceKind::Parameter { keys: names } => {
                let key = names.join(", ");
                let number = count(&mut keys, key.clone());
                parts.push(parameter(key.clone(), number, names.len() == 1, lines));
                anchor = Some(numbered(&key, number));
            }
            PieceKind::Fence { parameter: Some(key) } => {
                let number = count(&mut keys, key.clone());
                parts.push(fence(key, number, lines));
                anchor = Some(numbered(key, number));
            }
            PieceKind::Blank => match parts.last_mut() {
                Some(last) => {
                    let start = piece.range.start - last.gap.len();
                    last.gap = text.get(start..piece.range.end).unwrap_or_default();
                }
                None => parts.push(Block::leaf(Name::Blank, Nature::Layout, lines, (0, lines.len()))),
            },
            PieceKind::Prose => {
                let name = Name::Text(anchor.clone());
                let before = pieces.get(nth.wrapping_sub(2)).filter(|_| nth >= 2);
                let continues = before.is_some_and(|before| before.kind == PieceKind::Prose);
                match parts.last_mut().filter(|last| continues && last.name == name) {
                    Some(last) => {
                        let start = piece.range.start - last.gap.len() - last.text.len();
                        let all = text.get(start..piece.range.end).unwrap_or_default();
                        *last = Block::leaf(name, Nature::Lines, all, (0, all.len()));
                    }
                    None => parts.push(Block::leaf(name, Nature::Lines, lines, (0, lines.len()))),
                }
            }
            _ => {
                let number = count(&mut ignored, ());
                let name = Name::Ignored(anchor.clone(), number);
                parts.push(Block::leaf(name, Nature::Lines, lines, (0, lines.len())));
                anchor = Some(numbered("ignored lines", number));
            }
        }
    }
}

fn numbered(name: &str, nth: usize) -> String {
    if nth == 0 { name.to_owned() } else { format!("{name} #{}", nth + 1) }
}

/// A parameter that is written inline. A block of text after `|` or `>` is merged by its lines.
fn parameter(key: String, number: usize, is_single: bool, lines: &str) -> Block<'_> {
    let first_line = lines.find('\n').map_or(lines.len(), |at| at + 1);
    let first = lines.get(..first_line).unwrap_or_default();
    let value = first.find(':').map_or(0, |at| at + 1);
    let header = first.get(value..).unwrap_or_default().trim();
    let is_text = header.starts_with(['|', '>']) && first_line < lines.len() && is_single;
    let (nature, start) = if is_text { (Nature::Lines, first_line) } else { (Nature::Whole, value) };
    Block::leaf(Name::Key(key, number), nature, lines, (start, lines.len()))
}

/// A fence: its value is what is between its first and its last line.
fn fence<'d>(key: &str, number: usize, lines: &'d str) -> Block<'d> {
    let start = lines.find('\n').map_or(lines.len(), |at| at + 1);
    let end = lines.trim_end().rfind('\n').map_or(start, |at| at + 1).max(start);
    let first = lines.get(..start).unwrap_or_default();
    // The value of a YAML fence is a tree and no text.
    let words: Vec<&str> = first.trim().trim_start_matches(['`', '~']).split_whitespace().collect();
    let is_yaml = words.len() > 1 && words.first().is_some_and(|word| word.eq_ignore_ascii_case("yaml"));
    let nature = if is_yaml { Nature::Whole } else { Nature::Lines };
    Block::leaf(Name::Key(key.to_owned(), number), nature, lines, (start, end))
}

/// Splits front matter into its keys, by the lines that begin one. Comments are blocks of their own. If a
/// line at the first column begins no plain key, what is between the first and the last line is one block.
fn front_matter_parts(text: &str) -> Vec<Block<'_>> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (Some((opening, rest)), true) = (lines.split_first(), lines.len() > 1) else {
        return vec![Block::whole(Name::Opening, text)];
    };
    let (closing, inner) = rest.split_last().unwrap_or((&"", &[]));
    let opening = Block::whole(Name::Opening, opening);
    let closing = Block::whole(Name::Closing, closing);
    let start = opening.text.len() + opening.gap.len();
    let all = text.get(start..text.len() - closing.text.len() - closing.gap.len()).unwrap_or_default();
    let is_plain = |line: &&&str| {
        let line = **line;
        line.trim().is_empty() || line.starts_with([' ', '-', '#']) || key_of(line).is_some()
    };
    let begins = inner.first().is_none_or(|line| line.starts_with('#') || key_of(line).is_some());
    let mut parts = vec![opening];
    if !begins || inner.iter().filter(is_plain).count() < inner.len() {
        parts.push(Block::whole(Name::Ignored(None, 0), all));
        parts.push(closing);
        return parts;
    }
    let (mut at, mut keys, mut comments) = (start, HashMap::new(), HashMap::new());
    let mut last_key = None;
    for line in inner {
        let line_start = at;
        at += line.len();
        if let Some((key, colon)) = key_of(line) {
            let nature = if is_volatile(&key) { Nature::Volatile } else { Nature::Whole };
            let name = Name::Key(key.clone(), count(&mut keys, key.clone()));
            parts.push(Block::leaf(name, nature, line, (colon + 1, line.len())));
            last_key = Some(key);
        } else if line.starts_with('#') {
            let name = Name::Ignored(last_key.clone(), count(&mut comments, last_key.clone()));
            parts.push(Block::whole(name, line));
        } else if let Some(last) = parts.last_mut() {
            // It continues the value, or is a blank line.
            let start = line_start - last.gap.len() - last.text.len();
            let lines = text.get(start..at).unwrap_or_default();
            *last = Block::leaf(last.name.clone(), last.nature, lines, (last.value.0, lines.len()));
        }
    }
    parts.push(closing);
    parts
}

/// The key that a line of front matter begins, with the place of its colon.
fn key_of(line: &str) -> Option<(String, usize)> {
    let colon = line.find(':')?;
    let key = line.get(..colon)?;
    let follows = line.get(colon + 1..)?.chars().next().is_none_or(char::is_whitespace);
    let is_plain =
        !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    (is_plain && follows && !key.starts_with('-')).then(|| (key.to_owned(), colon))
}
