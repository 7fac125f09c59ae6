use pflow_store::{Loaded, WorkflowId};
use serde::Serialize;

/// A loaded workflow.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Content<'a> {
    id: &'a str,
    generation: u64,
    hash: Option<String>,
    media_type: &'a str,
    /// The file that it was written to, instead of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(flatten)]
    text: Option<Text<'a>>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Text<'a> {
    /// `utf-8`.
    encoding: &'static str,
    content: &'a str,
}

impl<'a> Content<'a> {
    pub(crate) fn text(id: &'a WorkflowId, loaded: &'a Loaded, content: &'a str) -> Self {
        Self::of(id, loaded, None, Some(Text { encoding: "utf-8", content }))
    }

    pub(crate) fn written(id: &'a WorkflowId, loaded: &'a Loaded, file: String) -> Self {
        Self::of(id, loaded, Some(file), None)
    }

    fn of(id: &'a WorkflowId, loaded: &'a Loaded, file: Option<String>, text: Option<Text<'a>>) -> Self {
        let record = &loaded.record;
        Self {
            id: id.as_str(),
            generation: record.generation,
            hash: record.hash.map(|hash| hash.to_string()),
            media_type: record.media_type.as_str(),
            file,
            text,
        }
    }
}
