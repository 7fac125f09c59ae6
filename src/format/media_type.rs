use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::FormatError;
use crate::document::MediaType;

/// The maximum length of a media type, in bytes. RFC 6838 allows 127 for each half.
const LONGEST: usize = 255;

/// The media type of a stored content. A type that only a newer program knows is kept as it is: the workflow
/// can still be listed, locked, verified and indexed, and only reading or replacing the content is refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct StoredMediaType(Cow<'static, str>);

impl StoredMediaType {
    /// The text form, for example `application/json`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the media type, if this program knows it.
    ///
    /// # Errors
    /// [`FormatError::UnknownMediaType`]: a newer program wrote the content.
    pub fn known(&self) -> Result<MediaType, FormatError> {
        MediaType::known(&self.0).ok_or_else(|| FormatError::UnknownMediaType { found: self.to_string() })
    }
}

impl From<MediaType> for StoredMediaType {
    fn from(media_type: MediaType) -> Self {
        Self(Cow::Borrowed(media_type.as_str()))
    }
}

impl<'de> Deserialize<'de> for StoredMediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        if let Some(known) = MediaType::known(&text) {
            return Ok(known.into());
        }
        // `type/subtype` of RFC 6838, followed by any parameters.
        let is_name = |name: &str| name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let is_media_type = text.len() <= LONGEST
            && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
            && text.split_once('/').is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype));
        if is_media_type {
            Ok(Self(Cow::Owned(text.into_owned())))
        } else {
            Err(D::Error::custom(format!("{text:?} is not a media type")))
        }
    }
}

impl fmt::Display for StoredMediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_media_types_are_kept_and_other_texts_are_refused() {
        let read = |text: &str| serde_json::from_value::<StoredMediaType>(text.into());
        let json = read("application/json").unwrap();
        assert_eq!((json.known().unwrap(), json.clone()), (MediaType::Json, MediaType::Json.into()));
        for newer in ["text/markdown", "application/vnd.pflow+yaml", "text/markdown; variant=pflow"] {
            let read = read(newer).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), newer);
            assert!(read.known().unwrap_err().is_newer());
        }
        for refused in
            ["", "json", "/json", "text/", "text/\u{e4}", "a\n/b", &format!("a/{}", "b".repeat(300))]
        {
            assert!(read(refused).is_err(), "{refused:?}");
        }
    }
}
