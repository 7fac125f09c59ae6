//! Which part of a document is what, byte for byte.

use std::ops::Range;

/// The parts of a markdown workflow, in order. They tile the text: each byte is in exactly one of the ranges
/// that [`leaves`](Self::leaves) lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MarkdownOutline {
    /// The front matter with the lines that open and close it; empty if there is none.
    pub front_matter: Range<usize>,
    /// What is before the first section: the title, the description, and items that belong to no section.
    pub preamble: MarkdownSection,
    /// The sections.
    pub sections: Vec<MarkdownSection>,
}

/// A section, or the preamble.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MarkdownSection {
    /// What the section is for.
    pub kind: SectionKind,
    /// The text of its heading; empty for the preamble.
    pub name: String,
    /// The line of its heading; empty for the preamble.
    pub heading: Range<usize>,
    /// What is before the first item.
    pub lead: Vec<MarkdownPiece>,
    /// The items.
    pub items: Vec<MarkdownItem>,
}

/// What a section is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SectionKind {
    /// What is before the first section.
    #[default]
    Preamble,
    /// `## Inputs`.
    Inputs,
    /// `## Steps`.
    Steps,
    /// `## Outputs`.
    Outputs,
    /// `## Cache`.
    Cache,
    /// Any other section, which is ignored.
    Other,
}

/// An item: a `###` heading and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MarkdownItem {
    /// The id.
    pub id: String,
    /// The line of its heading.
    pub heading: Range<usize>,
    /// What follows.
    pub pieces: Vec<MarkdownPiece>,
}

/// Whole lines that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MarkdownPiece {
    /// The bytes.
    pub range: Range<usize>,
    /// What they are.
    pub kind: PieceKind,
}

/// What a [`MarkdownPiece`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PieceKind {
    /// The title.
    Title,
    /// Lines of prose.
    Prose,
    /// Blank lines.
    Blank,
    /// One parameter with the lines that continue it.
    Parameter {
        /// Its keys: more than one if lines that continue it are parameters too.
        keys: Vec<String>,
    },
    /// A fence with its content.
    Fence {
        /// The parameter that it is, if its first line names one.
        parameter: Option<String>,
    },
    /// Lines without a meaning: later titles, and what follows a title within a section.
    Ignored,
}

impl MarkdownOutline {
    /// Returns the range of every leaf in order, without the empty ones.
    pub fn leaves(&self) -> Vec<Range<usize>> {
        let mut leaves = vec![self.front_matter.clone()];
        for section in std::iter::once(&self.preamble).chain(&self.sections) {
            leaves.push(section.heading.clone());
            leaves.extend(section.lead.iter().map(|piece| piece.range.clone()));
            for item in &section.items {
                leaves.push(item.heading.clone());
                leaves.extend(item.pieces.iter().map(|piece| piece.range.clone()));
            }
        }
        leaves.retain(|leaf| !leaf.is_empty());
        leaves
    }

    /// Starts a piece at the end of the document so far, or extends the last one if it is of the same kind.
    pub(super) fn add(&mut self, range: Range<usize>, kind: PieceKind) {
        let pieces = self.open_pieces();
        if let Some(last) = pieces.last_mut() {
            let joins = matches!(kind, PieceKind::Prose | PieceKind::Blank | PieceKind::Ignored);
            if joins && last.kind == kind {
                last.range.end = range.end;
                return;
            }
        }
        pieces.push(MarkdownPiece { range, kind });
    }

    /// The section that is being read.
    pub(super) fn open_section(&mut self) -> &mut MarkdownSection {
        self.sections.last_mut().unwrap_or(&mut self.preamble)
    }

    fn open_pieces(&mut self) -> &mut Vec<MarkdownPiece> {
        let section = self.open_section();
        match section.items.last_mut() {
            Some(item) => &mut item.pieces,
            None => &mut section.lead,
        }
    }
}
