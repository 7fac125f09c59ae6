//! Which step follows which.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::error::MarkdownReason;
use super::{Problems, YamlValue};

/// That one step may follow another one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MarkdownEdge {
    /// The id of the first step.
    pub from: String,
    /// The id of the step that follows.
    pub to: String,
    /// When: `default`, `error` or a name of the author's. None if the order of the document says so.
    pub action: Option<String>,
}

impl MarkdownEdge {
    pub(super) fn to_ir(&self) -> Value {
        match &self.action {
            Some(action) => json!({ "from": self.from, "to": self.to, "action": action }),
            None => json!({ "from": self.from, "to": self.to }),
        }
    }

    /// The edge is one of several ways.
    fn is_branch(&self) -> bool {
        self.action.as_deref().is_some_and(|action| action != "default")
    }
}

/// What a step says about what follows it.
#[derive(Debug, Default)]
pub(super) struct Routing {
    pub(super) id: String,
    pub(super) line: usize,
    pub(super) next: Option<YamlValue>,
    pub(super) on_error: Option<YamlValue>,
    /// The targets in its code.
    pub(super) from_code: Vec<String>,
    /// Its code computes the target.
    pub(super) is_computed: bool,
}

/// The targets that a `next` names.
pub(super) fn targets(next: &YamlValue) -> Vec<String> {
    let text = python_text(next);
    if text.contains(',') {
        let targets = text.split(',').map(super::text::strip).filter(|target| !target.is_empty());
        targets.map(str::to_owned).collect()
    } else {
        vec![super::text::strip(&text).to_owned()]
    }
}

/// The text that Python's `str` gives, or one that, like it, is no id.
fn python_text(value: &YamlValue) -> String {
    match value {
        YamlValue::Text(text) => text.clone(),
        YamlValue::Null => "None".to_owned(),
        YamlValue::Bool(true) => "True".to_owned(),
        YamlValue::Bool(false) => "False".to_owned(),
        other => match other.to_json() {
            // `inf` and `nan`, or a time.
            Value::String(text) => text,
            json => json.to_string(),
        },
    }
}

/// Python takes the value for false.
fn is_empty(value: &YamlValue) -> bool {
    match value {
        YamlValue::Null => true,
        YamlValue::Bool(value) => !value,
        YamlValue::Int(digits) => digits == "0",
        YamlValue::Float(value) => *value == 0.0,
        YamlValue::Text(text) => text.is_empty(),
        YamlValue::Timestamp(_) => false,
        YamlValue::List(values) => values.is_empty(),
        YamlValue::Map(map) => map.is_empty(),
    }
}

/// Returns the edges of all steps, and checks them.
pub(super) fn edges(steps: &[Routing], problems: &mut Problems) -> Vec<MarkdownEdge> {
    let mut edges = Vec::new();
    let mut following = steps.iter().skip(1);
    for step in steps {
        add_edges(step, following.next(), &mut edges);
    }
    let lines: BTreeMap<&str, usize> = steps.iter().map(|step| (step.id.as_str(), step.line)).collect();
    let line_of = |id: &str| lines.get(id).copied().unwrap_or(1);
    if let Some(line) = lines.get("end") {
        problems.report(*line, MarkdownReason::ReservedId);
    }
    let mut known = true;
    for edge in edges.iter().filter(|edge| !lines.contains_key(edge.to.as_str())) {
        known = false;
        let (from, to) = (edge.from.clone(), edge.to.clone());
        problems.report(line_of(&edge.from), MarkdownReason::UnknownTarget { from, to });
    }
    if known {
        check_branches(steps, &edges, problems, line_of);
    }
    edges
}

fn add_edges(step: &Routing, following: Option<&Routing>, edges: &mut Vec<MarkdownEdge>) {
    let own = edges.len();
    let mut add = |to: &str, action: Option<&str>| {
        let (from, action) = (step.id.clone(), action.map(str::to_owned));
        edges.push(MarkdownEdge { from, to: to.to_owned(), action });
    };
    match step.next.as_ref().filter(|next| **next != YamlValue::Null) {
        None => {
            if let Some(following) = following {
                add(&following.id, None);
            }
        }
        Some(next) => {
            let targets: Vec<String> = targets(next).into_iter().filter(|target| target != "end").collect();
            if targets.len() > 1 {
                for target in &targets {
                    add(target, Some(target));
                }
            }
            if let Some(first) = targets.first() {
                add(first, Some("default"));
            }
        }
    }
    if let Some(target) = step.on_error.as_ref().filter(|target| !is_empty(target)) {
        add(&python_text(target), Some("error"));
    }
    let actions: BTreeSet<String> = edges.iter().skip(own).filter_map(|edge| edge.action.clone()).collect();
    for target in step.from_code.iter().filter(|target| !actions.contains(*target)) {
        let (from, to, action) = (step.id.clone(), target.clone(), Some(target.clone()));
        edges.push(MarkdownEdge { from, to, action });
    }
}

/// A branch must say where it ends, and no other step may fall into it.
fn check_branches(
    steps: &[Routing],
    edges: &[MarkdownEdge],
    problems: &mut Problems,
    line_of: impl Fn(&str) -> usize,
) {
    let with_next: BTreeSet<&str> =
        steps.iter().filter(|step| step.next.is_some()).map(|step| step.id.as_str()).collect();
    let computed: BTreeSet<&str> =
        steps.iter().filter(|step| step.is_computed).map(|step| step.id.as_str()).collect();
    for id in computed.difference(&with_next) {
        problems.report(line_of(id), MarkdownReason::UndeclaredNext { id: (*id).to_owned() });
    }
    let mut branches: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for edge in edges.iter().filter(|edge| edge.is_branch()) {
        branches.entry(&edge.to).or_default().insert(&edge.from);
    }
    for id in branches.keys().filter(|id| !with_next.contains(**id)) {
        problems.report(line_of(id), MarkdownReason::OpenBranch { id: (*id).to_owned() });
    }
    for edge in edges.iter().filter(|edge| edge.action.is_none()) {
        let falls = branches.get(edge.to.as_str()).is_some_and(|from| !from.contains(edge.from.as_str()));
        if falls {
            let (from, to) = (edge.from.clone(), edge.to.clone());
            problems.report(line_of(&edge.from), MarkdownReason::FallsIntoBranch { from, to });
        }
    }
}
