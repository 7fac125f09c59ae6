use std::fmt;

use serde::{Deserialize, Deserializer, de::Error as _};

use super::FormatError;
use crate::text_form::text_form;

/// The highest generation that fits into a key: 12 digits.
pub const MAX_GENERATION: u64 = 999_999_999_999;

/// The id of one attempt to make a generation: a ULID, 26 lowercase letters and digits that sort by time.
///
/// An id is used for exactly one attempt, so a version that is found in a chain proves that its attempt
/// succeeded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionId([u8; LENGTH]);

const LENGTH: usize = 26;

/// A text that is not a valid [`VersionId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a version id has 26 of a-z and 0-9")]
pub struct InvalidVersionId;

impl VersionId {
    /// Parses a version id.
    ///
    /// # Errors
    /// [`InvalidVersionId`] for any other text.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, InvalidVersionId> {
        let bytes: [u8; LENGTH] = text.as_ref().try_into().map_err(|_| InvalidVersionId)?;
        let plain = bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if plain { Ok(Self(bytes)) } else { Err(InvalidVersionId) }
    }

    /// Takes an id made by [`pflow_backend::Environment::new_id`]. An environment that makes other ids
    /// violates its contract.
    pub(crate) fn of_new(id: &str) -> Result<Self, FormatError> {
        let refuse = || FormatError::Contradiction(format!("{id:?} is no id that an environment makes"));
        Self::parse(id).map_err(|_| refuse())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // They are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

text_form!(VersionId, InvalidVersionId);

/// Deserializes a stored generation: 1 to [`MAX_GENERATION`]. Any other number would not fit into a key.
pub(crate) fn generation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    let refuse = || D::Error::custom(format_args!("a generation is a number from 1 to {MAX_GENERATION}"));
    (1..=MAX_GENERATION).contains(&number).then_some(number).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Numbered {
        #[serde(deserialize_with = "generation")]
        #[allow(dead_code, reason = "only whether it can be read counts")]
        generation: u64,
    }

    #[test]
    fn values_that_do_not_fit_into_a_key_are_refused() {
        for text in ["", "a b", "../../../../../../../../../../x", "01HM6AQH20FQASWN6Q70MQYXXE"] {
            assert!(serde_json::from_value::<VersionId>(text.into()).is_err(), "{text:?}");
        }
        for number in [0, MAX_GENERATION + 1, u64::MAX] {
            let value = serde_json::json!({ "generation": number });
            assert!(serde_json::from_value::<Numbered>(value).is_err(), "{number}");
        }
        assert!(VersionId::parse("01hm6aqh20fqaswn6q70mqyxxe").is_ok());
    }
}
