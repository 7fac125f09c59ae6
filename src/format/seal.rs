//! The checksum that ends a stored line of JSON.
//!
//! A line is `{…,"checksum":"sha256:…"}`: the last field is the hash of the bytes of the same line without
//! it. So a bit that flips in it, whichever it is, and a part that is cut off are noticed when the line is
//! read, and nothing of it is believed. A person's or a program's deliberate change is not what it is for.

use super::FormatError;
use crate::document::ContentHash;

const FIELD: &str = ",\"checksum\":\"";

/// The line with its checksum. It must be an object with a field.
pub(super) fn seal(mut line: Vec<u8>) -> Vec<u8> {
    let checksum = ContentHash::of(&line);
    if line.pop().is_some() {
        line.extend_from_slice(format!("{FIELD}{checksum}\"}}").as_bytes());
    }
    line
}

/// The line without its checksum.
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
    fn no_flipped_bit_and_no_cut_passes() {
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
