//! Why a markdown workflow is refused.

use std::fmt;

use crate::document::quoted;

/// Why a markdown workflow is refused: all defects that were found independently of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MarkdownRefusal {
    /// The first defects, at least one, in the order in which pflow checks: the first is the one that pflow
    /// reports. At most [`MAX_DEFECTS`](crate::document::MAX_DEFECTS) are listed.
    pub defects: Vec<MarkdownDefect>,
    /// How many more there are.
    pub more: usize,
}

impl fmt::Display for MarkdownRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.defects.first() else { return f.write_str("the document is not a workflow") };
        write!(f, "{first}")?;
        match self.defects.len() - 1 + self.more {
            0 => Ok(()),
            others => write!(f, ", and {others} more"),
        }
    }
}

impl std::error::Error for MarkdownRefusal {}

/// One defect of a markdown workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MarkdownDefect {
    /// The line, from 1, where pflow reports it: for a parameter that is the heading of its item.
    pub line: usize,
    /// The defect.
    pub reason: MarkdownReason,
}

impl fmt::Display for MarkdownDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// What is wrong in a markdown workflow. Names taken from the document are cut to fit into a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MarkdownReason {
    /// The front matter is not YAML.
    #[error("the front matter is not YAML: line {line}: {reason}")]
    FrontMatter {
        /// The line of the document.
        line: usize,
        /// The reason.
        reason: String,
    },
    /// A fence has no end.
    #[error("the fence is not closed")]
    UnclosedFence,
    /// A section occurs twice.
    #[error("duplicate section {name}, first on line {first}")]
    DuplicateSection {
        /// The name of the section.
        name: &'static str,
        /// The line of the first one.
        first: usize,
    },
    /// The id of an item has the wrong form.
    #[error("invalid id {}, expected lower-case letters, digits, - and _ after a letter", quoted(.id))]
    InvalidId {
        /// The id.
        id: String,
    },
    /// Another item of the section has the id.
    #[error("duplicate id {}, first used on line {first}", quoted(.id))]
    DuplicateItem {
        /// The id.
        id: String,
        /// The line of the first one.
        first: usize,
    },
    /// A section has text, but no item.
    #[error("the section {name} has text but no item")]
    NoItem {
        /// The name of the section.
        name: &'static str,
    },
    /// There is no `## Steps`.
    #[error("the section Steps is missing")]
    NoStepsSection,
    /// `## Steps` has no item.
    #[error("the section Steps has no step")]
    NoStep,
    /// An item has no line of prose.
    #[error("{} has no description", quoted(.id))]
    NoDescription {
        /// The id of the item.
        id: String,
    },
    /// A step has no `type`.
    #[error("the step {} has no type", quoted(.id))]
    NoType {
        /// The id of the step.
        id: String,
    },
    /// A line with a dash is no parameter.
    #[error("{} is not a parameter of {}, expected key: value", quoted(.text), quoted(.id))]
    NotAParameter {
        /// The id of the item.
        id: String,
        /// The text.
        text: String,
    },
    /// The value of a parameter begins with a quote and does not end with it.
    #[error("the quoted value of {} in {} is not closed", quoted(.key), quoted(.id))]
    UnclosedQuote {
        /// The id of the item.
        id: String,
        /// The key of the parameter.
        key: String,
    },
    /// A parameter is not YAML.
    #[error("a parameter of {} is not YAML: line {line}: {reason}", quoted(.id))]
    ParameterYaml {
        /// The id of the item.
        id: String,
        /// The line of the document.
        line: usize,
        /// The reason.
        reason: String,
    },
    /// A fence in an item does not name its parameter.
    #[error("the fence does not say which parameter it is")]
    UnnamedFence,
    /// Two fences of an item are the same parameter.
    #[error("duplicate fence for {}, first on line {first}", quoted(.key))]
    DuplicateFence {
        /// The parameter.
        key: String,
        /// The line of the first one.
        first: usize,
    },
    /// A fence says that it is YAML, and is not.
    #[error("the fence for {} is not YAML: line {line}: {reason}", quoted(.key))]
    FenceYaml {
        /// The parameter.
        key: String,
        /// The line of the document.
        line: usize,
        /// The reason.
        reason: String,
    },
    /// A parameter of a step is inline and a fence too.
    #[error("the parameter {} is both inline and a fence", quoted(.key))]
    InlineAndFence {
        /// The parameter.
        key: String,
    },
    /// A step has the id that ends a workflow.
    #[error("a step cannot have the id \"end\"")]
    ReservedId,
    /// A step names another one that does not exist.
    #[error("the step {} leads to {}, which does not exist", quoted(.from), quoted(.to))]
    UnknownTarget {
        /// The step.
        from: String,
        /// What it names.
        to: String,
    },
    /// The code of a step computes the next step, and the step does not list the possible ones.
    #[error("the code of {} computes the next step, but there is no next parameter", quoted(.id))]
    UndeclaredNext {
        /// The step.
        id: String,
    },
    /// A step is the target of a branch and does not say what comes next.
    #[error("the step {} is the target of a branch, but has no next parameter", quoted(.id))]
    OpenBranch {
        /// The step.
        id: String,
    },
    /// A step continues, by the order of the document, in the target of another step's branch.
    #[error("the step {} falls into {}, which is the target of a branch", quoted(.from), quoted(.to))]
    FallsIntoBranch {
        /// The step.
        from: String,
        /// The target.
        to: String,
    },
    /// `## Cache` has a parameter other than `ttl`.
    #[error("the section Cache has no parameter {}, only ttl", quoted(.key))]
    CacheKey {
        /// The parameter.
        key: String,
    },
    /// The `ttl` of `## Cache` is wrong.
    #[error("invalid ttl {}, expected 1m to 60m or 1h", quoted(.value))]
    CacheTtl {
        /// The value.
        value: String,
    },
    /// `## Cache` has two `ttl`.
    #[error("duplicate ttl")]
    DuplicateTtl,
    /// A fence of `## Cache` is no `cache` fence.
    #[error("a fence of the section Cache must be cache, found {}", quoted(.found))]
    CacheFence {
        /// What its first line says.
        found: String,
    },
    /// `## Cache` has two `cache` fences.
    #[error("the section Cache has a second cache fence")]
    SecondCacheFence,
    /// A chunk of the cache has alternatives.
    #[error("{} has alternatives, which a cached value cannot have", quoted(.name))]
    CacheAlternatives {
        /// The text between `${` and `}`.
        name: String,
    },
    /// A chunk of the cache occurs twice.
    #[error("duplicate cached value {}", quoted(.name))]
    DuplicateChunk {
        /// The text between `${` and `}`.
        name: String,
    },
    /// A template after the last chunk of the cache is malformed.
    #[error("{} is not a valid reference", quoted(.text))]
    CacheTemplate {
        /// The template.
        text: String,
    },
    /// The `cache` fence has no reference.
    #[error("the cache fence has no ${{…}} reference")]
    NoChunk,
    /// `## Cache` has no `cache` fence.
    #[error("the section Cache has no cache fence")]
    NoCacheFence,
}
