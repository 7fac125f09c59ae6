//! Workflows in pflow's markdown (`*.pflow.md`), read as pflow 0.16.0 reads them.
//!
//! [`parse`] takes a document if pflow's parser takes it, with two classes of exceptions. The Python of a
//! step is only searched for assignments to `next`, so syntax errors in it are not found; and what pflow
//! takes without bound is bounded here. `docs/decisions/0065-pflow-markdown.md` lists all differences.
//!
//! Lines and white space are those of Python: a line also ends at a lone CR, at U+0085 and at U+2028.
//!
//! The result has the workflow ([`PflowMarkdown::to_ir`]) and an [outline](MarkdownOutline) that says for
//! each byte what it is part of.

mod build;
mod cache;
mod error;
mod front_matter;
mod outline;
mod python;
mod routes;
mod scan;
mod template;
mod text;
pub(super) mod workflow;

use serde_json::{Map, Value, json};

pub use super::yaml::{YamlMap, YamlValue};
pub use cache::{CacheChunk, MarkdownCache};
pub use error::{MarkdownDefect, MarkdownReason, MarkdownRefusal};
pub(super) use front_matter::split;
pub use outline::{MarkdownItem, MarkdownOutline, MarkdownPiece, MarkdownSection, PieceKind, SectionKind};
pub use routes::MarkdownEdge;

use outline::SectionKind as Section;

/// How many defects of a document are listed.
const MAX_DEFECTS: usize = super::MAX_DEFECTS;

/// A workflow in pflow's markdown.
///
/// ```
/// use pflow_store::document::markdown;
///
/// let text = "# Greet\n\n## Steps\n\n### hello\n\nSays hello.\n\n- type: echo\n- text: hi\n";
/// let workflow = markdown::parse(text)?;
/// assert_eq!(workflow.title.as_deref(), Some("Greet"));
/// assert_eq!(workflow.to_ir()["nodes"][0]["params"]["text"], "hi");
///
/// let refused = markdown::parse("# Greet\n").unwrap_err();
/// assert_eq!(refused.to_string(), "line 1: the section Steps is missing");
/// # Ok::<(), markdown::MarkdownRefusal>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PflowMarkdown {
    /// The front matter, if it is a map.
    pub front_matter: Option<YamlMap>,
    /// The byte after the front matter; 0 if there is none.
    pub body_start: usize,
    /// The text of the first heading of the first level.
    pub title: Option<String>,
    /// The lines between the title and the first section, without the blank ones.
    pub description: Option<String>,
    /// The inputs in order.
    pub inputs: Vec<MarkdownPort>,
    /// The steps in order; at least one.
    pub steps: Vec<MarkdownStep>,
    /// The outputs in order.
    pub outputs: Vec<MarkdownPort>,
    /// The cached texts.
    pub cache: Option<MarkdownCache>,
    /// Which step follows which.
    pub edges: Vec<MarkdownEdge>,
    /// What is probably a mistake.
    pub warnings: Vec<MarkdownWarning>,
    /// Which part of the text is what.
    pub outline: MarkdownOutline,
}

/// An input or an output.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MarkdownPort {
    /// The id.
    pub id: String,
    /// The line of its heading.
    pub line: usize,
    /// Its description and parameters.
    pub fields: YamlMap,
}

/// A step.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MarkdownStep {
    /// The id.
    pub id: String,
    /// The line of its heading.
    pub line: usize,
    /// Its type, which is a text in every workflow that runs.
    pub kind: YamlValue,
    /// Its description.
    pub purpose: String,
    /// Those of `batch`, `loop`, `retry`, `cache`, `prompt_cache`, `prewarm` and `approval` that it has.
    pub settings: YamlMap,
    /// All other parameters.
    pub params: YamlMap,
    /// It may end the workflow.
    pub routes_to_end: bool,
}

/// What is probably a mistake in a document that was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MarkdownWarning {
    /// The name of a section is almost that of one with a meaning.
    #[error("line {line}: the section {} is ignored, {expected} has a meaning", super::quoted(.found))]
    NearMiss {
        /// The line of the heading.
        line: usize,
        /// The name.
        found: String,
        /// The name that was probably meant.
        expected: &'static str,
    },
    /// A section has text that belongs to no item.
    #[error("line {line}: the section {section} has text that belongs to no item")]
    Stray {
        /// The first line of the text.
        line: usize,
        /// The name of the section.
        section: &'static str,
    },
}

/// The defects so far.
#[derive(Debug, Default)]
struct Problems {
    listed: Vec<MarkdownDefect>,
    count: usize,
}

impl Problems {
    fn report(&mut self, line: usize, reason: MarkdownReason) {
        self.count += 1;
        if self.listed.len() < MAX_DEFECTS {
            self.listed.push(MarkdownDefect { line, reason });
        }
    }
}

/// Reads a workflow, in time and memory in proportion to the text.
///
/// # Errors
///
/// The document is not a workflow. All independent defects are found; the first one is the one that pflow
/// reports.
pub fn parse(text: &str) -> Result<PflowMarkdown, MarkdownRefusal> {
    let mut problems = Problems::default();
    let mut read = scan::scan(text, &mut problems);
    let is_step = |item: &&scan::RawItem| item.section == Section::Steps;
    match read.steps_line {
        None => problems.report(1, MarkdownReason::NoStepsSection),
        Some(line) if !read.items.iter().any(|item| is_step(&item)) => {
            problems.report(line, MarkdownReason::NoStep);
        }
        Some(_) => {}
    }
    let inputs = build::ports(&read.items, Section::Inputs, &mut problems);
    let before = problems.count;
    let (steps, routing) = build::steps(&read.items, &mut problems);
    let misnamed = read.items.iter().filter(is_step).any(|item| item.is_misnamed);
    // A step that is not whole would make others look wrong.
    let edges = if problems.count == before && !misnamed {
        routes::edges(&routing, &mut problems)
    } else {
        Vec::new()
    };
    let outputs = build::ports(&read.items, Section::Outputs, &mut problems);
    let cache = read.take_cache(&mut problems);
    if problems.count > 0 {
        let more = problems.count - problems.listed.len();
        return Err(MarkdownRefusal { defects: problems.listed, more });
    }
    Ok(PflowMarkdown {
        front_matter: read.front_matter,
        body_start: read.body_start,
        title: read.title,
        description: read.description,
        inputs,
        steps,
        outputs,
        cache,
        edges,
        warnings: read.warnings,
        outline: read.outline,
    })
}

impl PflowMarkdown {
    /// Returns the workflow as JSON in the form that pflow gives it, without its line numbers.
    pub fn to_ir(&self) -> Value {
        let mut ir = Map::new();
        let ports = |ports: &[MarkdownPort]| -> Map<String, Value> {
            ports.iter().map(|port| (port.id.clone(), Value::Object(port.fields.to_json()))).collect()
        };
        if !self.inputs.is_empty() {
            ir.insert("inputs".to_owned(), ports(&self.inputs).into());
        }
        ir.insert("nodes".to_owned(), self.steps.iter().map(MarkdownStep::to_ir).collect());
        ir.insert("edges".to_owned(), self.edges.iter().map(MarkdownEdge::to_ir).collect());
        if !self.outputs.is_empty() {
            ir.insert("outputs".to_owned(), ports(&self.outputs).into());
        }
        if let Some(cache) = &self.cache {
            let items: Vec<Value> = cache
                .chunks
                .iter()
                .map(|CacheChunk { name, prose_before }| {
                    json!({ "name": name, "var": name, "prose_before": prose_before })
                })
                .collect();
            let mut fields = Map::from_iter([("items".to_owned(), Value::Array(items))]);
            if let Some(ttl) = &cache.ttl {
                fields.insert("ttl".to_owned(), Value::String(ttl.clone()));
            }
            ir.insert("cache".to_owned(), Value::Object(fields));
        }
        Value::Object(ir)
    }
}

impl MarkdownStep {
    fn to_ir(&self) -> Value {
        let mut node = self.settings.to_json();
        node.insert("id".to_owned(), Value::String(self.id.clone()));
        node.insert("type".to_owned(), self.kind.to_json());
        node.insert("purpose".to_owned(), Value::String(self.purpose.clone()));
        if !self.params.is_empty() {
            node.insert("params".to_owned(), Value::Object(self.params.to_json()));
        }
        if self.routes_to_end {
            node.insert("_routes_to_end".to_owned(), Value::Bool(true));
        }
        Value::Object(node)
    }
}

#[cfg(test)]
mod tests;
