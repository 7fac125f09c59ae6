use crate::{Error, Result};

/// Checks that a text from a caller fits into a head: not empty, at most `limit` bytes, no NUL.
pub(crate) fn check_text(field: &'static str, text: Option<&str>, limit: usize) -> Result<()> {
    let reason = match text {
        Some(text) if text.trim().is_empty() => "it is empty".to_owned(),
        Some(text) if text.len() > limit => {
            format!("it has {} bytes, at most {limit} are allowed", text.len())
        }
        Some(text) if text.contains('\0') => "it holds a NUL byte".to_owned(),
        _ => return Ok(()),
    };
    Err(Error::InvalidField { field, reason })
}
