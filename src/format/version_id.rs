use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::FormatError;
use crate::{document::ContentHash, text_form::text_form};

/// The highest generation that fits into a key: 12 digits.
pub const MAX_GENERATION: u64 = 999_999_999_999;

/// The name of a version in the world: 26 lowercase letters and digits, as of a ULID.
///
/// A saved version has the random id of the attempt that wrote it, so a version that is found in a chain proves
/// that its attempt succeeded. A derived version has an id that follows from its record: several attempts may
/// write it, and it proves that the same merge is in the chain.
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

    /// In place of the id of a derived version while that id is computed.
    pub(crate) const ZERO: Self = Self([b'0'; LENGTH]);

    /// The id of a version that is derived: the time in milliseconds, then the first 80 bits of the hash of its
    /// record, in Crockford's base 32 in lowercase.
    pub(crate) fn derived(time: DateTime<Utc>, hash: ContentHash) -> Self {
        const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let time = u128::try_from(time.timestamp_millis()).unwrap_or_default() & ((1 << 48) - 1);
        let mut bits = hash.digest().iter().take(10).fold(time, |bits, byte| (bits << 8) | u128::from(*byte));
        let mut id = [b'0'; LENGTH];
        for digit in id.iter_mut().rev() {
            *digit = DIGITS.get((bits % 32) as usize).copied().unwrap_or(b'0');
            bits /= 32;
        }
        Self(id)
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

    /// The time is the example of the specification of ULIDs; the digits are counted by hand.
    #[test]
    fn derived_id_is_a_time_and_eighty_bits() {
        let time = DateTime::from_timestamp_millis(1_469_918_176_385).unwrap();
        let hash = |digits: &str| ContentHash::parse(&format!("sha256:{digits:0<64}")).unwrap();
        assert_eq!(VersionId::derived(time, hash("")).as_str(), "01aryz6s410000000000000000");
        assert_eq!(VersionId::derived(time, hash(&"f".repeat(20))).as_str(), "01aryz6s41zzzzzzzzzzzzzzzz");
        assert_eq!(
            VersionId::derived(time, hash("0000000000000000002")).as_str(),
            "01aryz6s410000000000000010"
        );
        assert_eq!(
            VersionId::derived(time, hash("00000000000000000001f")).as_str(),
            "01aryz6s410000000000000001"
        );
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
