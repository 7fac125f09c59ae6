//! Reading a document as a value of the caller's type.

use super::place::excerpt;

/// Says why a document could not be read as a type, without its position.
///
/// Invariant: the text repeats no value of the document, which may be a secret. Texts of serde name the value
/// that they found; only their parts that are known to come from the type are kept, and names of fields.
pub(crate) fn why_not_read(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if let Some(expected) = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant `"]
        .into_iter()
        .find_map(|start| text.strip_prefix(start))
        .and_then(|rest| rest.rsplit_once(", expected "))
        .map(|(_value, expected)| expected)
    {
        return format!("expected {}", excerpt(without_position(expected, error)));
    }
    let names_a_field = ["missing field `", "unknown field `", "duplicate field `"];
    if names_a_field.iter().any(|start| text.starts_with(start)) {
        return excerpt(without_position(&text, error)).into_owned();
    }
    "the value is not one that the type accepts".to_owned()
}

/// The message without the position that serde_json appends.
fn without_position<'t>(text: &'t str, error: &serde_json::Error) -> &'t str {
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).unwrap_or(text)
}
