//! The checksum at the end of a stored line of JSON.
//!
//! A line is `{…,"checksum":"sha256:…"}`: the last field is the hash of the bytes of the same line without
//! that field. So any flipped bit and any truncation is detected when the line is read, and then no part of
//! it is used. The checksum does not protect against deliberate changes.

use super::FormatError;
use crate::document::ContentHash;

const FIELD: &str = ",\"checksum\":\"";

/// Adds the checksum to a line. The line must be an object with at least one field.
pub(super) fn seal(mut line: Vec<u8>) -> Vec<u8> {
    let checksum = ContentHash::of(&line);
    if line.pop().is_some() {
        line.extend_from_slice(format!("{FIELD}{checksum}\"}}").as_bytes());
    }
    line
}

/// Checks and removes the checksum of a line.
pub(super) fn unseal(line: &[u8]) -> Result<Vec<u8>, FormatError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let found = line.strip_suffix(b"\"}").and_then(|line| {
        let at = line.len().checked_sub(ContentHash::TEXT_BYTES)?;
        let (line, checksum) = line.split_at_checked(at)?;
        Some((line.strip_suffix(FIELD.as_bytes())?, checksum))
    });
    let (fields, checksum) = found.ok_or(FormatError::NoChecksum)?;
    let line = [fields, b"}"].concat();
    if checksum == ContentHash::of(&line).to_string().as_bytes() {
        Ok(line)
    } else {
        Err(FormatError::Checksum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flipped_bits_and_truncations_are_detected() {
        let line = br#"{"format":"x/1","n":1}"#;
        let sealed = seal(line.to_vec());
        assert_eq!(unseal(&sealed).unwrap(), line);
        assert_eq!(unseal(&[&sealed[..], b"\n"].concat()).unwrap(), line);
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(&flipped).is_err(), "bit {bit}");
        }
        for end in 0..sealed.len() {
            assert!(unseal(&sealed[..end]).is_err(), "cut at {end}");
        }
        assert!(unseal(&[&sealed[..], b" "].concat()).is_err() && unseal(b"{}").is_err());
    }
}
