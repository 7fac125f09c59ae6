use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use pflow_store::{WorkflowId, format::VersionRecord};
use serde::Serialize;

/// A loaded workflow.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct LoadedContent<'a> {
    id: &'a str,
    generation: u64,
    /// The hash of the content of that generation.
    hash: Option<String>,
    media_type: &'a str,
    /// Whether the working copy differs from that generation. Absent without `--live`.
    #[serde(skip_serializing_if = "Option::is_none")]
    differs: Option<bool>,
    /// The file that it was written to, instead of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(flatten)]
    text: Option<Text<'a>>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Text<'a> {
    /// `utf-8`, or `base64` (RFC 4648, with padding) for a content that is not UTF-8.
    encoding: &'static str,
    content: Cow<'a, str>,
}

impl<'a> Text<'a> {
    fn of(content: &'a [u8]) -> Self {
        match std::str::from_utf8(content) {
            Ok(text) => Self { encoding: "utf-8", content: Cow::Borrowed(text) },
            Err(_) => Self { encoding: "base64", content: Cow::Owned(BASE64_STANDARD.encode(content)) },
        }
    }
}

impl<'a> LoadedContent<'a> {
    /// A version with its content, or with the file that the content was written to.
    pub(crate) fn new(
        id: &'a WorkflowId,
        record: &'a VersionRecord,
        content: &'a [u8],
        file: Option<String>,
    ) -> Self {
        Self {
            id: id.as_str(),
            generation: record.generation,
            hash: record.hash.map(|hash| hash.to_string()),
            media_type: record.media_type.as_str(),
            differs: None,
            text: file.is_none().then(|| Text::of(content)),
            file,
        }
    }

    /// The same for a working copy.
    pub(crate) fn differing(self, differs: Option<bool>) -> Self {
        Self { differs, ..self }
    }
}
