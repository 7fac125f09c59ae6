//! The lines of a document, sorted into sections, items and their parts.
//!
//! What a line is depends on what is open, in this order: the text of a block parameter (`key: |`), a fence,
//! a heading, a parameter. Nothing is read twice.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::yaml::YamlMap;
use super::super::yaml::YamlValue;
use super::cache::{CacheSection, MarkdownCache};
use super::error::MarkdownReason;
use super::outline::{MarkdownItem, MarkdownOutline, MarkdownSection, PieceKind, SectionKind};
use super::text::{Line, Lines, indentation, is_space, strip, strip_end, words};
use super::{
    MarkdownWarning, Problems,
    front_matter::{FrontMatter, front_matter},
};

/// What was read from all lines.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) front_matter: Option<YamlMap>,
    pub(super) body_start: usize,
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) items: Vec<RawItem>,
    /// The line of `## Steps`.
    pub(super) steps_line: Option<usize>,
    pub(super) cache: Option<CacheSection>,
    pub(super) warnings: Vec<MarkdownWarning>,
    pub(super) outline: MarkdownOutline,
}

/// An item as written.
#[derive(Debug)]
pub(super) struct RawItem {
    pub(super) section: SectionKind,
    pub(super) id: String,
    /// The line of its heading.
    pub(super) line: usize,
    pub(super) prose: String,
    pub(super) parameters: Vec<RawParameter>,
    pub(super) fences: Vec<RawFence>,
    /// Its id is wrong or taken, which was reported.
    pub(super) is_misnamed: bool,
}

/// A parameter as written, with the lines that continue it.
#[derive(Debug)]
pub(super) struct RawParameter {
    pub(super) line: usize,
    pub(super) text: String,
}

/// A fence as written.
#[derive(Debug)]
pub(super) struct RawFence {
    /// The line that opens it.
    pub(super) line: usize,
    /// What follows the fence on that line.
    pub(super) tag: String,
    pub(super) content: String,
}

impl RawFence {
    /// The parameter: the last word.
    pub(super) fn parameter(&self) -> &str {
        words(&self.tag).last().unwrap_or_default()
    }

    /// Its content is YAML: the first of several words says so.
    pub(super) fn is_yaml(&self) -> bool {
        let mut words = words(&self.tag);
        words.next().is_some_and(|word| word.to_lowercase() == "yaml") && words.next().is_some()
    }
}

/// Splits `- key: value` with any white space around it.
pub(super) fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let after_dash = line.trim_start_matches(is_space).strip_prefix('-')?;
    let text = after_dash.trim_start_matches(is_space);
    if text.len() == after_dash.len() {
        return None;
    }
    // The key has at least one character, which may be a colon.
    let first = text.chars().next()?.len_utf8();
    let end = text.get(first..)?.find(|char| char == ':' || is_space(char))? + first;
    let value = text.get(end..)?.strip_prefix(':')?;
    Some((text.get(..end)?, value.trim_start_matches(is_space)))
}

/// Returns whether a value is the header of a block, and its indentation if it says one.
fn block_header(value: &str) -> Option<Option<usize>> {
    let rest = value.strip_prefix(['|', '>'])?;
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    let digit = rest.chars().next().and_then(|char| char.to_digit(10)).filter(|digit| *digit > 0);
    let rest = if digit.is_some() { rest.get(1..)? } else { rest };
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    let comment = rest.trim_start_matches(is_space);
    let is_header = rest.is_empty() || (comment.starts_with('#') && comment.len() < rest.len());
    is_header.then(|| digit.and_then(|digit| usize::try_from(digit).ok()))
}

/// A parameter that lines may still continue.
struct OpenParameter<'t> {
    line: usize,
    lines: Vec<&'t str>,
    /// The bytes of the first line, and of the lines up to the last one that is not blank.
    range: Range<usize>,
    /// The bytes of the blank lines after it.
    blank: Range<usize>,
    /// The column at which lines continue it.
    column: usize,
    block: Option<OpenBlock>,
}

/// A block text within a parameter.
struct OpenBlock {
    /// The column of its key.
    key: usize,
    /// The column of its content, once known.
    content: Option<usize>,
}

struct OpenFence<'t> {
    line: usize,
    sign: char,
    length: usize,
    tag: &'t str,
    lines: Vec<&'t str>,
    range: Range<usize>,
}

/// Text of a section that belongs to no item.
struct Stray {
    section: SectionKind,
    first: usize,
}

struct Scan<'t, 'p> {
    problems: &'p mut Problems,
    read: Scanned,
    section: SectionKind,
    /// The lines of the first heading of each section.
    sections: BTreeMap<&'static str, usize>,
    /// The lines of the ids by section.
    ids: BTreeMap<(SectionKind, String), usize>,
    in_item: bool,
    description: Vec<&'t str>,
    parameter: Option<OpenParameter<'t>>,
    fence: Option<OpenFence<'t>>,
    strays: Vec<Stray>,
}

/// Reads all lines of `text`.
pub(super) fn scan(text: &str, problems: &mut Problems) -> Scanned {
    let mut scan = Scan {
        problems,
        read: Scanned::default(),
        section: SectionKind::Preamble,
        sections: BTreeMap::new(),
        ids: BTreeMap::new(),
        in_item: false,
        description: Vec::new(),
        parameter: None,
        fence: None,
        strays: Vec::new(),
    };
    let mut lines = Lines::new(text);
    scan.front_matter(&mut lines);
    for line in lines {
        scan.line(line);
    }
    scan.finish()
}

/// The name of a section in messages, if items or cached values belong in it.
pub(super) fn section_name(kind: SectionKind) -> Option<&'static str> {
    match kind {
        SectionKind::Inputs => Some("Inputs"),
        SectionKind::Steps => Some("Steps"),
        SectionKind::Outputs => Some("Outputs"),
        SectionKind::Cache => Some("Cache"),
        SectionKind::Preamble | SectionKind::Other => None,
    }
}

fn has_items(kind: SectionKind) -> bool {
    matches!(kind, SectionKind::Inputs | SectionKind::Steps | SectionKind::Outputs)
}

/// `# `, `## ` or `### ` and what follows, stripped.
fn heading(stripped: &str) -> Option<(usize, &str)> {
    let text = stripped.trim_start_matches('#');
    let level = stripped.len() - text.len();
    ((1..=3).contains(&level) && text.starts_with(' ')).then(|| (level, strip(text)))
}

fn is_fence(stripped: &str) -> bool {
    stripped.starts_with("```") || stripped.starts_with("~~~")
}

impl<'t> Scan<'t, '_> {
    /// Reads the front matter, if the first line opens it and a later one closes it.
    fn front_matter(&mut self, lines: &mut Lines<'t>) {
        let Some(FrontMatter { yaml, lines: rest }) = front_matter(lines.clone()) else { return };
        match yaml {
            Ok(YamlValue::Map(map)) => self.read.front_matter = Some(map),
            Ok(_) => {}
            Err(error) => self
                .problems
                .report(1, MarkdownReason::FrontMatter { line: error.line + 1, reason: error.reason }),
        }
        *lines = rest;
        self.read.body_start = lines.offset();
        self.read.outline.front_matter = 0..lines.offset();
    }

    fn line(&mut self, line: Line<'t>) {
        if self.continues_block(line) {
            return;
        }
        let stripped = strip(line.text);
        if let Some(fence) = &mut self.fence {
            let closes = is_fence(stripped)
                && stripped.len() >= fence.length
                && stripped.chars().all(|char| char == fence.sign);
            fence.range.end = line.end;
            if closes {
                self.close_fence();
            } else {
                fence.lines.push(line.text);
            }
            return;
        }
        if is_fence(stripped) {
            self.close_parameter();
            self.open_fence(line, stripped);
            return;
        }
        match heading(stripped) {
            Some((1, title)) => self.title(line, title),
            Some((2, name)) => self.section(line, name),
            Some((_, id)) => self.item(line, id),
            None if self.section == SectionKind::Cache && !self.in_item => self.cache_line(line, stripped),
            None if self.in_item => self.item_line(line, stripped),
            None => self.other_line(line, stripped),
        }
    }

    /// A line belongs to an open block text if it is blank or reaches the column of the content. Only spaces
    /// indent. The first line that does not ends the text.
    fn continues_block(&mut self, line: Line<'t>) -> bool {
        let Some(parameter) = &mut self.parameter else { return false };
        let Some(block) = &mut parameter.block else { return false };
        let indent = line.text.bytes().take_while(|byte| *byte == b' ').count();
        let is_blank = indent == line.text.len();
        if block.content.is_none() && !is_blank && indent > block.key {
            // The blank lines before the first one with text count too.
            let blanks = parameter.lines.iter().skip(1).map(|blank| blank.chars().count());
            block.content = blanks.max().max(Some(indent));
        }
        if is_blank || block.content.is_some_and(|content| indent >= content) {
            parameter.push(line);
            return true;
        }
        parameter.block = None;
        false
    }

    fn open_fence(&mut self, line: Line<'t>, stripped: &'t str) {
        let sign = if stripped.starts_with('`') { '`' } else { '~' };
        let tag = stripped.trim_start_matches(sign);
        self.fence = Some(OpenFence {
            line: line.number,
            sign,
            length: stripped.len() - tag.len(),
            tag: strip(tag),
            lines: Vec::new(),
            range: line.start..line.end,
        });
    }

    fn close_fence(&mut self) {
        let Some(open) = self.fence.take() else { return };
        let is_ignored = self.follows_title();
        let fence = RawFence { line: open.line, tag: open.tag.to_owned(), content: open.lines.join("\n") };
        let parameter = Some(fence.parameter().to_owned()).filter(|parameter| !parameter.is_empty());
        let kind = if is_ignored { PieceKind::Ignored } else { PieceKind::Fence { parameter } };
        self.read.outline.add(open.range, kind);
        if let Some(item) = self.open_item() {
            item.fences.push(fence);
        } else if self.section == SectionKind::Cache {
            if let Some(cache) = &mut self.read.cache {
                cache.fence(&fence, self.problems);
            }
        } else {
            self.stray(open.line);
        }
    }

    fn open_item(&mut self) -> Option<&mut RawItem> {
        self.read.items.last_mut().filter(|_| self.in_item)
    }

    /// The first title came within a section, and after an item: what follows belongs to no item.
    fn follows_title(&mut self) -> bool {
        self.section != SectionKind::Preamble
            && !self.in_item
            && !self.read.outline.open_section().items.is_empty()
    }

    fn stray(&mut self, line: usize) {
        let section = self.section;
        if !has_items(section) {
            return;
        }
        match self.strays.iter_mut().find(|stray| stray.section == section) {
            Some(stray) => stray.first = stray.first.min(line),
            None => self.strays.push(Stray { section, first: line }),
        }
    }

    fn title(&mut self, line: Line<'t>, title: &str) {
        self.close_parameter();
        let kind = if self.read.title.is_none() {
            self.read.title = Some(title.to_owned());
            self.in_item = false;
            PieceKind::Title
        } else {
            PieceKind::Ignored
        };
        self.read.outline.add(line.start..line.end, kind);
    }

    fn section(&mut self, line: Line<'t>, name: &str) {
        self.close_parameter();
        self.in_item = false;
        let lower = name.to_lowercase();
        self.section = match lower.as_str() {
            "inputs" => SectionKind::Inputs,
            "steps" => SectionKind::Steps,
            "outputs" => SectionKind::Outputs,
            "cache" => SectionKind::Cache,
            _ => SectionKind::Other,
        };
        let meant = match lower.as_str() {
            "input" => Some("Inputs"),
            "output" => Some("Outputs"),
            "step" => Some("Steps"),
            _ => None,
        };
        if let Some(expected) = meant {
            let found = name.to_owned();
            self.read.warnings.push(MarkdownWarning::NearMiss { line: line.number, found, expected });
        }
        if let Some(name) = section_name(self.section) {
            match self.sections.get(name) {
                Some(first) => {
                    let reason = MarkdownReason::DuplicateSection { name, first: *first };
                    self.problems.report(line.number, reason);
                }
                None => {
                    self.sections.insert(name, line.number);
                    if self.section == SectionKind::Cache {
                        self.read.cache = Some(CacheSection::new(line.number));
                    }
                }
            }
        }
        if self.section == SectionKind::Steps && self.read.steps_line.is_none() {
            self.read.steps_line = Some(line.number);
        }
        self.read.outline.sections.push(MarkdownSection {
            kind: self.section,
            name: name.to_owned(),
            heading: line.start..line.end,
            ..MarkdownSection::default()
        });
    }

    fn item(&mut self, line: Line<'t>, id: &str) {
        self.close_parameter();
        let mut chars = id.chars();
        let fits = chars.next().is_some_and(|first| first.is_ascii_lowercase())
            && chars
                .all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '-' | '_'));
        let mut is_misnamed = !fits;
        if fits {
            let first = *self.ids.entry((self.section, id.to_owned())).or_insert(line.number);
            if first != line.number {
                is_misnamed = true;
                self.problems.report(line.number, MarkdownReason::DuplicateItem { id: id.to_owned(), first });
            }
        } else {
            self.problems.report(line.number, MarkdownReason::InvalidId { id: id.to_owned() });
        }
        self.in_item = true;
        self.read.items.push(RawItem {
            section: self.section,
            id: id.to_owned(),
            line: line.number,
            prose: String::new(),
            parameters: Vec::new(),
            fences: Vec::new(),
            is_misnamed,
        });
        let (id, heading) = (id.to_owned(), line.start..line.end);
        self.read.outline.open_section().items.push(MarkdownItem { id, heading, pieces: Vec::new() });
    }

    fn cache_line(&mut self, line: Line<'t>, stripped: &str) {
        let kind = if self.follows_title() { PieceKind::Ignored } else { prose_or_blank(stripped) };
        let Some((key, value)) = key_and_value(line.text) else {
            return self.read.outline.add(line.start..line.end, kind);
        };
        self.read.outline.add(line.start..line.end, PieceKind::Parameter { keys: vec![key.to_owned()] });
        if let Some(cache) = &mut self.read.cache {
            cache.parameter(line.number, key, strip(value), self.problems);
        }
    }

    fn item_line(&mut self, line: Line<'t>, stripped: &str) {
        if let Some(parameter) = &mut self.parameter {
            if stripped.is_empty() || indentation(line.text) >= parameter.column {
                parameter.push(line);
                return;
            }
            self.close_parameter();
        }
        let unindented = line.text.trim_start_matches(is_space);
        if unindented.strip_prefix("- ").is_some_and(|after| !after.is_empty()) {
            let block = key_and_value(line.text).and_then(|(_, value)| {
                let (column, indent) = (key_column(line.text)?, block_header(strip(value))?);
                Some(OpenBlock { key: column, content: indent.map(|indent| column + indent) })
            });
            self.parameter = Some(OpenParameter {
                line: line.number,
                lines: vec![strip_end(line.text)],
                range: line.start..line.end,
                blank: line.end..line.end,
                column: indentation(line.text) + 2,
                block,
            });
            return;
        }
        self.read.outline.add(line.start..line.end, prose_or_blank(stripped));
        if let Some(item) = self.open_item().filter(|_| !stripped.is_empty()) {
            if !item.prose.is_empty() {
                item.prose.push('\n');
            }
            item.prose.push_str(stripped);
        }
    }

    fn close_parameter(&mut self) {
        let Some(open) = self.parameter.take() else { return };
        let text = open.text();
        let keys = keys_of(&text, open.column);
        self.read.outline.add(open.range, PieceKind::Parameter { keys });
        if !open.blank.is_empty() {
            self.read.outline.add(open.blank, PieceKind::Blank);
        }
        if let Some(item) = self.open_item() {
            item.parameters.push(RawParameter { line: open.line, text });
        }
    }

    fn other_line(&mut self, line: Line<'t>, stripped: &'t str) {
        let kind = if self.follows_title() { PieceKind::Ignored } else { prose_or_blank(stripped) };
        self.read.outline.add(line.start..line.end, kind);
        if stripped.is_empty() {
            return;
        }
        if self.section == SectionKind::Preamble {
            if self.read.title.is_some() {
                self.description.push(stripped);
            }
        } else {
            self.stray(line.number);
        }
    }

    fn finish(mut self) -> Scanned {
        self.close_parameter();
        if let Some(fence) = self.fence.take() {
            self.problems.report(fence.line, MarkdownReason::UnclosedFence);
            self.read.outline.add(fence.range, PieceKind::Ignored);
        }
        if !self.description.is_empty() {
            self.read.description = Some(self.description.join("\n"));
        }
        for stray in &self.strays {
            let name = section_name(stray.section).unwrap_or_default();
            if self.read.items.iter().any(|item| item.section == stray.section) {
                self.read.warnings.push(MarkdownWarning::Stray { line: stray.first, section: name });
            } else {
                self.problems.report(stray.first, MarkdownReason::NoItem { name });
            }
        }
        self.read
    }
}

fn prose_or_blank(stripped: &str) -> PieceKind {
    if stripped.is_empty() { PieceKind::Blank } else { PieceKind::Prose }
}

/// The column of the key in `- key: value`.
fn key_column(line: &str) -> Option<usize> {
    let dash = indentation(line);
    let after_dash = line.trim_start_matches(is_space).strip_prefix('-')?;
    Some(dash + 1 + indentation(after_dash))
}

/// The keys of a parameter: that of its first line, and those of continuing lines at the same column.
fn keys_of(text: &str, column: usize) -> Vec<String> {
    let mut lines = text.split('\n');
    let first = lines.next().unwrap_or_default();
    let column = key_column(first).unwrap_or(column);
    let further = lines.filter(|line| indentation(line) == column).filter_map(|line| {
        let key = line.trim_start_matches(is_space);
        let end = key.find(": ").or_else(|| strip_end(key).strip_suffix(':').map(str::len))?;
        key.get(..end).filter(|key| !key.starts_with(['#', '-']))
    });
    key_and_value(first).map(|(key, _)| key).into_iter().chain(further).map(str::to_owned).collect()
}

impl<'t> OpenParameter<'t> {
    fn push(&mut self, line: Line<'t>) {
        self.lines.push(line.text);
        self.blank.end = line.end;
        if !strip(line.text).is_empty() {
            self.range.end = line.end;
            self.blank.start = line.end;
        }
    }

    /// The lines without the blank ones at the end.
    fn text(&self) -> String {
        let blank = self.lines.iter().rev().take_while(|line| strip(line).is_empty()).count();
        self.lines.get(..self.lines.len() - blank).unwrap_or_default().join("\n")
    }
}

impl Scanned {
    /// Takes the cache, if its section has all it needs.
    pub(super) fn take_cache(&mut self, problems: &mut Problems) -> Option<MarkdownCache> {
        self.cache.take().and_then(|cache| cache.finish(problems))
    }
}
