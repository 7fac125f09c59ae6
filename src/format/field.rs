use crate::{Error, Result, document::written_bytes};

/// Checks that a text from a caller fits into a record: not empty, at most `limit` bytes as it is written in
/// JSON, no NUL.
pub(crate) fn check_text(field: &'static str, text: Option<&str>, limit: usize) -> Result<()> {
    let reason = match text {
        Some(text) if text.trim().is_empty() => "it is empty".to_owned(),
        Some(text) if written_bytes(text) > limit => too_long(text.len(), written_bytes(text), limit),
        Some(text) if text.contains('\0') => "it holds a NUL byte".to_owned(),
        _ => return Ok(()),
    };
    Err(Error::InvalidField { field, reason })
}

/// Checks that a list from a caller fits into a record: at most `limit` bytes as it is written in JSON.
pub(crate) fn check_list(field: &'static str, texts: &[String], limit: usize) -> Result<()> {
    // Two quotes and a comma.
    let written: usize = texts.iter().map(|text| written_bytes(text) + 3).sum();
    if written <= limit {
        return Ok(());
    }
    let bytes = texts.iter().map(String::len).sum();
    Err(Error::InvalidField { field, reason: too_long(bytes, written, limit) })
}

fn too_long(bytes: usize, written: usize, limit: usize) -> String {
    match bytes > limit {
        true => format!("it has {bytes} bytes, at most {limit} are allowed"),
        false => format!("it has {written} bytes when it is written in JSON, at most {limit} are allowed"),
    }
}
