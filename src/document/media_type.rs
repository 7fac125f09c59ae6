//! The media types of stored contents.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The format of a stored content, written as its media type (RFC 6838), also by serde. It decides the name of
/// the working copy.
///
/// An unknown media type fails to deserialize: the document was written by a newer program and cannot be read
/// here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MediaType {
    /// `application/json`: a workflow in JSON. Its working copy is `workflow.json`.
    #[serde(rename = "application/json")]
    Json,
    /// `application/vnd.pflow-store.other+json`: a JSON object of another tool. Its working copy is
    /// `workflow.json`.
    #[serde(rename = "application/vnd.pflow-store.other+json")]
    OtherJson,
    /// `text/vnd.pflow.markdown`: a workflow in pflow's markdown. Its working copy is `workflow.pflow.md`.
    #[serde(rename = "text/vnd.pflow.markdown")]
    PflowMarkdown,
    /// `application/octet-stream`: any bytes. Its working copy is `workflow.bin`.
    #[serde(rename = "application/octet-stream")]
    Opaque,
}

impl MediaType {
    /// All media types.
    pub const ALL: [Self; 4] = [Self::Json, Self::OtherJson, Self::PflowMarkdown, Self::Opaque];

    /// The text form, for example `application/json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::OtherJson => "application/vnd.pflow-store.other+json",
            Self::PflowMarkdown => "text/vnd.pflow.markdown",
            Self::Opaque => "application/octet-stream",
        }
    }

    /// Returns the media type of this text form, if this program knows it.
    pub fn known(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|media_type| media_type.as_str() == text)
    }

    /// Returns the first media type whose working copy has this file name.
    pub(crate) fn of_file_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|media_type| media_type.file_name() == name)
    }

    /// The file name of a working copy of this type.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Json | Self::OtherJson => "workflow.json",
            Self::PflowMarkdown => "workflow.pflow.md",
            Self::Opaque => "workflow.bin",
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_uses_the_text_form() {
        for known in MediaType::ALL {
            assert_eq!(serde_json::to_value(known).unwrap(), known.as_str());
            assert_eq!(serde_json::from_value::<MediaType>(known.as_str().into()).unwrap(), known);
            assert_eq!(MediaType::known(known.as_str()), Some(known));
        }
        assert!(serde_json::from_str::<MediaType>("\"text/x-unknown\"").is_err());
    }
}
