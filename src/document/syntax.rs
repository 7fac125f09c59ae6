//! Says in plain words why a text is not JSON.

use serde_json::error::Category;

use super::error::DocumentError;

/// Why a text is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxError {
    /// Nothing but white space.
    #[error("the document is empty")]
    Empty,
    /// The text ends too early: it was probably cut off.
    #[error("the document is truncated, it ends in the middle")]
    Truncated,
    /// Something follows the end of the JSON value.
    #[error("text after the end of the document")]
    Trailing,
    /// A comment, which JSON does not have.
    #[error("a comment, which JSON does not have")]
    Comment,
    /// A word of another language.
    #[error("`{found}` is not JSON, {hint}")]
    Foreign {
        /// The word or sign.
        found: &'static str,
        /// What JSON has instead.
        hint: &'static str,
    },
    /// Anything else, in the words of serde_json.
    #[error("{0}")]
    Other(String),
}

const NO_SUCH_NUMBER: &str = "which has no such number";

/// What people and other languages write where JSON has something else.
const FOREIGN: [(&str, &str); 8] = [
    ("NaN", NO_SUCH_NUMBER),
    ("Infinity", NO_SUCH_NUMBER),
    ("-Infinity", NO_SUCH_NUMBER),
    ("undefined", "write `null`"),
    ("None", "write `null`"),
    ("True", "write `true`"),
    ("False", "write `false`"),
    ("'", "strings stand in double quotes"),
];

/// Turns serde_json's error about `text` into ours: with a column in characters, which is what an editor
/// shows, and by name if it is one of the usual mistakes.
pub(super) fn explain(text: &str, error: &serde_json::Error) -> DocumentError {
    let offset = match error.classify() {
        Category::Eof => text.len(),
        Category::Syntax | Category::Data | Category::Io => offset_of(text, error),
    };
    let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
    let reason = match error.classify() {
        Category::Eof if text.trim_ascii().is_empty() => SyntaxError::Empty,
        Category::Eof => SyntaxError::Truncated,
        Category::Syntax | Category::Data | Category::Io => reason(before, after, error),
    };
    let (line, column) = position(before);
    DocumentError::Syntax { line, column, reason }
}

fn reason(before: &str, after: &str, error: &serde_json::Error) -> SyntaxError {
    if ["//", "/*", "#"].iter().any(|sign| after.starts_with(sign)) {
        return SyntaxError::Comment;
    }
    // serde_json stops behind the minus sign.
    let signed = before.ends_with('-') && after.starts_with("Infinity");
    let foreign = FOREIGN.iter().find(|(found, _)| match found.strip_prefix('-') {
        Some(unsigned) => signed && after.starts_with(unsigned),
        None => !signed && after.starts_with(found),
    });
    if let Some(&(found, hint)) = foreign {
        return SyntaxError::Foreign { found, hint };
    }
    let message = error.to_string();
    // serde_json appends the position, which is told apart here.
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    if message == "trailing characters" {
        return SyntaxError::Trailing;
    }
    SyntaxError::Other(message.to_owned())
}

/// The offset that serde_json means: it counts lines from 1 and bytes within the line up to and including
/// the one that it stopped at; of a line's end it says the next line, byte 0.
fn offset_of(text: &str, error: &serde_json::Error) -> usize {
    let line_start: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let mut offset = (line_start + error.column()).saturating_sub(1).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// The line and the column in characters, both from 1, of what follows `before`.
fn position(before: &str) -> (usize, usize) {
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        let error = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
        explain(text, &error).to_string()
    }

    #[test]
    fn usual_mistakes_are_named_with_line_and_column() {
        for (text, expected) in [
            ("", "line 1, column 1: the document is empty"),
            (" \n ", "line 2, column 2: the document is empty"),
            ("{\n  \"a\": [1, 2", "line 2, column 13: the document is truncated, it ends in the middle"),
            ("{\"a\": \"é", "line 1, column 9: the document is truncated, it ends in the middle"),
            ("{\"a\": tru", "line 1, column 10: the document is truncated, it ends in the middle"),
            ("{}\n{}", "line 2, column 1: text after the end of the document"),
            ("{} x", "line 1, column 4: text after the end of the document"),
            ("{} // x", "line 1, column 4: a comment, which JSON does not have"),
            ("{ /* x */ }", "line 1, column 3: a comment, which JSON does not have"),
            ("{\n# x\n}", "line 2, column 1: a comment, which JSON does not have"),
            ("{\"a\": 1 // x\n}", "line 1, column 9: a comment, which JSON does not have"),
            ("[1, // x\n2]", "line 1, column 5: a comment, which JSON does not have"),
            ("{\"é\": NaN}", "line 1, column 7: `NaN` is not JSON, which has no such number"),
            ("[Infinity]", "line 1, column 2: `Infinity` is not JSON, which has no such number"),
            ("[-Infinity]", "line 1, column 3: `-Infinity` is not JSON, which has no such number"),
            ("[None]", "line 1, column 2: `None` is not JSON, write `null`"),
            ("[True]", "line 1, column 2: `True` is not JSON, write `true`"),
            ("{'a': 1}", "line 1, column 2: `'` is not JSON, strings stand in double quotes"),
            ("[1,]", "line 1, column 4: trailing comma"),
            ("{\"a\" 1}", "line 1, column 6: expected `:`"),
            ("{\"a\": 1 \"b\": 2}", "line 1, column 9: expected `,` or `}`"),
            ("{a: 1}", "line 1, column 2: key must be a string"),
            ("[1e999]", "line 1, column 6: number out of range"),
            ("[é]", "line 1, column 2: expected value"),
            (
                "[\"aé\n\"]",
                "line 1, column 5: control character (\\u0000-\\u001F) found while parsing a string",
            ),
        ] {
            assert_eq!(message(text), expected, "{text:?}");
        }
    }
}
