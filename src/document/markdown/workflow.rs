//! A markdown workflow as a document of a store: what is known of it.

use super::{
    super::{
        Body, Defect, DocumentError, Metadata, Reason,
        metadata::{Labels, MAX_DESCRIPTION_BYTES, MAX_NAME_BYTES, MAX_VERSION_BYTES, label},
        reader::Facts,
        yaml::YamlValue,
    },
    MarkdownRefusal, PflowMarkdown, parse,
};

/// Checks a document.
pub(in crate::document) fn read(bytes: &[u8]) -> Result<Facts, DocumentError> {
    let text = std::str::from_utf8(bytes).map_err(|error| DocumentError::not_utf8(bytes, error))?;
    let workflow = parse(text).map_err(refusal)?;
    Ok(Facts { metadata: metadata(&workflow), body: Body::of_markdown(text) })
}

fn refusal(MarkdownRefusal { defects, more }: MarkdownRefusal) -> DocumentError {
    let defects = defects.into_iter().map(|defect| Defect {
        place: format!("line {}", defect.line),
        reason: Reason::Markdown(defect.reason),
    });
    DocumentError::Invalid { defects: defects.collect(), more }
}

/// The title is that of the document, else the `name` in its front matter. The description is that below the
/// title, else that in the front matter. Tags are the `tags` of the front matter, or its `search_keywords`.
fn metadata(workflow: &PflowMarkdown) -> Metadata {
    let field = |key: &str| workflow.front_matter.as_ref()?.get(key);
    let own = |key, max| label(field(key)?.as_text()?, max).map(|text| text.into_owned());
    let read = |text: &Option<String>, max| label(text.as_deref()?, max).map(|text| text.into_owned());
    let texts = |key| match field(key) {
        Some(YamlValue::List(values)) => values.iter().filter_map(YamlValue::as_text).collect(),
        _ => Vec::new(),
    };
    let labels = |mut labels: Labels, texts: Vec<&str>| {
        texts.into_iter().for_each(|text| labels.add(text));
        labels.take()
    };
    let kinds = workflow.steps.iter().filter_map(|step| step.kind.as_text()).collect();
    let version = field("version").map(|version| match version.to_json() {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    });
    Metadata {
        name: read(&workflow.title, MAX_NAME_BYTES).or_else(|| own("name", MAX_NAME_BYTES)),
        description: read(&workflow.description, MAX_DESCRIPTION_BYTES)
            .or_else(|| own("description", MAX_DESCRIPTION_BYTES)),
        tags: labels(Labels::tags(), texts("tags"))
            .or_else(|| labels(Labels::tags(), texts("search_keywords")))
            .unwrap_or_default(),
        nodes: labels(Labels::node_types(), kinds).unwrap_or_default(),
        version: read(&version, MAX_VERSION_BYTES),
    }
}
