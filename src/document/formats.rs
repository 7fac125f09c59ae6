//! The formats of documents.

use std::fmt;

use super::{
    error::DocumentError,
    json::{self, Rules},
    markdown::workflow,
    media_type::MediaType,
    reader::{Facts, Limits},
};

/// A format of documents: which rules a document must keep, and what is known of it.
///
/// Its name is what the program's `--format` takes. The stored content has the [`MediaType`] of its format.
///
/// ```
/// use pflow_store::document::DocumentFormat;
///
/// assert_eq!(DocumentFormat::detect(b"{ \"nodes\": [] }"), DocumentFormat::Json);
/// assert_eq!("opaque".parse(), Ok(DocumentFormat::Opaque));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DocumentFormat {
    /// `ir`: complete IR of pflow in JSON, bare or in the wrapper of a saved workflow. `ir_version` and at
    /// least one node are required.
    Ir,
    /// `json`: a workflow in JSON of which only the existing fields are checked, as the seed stored it.
    Json,
    /// `other-json`: a JSON object of another tool. No rule of pflow applies to it.
    OtherJson,
    /// `markdown`: a workflow in pflow's [markdown](super::markdown).
    Markdown,
    /// `opaque`: any bytes. Nothing is checked, and nothing is known of them but their size.
    Opaque,
}

/// What a format does.
pub(super) trait FormatRules: Sync {
    /// The name of the format.
    fn name(&self) -> &'static str;

    /// The media type of a content in this format. Several formats may share one.
    fn media_type(&self) -> MediaType;

    /// Whether a document without a named format is of this one. The formats are asked in the order of
    /// [`DocumentFormat::ALL`].
    fn detects(&self, bytes: &[u8]) -> bool;

    /// Checks a document that is within the limit for the size, and extracts what is known of it.
    fn read(&self, bytes: &[u8], limits: &Limits) -> Result<Facts, DocumentError>;
}

struct Json {
    name: &'static str,
    media_type: MediaType,
    rules: Rules,
}

struct Markdown;

struct Opaque;

impl DocumentFormat {
    /// All formats.
    pub const ALL: [Self; 5] = [Self::Ir, Self::Json, Self::OtherJson, Self::Markdown, Self::Opaque];

    pub(super) fn rules(self) -> &'static dyn FormatRules {
        match self {
            Self::Ir => &Json { name: "ir", media_type: MediaType::Json, rules: Rules::CompleteWorkflow },
            Self::Json => &Json { name: "json", media_type: MediaType::Json, rules: Rules::Workflow },
            Self::OtherJson => {
                &Json { name: "other-json", media_type: MediaType::OtherJson, rules: Rules::Foreign }
            }
            Self::Markdown => &Markdown,
            Self::Opaque => &Opaque,
        }
    }

    /// The name of the format.
    pub fn name(self) -> &'static str {
        self.rules().name()
    }

    /// The media type of contents in this format.
    pub fn media_type(self) -> MediaType {
        self.rules().media_type()
    }

    /// The format that the name of a file tells; none if the content must tell.
    pub fn of_file_name(name: &str) -> Option<Self> {
        match name {
            _ if name.ends_with(".md") => Some(Self::Markdown),
            // A working copy.
            _ if name == MediaType::Opaque.file_name() => Some(Self::Opaque),
            _ => None,
        }
    }

    /// Detects the format of a document whose author named none. What is no document of any format is taken
    /// for JSON.
    pub fn detect(bytes: &[u8]) -> Self {
        Self::ALL.into_iter().find(|format| format.rules().detects(bytes)).unwrap_or(Self::Json)
    }

    /// The format in which a stored content of this media type is read.
    pub(crate) fn of_stored(media_type: MediaType) -> Self {
        match media_type {
            MediaType::Json => Self::Json,
            MediaType::OtherJson => Self::OtherJson,
            MediaType::PflowMarkdown => Self::Markdown,
            MediaType::Opaque => Self::Opaque,
        }
    }
}

impl fmt::Display for DocumentFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that is not the name of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a format of documents: expected {}", DocumentFormat::ALL.map(DocumentFormat::name).join(", "))]
pub struct UnknownFormat;

impl std::str::FromStr for DocumentFormat {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or(UnknownFormat)
    }
}

impl FormatRules for Json {
    fn name(&self) -> &'static str {
        self.name
    }

    fn media_type(&self) -> MediaType {
        self.media_type
    }

    fn detects(&self, bytes: &[u8]) -> bool {
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        self.rules == Rules::Workflow && matches!(first, Some(b'{' | b'['))
    }

    fn read(&self, bytes: &[u8], limits: &Limits) -> Result<Facts, DocumentError> {
        json::read(bytes, limits, self.rules)
    }
}

impl FormatRules for Markdown {
    fn name(&self) -> &'static str {
        "markdown"
    }

    fn media_type(&self) -> MediaType {
        MediaType::PflowMarkdown
    }

    /// A document that has a heading or front matter. The first character of JSON was asked for before.
    fn detects(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(b"---")
            || bytes.split(|byte| matches!(byte, b'\n' | b'\r')).any(|line| {
                let line = line.trim_ascii_start();
                line.starts_with(b"# ") || line.starts_with(b"## ")
            })
    }

    fn read(&self, bytes: &[u8], _: &Limits) -> Result<Facts, DocumentError> {
        workflow::read(bytes)
    }
}

impl FormatRules for Opaque {
    fn name(&self) -> &'static str {
        "opaque"
    }

    fn media_type(&self) -> MediaType {
        MediaType::Opaque
    }

    fn detects(&self, _: &[u8]) -> bool {
        false
    }

    fn read(&self, _: &[u8], _: &Limits) -> Result<Facts, DocumentError> {
        Ok(Facts::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back_and_others_are_refused_with_all_of_them() {
        for format in DocumentFormat::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let refused = "yaml".parse::<DocumentFormat>().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "not a format of documents: expected ir, json, other-json, markdown, opaque"
        );
    }

    #[test]
    fn stored_content_is_read_in_a_format_of_its_media_type() {
        for format in DocumentFormat::ALL {
            assert_eq!(DocumentFormat::of_stored(format.media_type()).media_type(), format.media_type());
        }
    }
}
