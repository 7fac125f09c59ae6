//! The hash of a document's exact bytes.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::text_form::text_form;

const PREFIX: &str = "sha256:";
const LEN: usize = 32;

/// The SHA-256 of exact bytes, written `sha256:` and 64 lowercase hexadecimal digits.
///
/// Two contents are the same bytes if and only if their hashes are equal. Nothing is normalised before
/// hashing. The order is that of the digest; its only use is a stable order in sorted lists.
///
/// ```
/// use pflow_store::document::ContentHash;
///
/// let hash = ContentHash::of(b"{}");
/// assert_eq!(hash.to_string(), "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
/// assert_eq!(ContentHash::parse(&hash.to_string()), Ok(hash));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; LEN]);

/// A text that is not a content hash.
///
/// Uppercase digits and bare hexadecimal digits are refused too, so that one content has one spelling and
/// hashes can be compared as text. A caller that imports another spelling must convert it first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a content hash: expected `sha256:` and 64 lowercase hexadecimal digits")]
pub struct InvalidContentHash;

impl ContentHash {
    /// The length of the text form in bytes.
    pub(crate) const TEXT_BYTES: usize = PREFIX.len() + 2 * LEN;

    /// Hashes `bytes` as they are.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The hash that has this digest.
    pub(super) fn from_digest(digest: [u8; LEN]) -> Self {
        Self(digest)
    }

    /// The digest.
    pub(crate) fn digest(&self) -> &[u8; LEN] {
        &self.0
    }

    /// The digits alone, for use in a key.
    pub(crate) fn hex(&self) -> String {
        base16ct::lower::encode_string(&self.0)
    }

    /// Parses the text form.
    ///
    /// # Errors
    ///
    /// [`InvalidContentHash`] for any text that [`Display`](fmt::Display) would not write.
    pub fn parse(text: &str) -> Result<Self, InvalidContentHash> {
        let digits = text.strip_prefix(PREFIX).ok_or(InvalidContentHash)?;
        let mut digest = [0; LEN];
        let decoded = base16ct::lower::decode(digits, &mut digest).map_err(|_| InvalidContentHash)?;
        if decoded.len() == LEN { Ok(Self(digest)) } else { Err(InvalidContentHash) }
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.hex())
    }
}

text_form!(ContentHash, InvalidContentHash);

#[cfg(test)]
mod tests {
    use super::*;

    // The digest of the empty message, from the examples of FIPS 180-4.
    const OF_NOTHING: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn hashes_the_exact_bytes() {
        assert_eq!(ContentHash::of(b"").to_string(), OF_NOTHING);
        assert_ne!(ContentHash::of(b"{}"), ContentHash::of(b"{ }"));
    }

    #[test]
    fn text_and_serde_round_trip() {
        let hash = ContentHash::of(b"plan");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(json, format!("\"{hash}\""));
        assert_eq!(serde_json::from_str::<ContentHash>(&json).unwrap(), hash);
    }

    #[test]
    fn other_spellings_are_refused() {
        let digits = OF_NOTHING.strip_prefix(PREFIX).unwrap();
        let shorter = digits.strip_prefix('e').unwrap();
        for text in [
            "",
            "sha256:",
            digits,
            &format!("sha512:{digits}"),
            &format!("SHA256:{digits}"),
            &format!("{PREFIX}{}", digits.to_uppercase()),
            &format!("{PREFIX}{shorter}"),
            &OF_NOTHING.replace("e3", ""),
            &format!("{OF_NOTHING}00"),
            &format!("{OF_NOTHING} "),
            &format!("{PREFIX}g{shorter}"),
            &OF_NOTHING.replace("e3", "é"),
        ] {
            assert_eq!(ContentHash::parse(text), Err(InvalidContentHash), "{text:?}");
            assert!(serde_json::from_value::<ContentHash>(text.into()).is_err(), "{text:?}");
        }
    }
}
