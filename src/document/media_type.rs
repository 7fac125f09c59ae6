//! The formats that a document may have.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The format of a document, written as its media type (RFC 6838), also by serde.
///
/// An unknown media type fails to deserialize: the document was written by a newer program and cannot be read
/// here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MediaType {
    /// `application/json`
    #[serde(rename = "application/json")]
    Json,
}

impl MediaType {
    /// The text form, for example `application/json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
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
        assert_eq!(serde_json::to_value(MediaType::Json).unwrap(), MediaType::Json.as_str());
        let read: MediaType = serde_json::from_str("\"application/json\"").unwrap();
        assert_eq!(read, MediaType::Json);
        assert!(serde_json::from_str::<MediaType>("\"text/x-unknown\"").is_err());
    }
}
