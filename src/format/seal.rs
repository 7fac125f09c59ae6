//! The checksum at the end of a stored line of JSON.
//!
//! A line is `{…,"checksum":"sha256:…"}`: the last field is the hash of the bytes of the same line without
//! that field. So any flipped bit and any truncation is detected when the line is read, and then no part of
//! it is used. The checksum does not protect against deliberate changes. The envelope of a version has a
//! short checksum instead: `{…,"crc32c":"…"}`.

use super::FormatError;
use crate::document::ContentHash;

/// A kind of checksum: the start of its field, the length of its text, and the text for some bytes.
pub(super) struct Checksum {
    field: &'static str,
    length: usize,
    of: fn(&[u8]) -> String,
}

pub(super) const SHA256: Checksum = Checksum {
    field: ",\"checksum\":\"",
    length: ContentHash::TEXT_BYTES,
    of: |bytes| ContentHash::of(bytes).to_string(),
};

/// CRC-32C in eight hexadecimal digits.
pub(super) const CRC: Checksum =
    Checksum { field: ",\"crc32c\":\"", length: 8, of: |bytes| format!("{:08x}", crc32c(bytes)) };

/// The CRC-32C of RFC 3720, bit by bit: it is used for lines of some 200 bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    /// The polynomial, reflected.
    const POLYNOMIAL: u32 = 0x82F6_3B78;
    let shift = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| shift(crc)))
}

/// Adds the checksum to a line. The line must be an object with at least one field.
pub(super) fn seal(kind: &Checksum, mut line: Vec<u8>) -> Vec<u8> {
    let checksum = (kind.of)(&line);
    if line.pop().is_some() {
        line.extend_from_slice(format!("{}{checksum}\"}}", kind.field).as_bytes());
    }
    line
}

/// Checks and removes the checksum of a line.
pub(super) fn unseal(kind: &Checksum, line: &[u8]) -> Result<Vec<u8>, FormatError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let found = line.strip_suffix(b"\"}").and_then(|line| {
        let at = line.len().checked_sub(kind.length)?;
        let (line, checksum) = line.split_at_checked(at)?;
        Some((line.strip_suffix(kind.field.as_bytes())?, checksum))
    });
    let (fields, checksum) = found.ok_or(FormatError::NoChecksum)?;
    let line = [fields, b"}"].concat();
    if checksum == (kind.of)(&line).as_bytes() { Ok(line) } else { Err(FormatError::Checksum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flipped_bits_and_truncations_are_detected() {
        let line = br#"{"format":"x/1","n":1}"#;
        for kind in [SHA256, CRC] {
            let sealed = seal(&kind, line.to_vec());
            assert_eq!(unseal(&kind, &sealed).unwrap(), line);
            assert_eq!(unseal(&kind, &[&sealed[..], b"\n"].concat()).unwrap(), line);
            for bit in 0..sealed.len() * 8 {
                let mut flipped = sealed.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(unseal(&kind, &flipped).is_err(), "bit {bit}");
            }
            for end in 0..sealed.len() {
                assert!(unseal(&kind, &sealed[..end]).is_err(), "cut at {end}");
            }
            assert!(unseal(&kind, &[&sealed[..], b" "].concat()).is_err() && unseal(&kind, b"{}").is_err());
        }
    }

    /// The check value of the catalogue of CRC algorithms, and a vector of RFC 3720, B.4.
    #[test]
    fn crc_is_that_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
    }
}
