//! Explains in plain words why a text is not JSON.

use super::super::error::{DocumentError, position};
use super::super::syntax_error::SyntaxError;
use super::scan::Failure;

const NO_SUCH_NUMBER: &str = "which has no such number";

/// Spellings of people and other languages for which JSON has another one.
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

const CONFLICT_MARKERS: [&str; 4] = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"];

/// How many bytes are examined to guess the encoding of a text.
const SAMPLE: usize = 256;

/// The error for `text`. The column is in characters, as editors show it. Common mistakes are named.
pub(super) fn explain(text: &str, failure: Failure) -> DocumentError {
    let Failure { offset, reason } = failure;
    let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
    let is_first = before.trim_ascii().is_empty();
    if let Some(encoding) = unmarked_encoding(text.as_bytes()).filter(|_| after.starts_with('\0')) {
        return DocumentError::Syntax { line: 1, column: 1, reason: SyntaxError::Encoding { encoding } };
    }
    let reason = match reason {
        SyntaxError::Truncated if text.trim_ascii().is_empty() => SyntaxError::Empty,
        SyntaxError::Truncated => SyntaxError::Truncated,
        _ if after.starts_with('\0') && after.bytes().all(|byte| byte == 0) => {
            if before.is_empty() {
                SyntaxError::Zeros { bytes: text.len() }
            } else {
                SyntaxError::ZeroTail
            }
        }
        reason => conflict_marker(before, after)
            .or_else(|| if is_first { language(after) } else { None })
            .or_else(|| foreign(after))
            .unwrap_or(reason),
    };
    let (line, column) = position(before);
    DocumentError::Syntax { line, column, reason }
}

/// The encoding of a text in which every second byte, or three of four bytes, are zero, as in mostly Latin
/// text.
pub(super) fn unmarked_encoding(bytes: &[u8]) -> Option<&'static str> {
    let sample = bytes.get(..bytes.len().min(SAMPLE)).unwrap_or_default();
    let is = |unit: usize, zeros: &[usize]| {
        let fits =
            |unit: &&[u8]| unit.iter().enumerate().all(|(nth, byte)| (*byte == 0) == zeros.contains(&nth));
        let units = sample.chunks_exact(unit);
        let all = units.len();
        all > 0 && units.filter(fits).count() * 4 >= all * 3
    };
    // The wider encodings come first: the first half of a UTF-32LE unit looks like UTF-16LE.
    let encodings: [(&str, usize, &[usize]); 4] = [
        ("UTF-32LE", 4, &[1, 2, 3]),
        ("UTF-32BE", 4, &[0, 1, 2]),
        ("UTF-16LE", 2, &[1]),
        ("UTF-16BE", 2, &[0]),
    ];
    encodings.into_iter().find(|(_, unit, zeros)| is(*unit, zeros)).map(|(name, ..)| name)
}

/// The conflict marker at the beginning of the line in which reading stopped.
fn conflict_marker(before: &str, after: &str) -> Option<SyntaxError> {
    let begun = before.rsplit('\n').next().unwrap_or_default();
    let line = format!("{begun}{}", after.get(..after.len().min(8)).unwrap_or_default());
    let marker = CONFLICT_MARKERS.into_iter().find(|marker| {
        line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\r', '\n']))
    });
    marker.map(|marker| SyntaxError::ConflictMarker { marker })
}

/// The language of a text whose first character is not JSON.
fn language(text: &str) -> Option<SyntaxError> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next()?.trim_end();
    let heading = |line: &str| line.trim_start_matches('#').starts_with(' ') && line.starts_with('#');
    let language = if first == "---" {
        // The front matter of Markdown ends with a second `---`.
        let body = lines.skip_while(|line| line.trim_end() != "---").nth(1);
        if body.is_some_and(heading) { "Markdown" } else { "YAML or Markdown" }
    } else if heading(first) {
        // A comment before JSON looks like a heading.
        if lines
            .find(|line| !line.starts_with('#'))
            .is_some_and(|line| line.trim_start().starts_with(['{', '[']))
        {
            return None;
        }
        "Markdown"
    } else if first.starts_with("- ") || is_yaml_key(first) {
        "YAML"
    } else if first.starts_with('<')
        && first.chars().nth(1).is_some_and(|c| c.is_alphabetic() || "!?".contains(c))
    {
        "XML or HTML"
    } else {
        return None;
    };
    Some(SyntaxError::Language { language })
}

/// Whether a line is `key:` or `key: value`.
fn is_yaml_key(line: &str) -> bool {
    line.split_once(':').is_some_and(|(key, value)| {
        let plain = key.chars().all(|c| c.is_alphanumeric() || "_-. ".contains(c));
        !key.is_empty() && plain && (value.is_empty() || value.starts_with(' '))
    })
}

fn foreign(after: &str) -> Option<SyntaxError> {
    if ["//", "/*", "#"].iter().any(|sign| after.starts_with(sign)) {
        return Some(SyntaxError::Comment);
    }
    let (found, hint) = FOREIGN.into_iter().find(|(found, _)| after.starts_with(found))?;
    Some(SyntaxError::Foreign { found, hint })
}

#[cfg(test)]
mod tests {
    use crate::document::why_not_json;

    fn message(text: &str) -> String {
        why_not_json(text.as_bytes()).map_or_else(|| "accepted".to_owned(), |refusal| refusal.to_string())
    }

    #[test]
    fn usual_mistakes_are_named_with_line_and_column() {
        for (text, expected) in [
            ("", "line 1, column 1: the document is empty"),
            (" \n ", "line 2, column 2: the document is empty"),
            ("{\n  \"a\": [1, 2", "line 2, column 13: the document is truncated, it ends in the middle"),
            ("{\"a\": \"é", "line 1, column 9: the document is truncated, it ends in the middle"),
            ("{\"a\": tru", "line 1, column 10: the document is truncated, it ends in the middle"),
            ("[\"\\u00", "line 1, column 7: the document is truncated, it ends in the middle"),
            ("[\"\\ud83d\\", "line 1, column 10: the document is truncated, it ends in the middle"),
            ("[1.", "line 1, column 4: the document is truncated, it ends in the middle"),
            ("{}\n{}", "line 2, column 1: text after the end of the document"),
            ("{} x", "line 1, column 4: text after the end of the document"),
            ("{} // x", "line 1, column 4: a comment, which JSON does not have"),
            ("{ /* x */ }", "line 1, column 3: a comment, which JSON does not have"),
            ("{\n# x\n}", "line 2, column 1: a comment, which JSON does not have"),
            ("# x\n{}", "line 1, column 1: a comment, which JSON does not have"),
            ("{\"a\": 1 // x\n}", "line 1, column 9: a comment, which JSON does not have"),
            ("[1, // x\n2]", "line 1, column 5: a comment, which JSON does not have"),
            ("{\"é\": NaN}", "line 1, column 7: `NaN` is not JSON, which has no such number"),
            ("[Infinity]", "line 1, column 2: `Infinity` is not JSON, which has no such number"),
            ("[-Infinity]", "line 1, column 2: `-Infinity` is not JSON, which has no such number"),
            ("[None]", "line 1, column 2: `None` is not JSON, write `null`"),
            ("[True]", "line 1, column 2: `True` is not JSON, write `true`"),
            ("{'a': 1}", "line 1, column 2: `'` is not JSON, strings stand in double quotes"),
            ("[1,]", "line 1, column 4: trailing comma"),
            ("{\"a\": 1,}", "line 1, column 9: trailing comma"),
            ("{\"a\" 1}", "line 1, column 6: expected `:`"),
            ("{\"a\": 1 \"b\": 2}", "line 1, column 9: expected `,` or `}`"),
            ("[1 2]", "line 1, column 4: expected `,` or `]`"),
            ("{a: 1}", "line 1, column 2: a key must be a string in double quotes"),
            ("[é]", "line 1, column 2: expected a value"),
            ("[nil]", "line 1, column 2: expected a value"),
            ("[01]", "line 1, column 2: a number with a leading zero"),
            ("[1.]", "line 1, column 2: a number needs a digit behind `.`"),
            ("[-]", "line 1, column 2: a number needs a digit behind `-`"),
            ("[1e+]", "line 1, column 2: a number needs a digit in the exponent"),
            ("[\"aé\n\"]", "line 1, column 5: a raw line break in a string; write it as `\\n`"),
            ("[\"\t\"]", "line 1, column 3: a raw tab in a string; write it as `\\t`"),
            (
                "[\"\u{1}\"]",
                "line 1, column 3: the raw control character U+0001 in a string; write it as `\\u0001`",
            ),
            (
                r#"["a\x"]"#,
                r"line 1, column 4: `\x` in a string is not an escape of JSON; a backslash is written `\\`",
            ),
            (r#"["\u12G4"]"#, r"line 1, column 3: `\u` in a string needs four hexadecimal digits"),
            (
                r#"["cut \ud83d here"]"#,
                r"line 1, column 7: `\ud83d` in a string is half of a surrogate pair, which is no character; write both halves or the character itself",
            ),
        ] {
            assert_eq!(message(text), expected, "{text:?}");
        }
    }

    #[test]
    fn half_of_a_surrogate_pair_is_refused() {
        for text in
            [r#"["\ude00 x"]"#, r#"["\ud83d\ud83d"]"#, r#"["\ud83d\n"]"#, r#"["\ud83dx"]"#, r#"{"\udc00":1}"#]
        {
            assert!(message(text).contains("half of a surrogate pair"), "{text}: {}", message(text));
        }
        assert_eq!(message(r#"["\ud83d\ude00", "\uD83D\uDE00\uE000"]"#), "accepted");
    }

    #[test]
    fn other_languages_and_lost_content_are_named() {
        for (text, expected) in [
            ("\0\0\0", "line 1, column 1: the document is 3 zero bytes"),
            ("{\"a\":\n \"b\0\0", "line 2, column 4: only zero bytes from here to the end"),
            ("{\"a\": 1}\0\0", "line 1, column 9: only zero bytes from here to the end"),
            ("{\0\"\0a\0\"\0:\x001\0}\0", "line 1, column 1: the document is UTF-16LE without"),
            ("\0{\0\"\0a\0\"\0:\x001\0}", "line 1, column 1: the document is UTF-16BE without"),
            ("{\0\0\0\"\0\0\0", "line 1, column 1: the document is UTF-32LE without"),
            (
                "<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> b\n",
                "line 1, column 1: a conflict marker of git (`<<<<<<<`)",
            ),
            ("{\n\"a\": [\n<<<<<<< HEAD\n1\n", "line 3, column 1: a conflict marker of git (`<<<<<<<`)"),
            ("{}\n>>>>>>> b\n", "line 2, column 1: a conflict marker of git (`>>>>>>>`)"),
            ("# Title\n\nprose\n", "line 1, column 1: the document is Markdown, not JSON"),
            ("---\nname: x\n---\n# Title\n", "line 1, column 1: the document is Markdown"),
            ("---\nname: x\n", "line 1, column 1: the document is YAML or Markdown"),
            ("name: x\nnodes:\n", "line 1, column 1: the document is YAML, not JSON"),
            ("- id: a\n", "line 1, column 1: the document is YAML"),
            ("<!DOCTYPE html>\n", "line 1, column 1: the document is XML or HTML"),
        ] {
            assert!(message(text).starts_with(expected), "{text:?}: {}", message(text));
        }
    }

    #[test]
    fn numbers_follow_the_grammar_whatever_their_size() {
        let digits = "9".repeat(617);
        for number in ["0", "-0", "1.10", "1e400", "-1e400", "1E-400", "1e+5", "0.0e0", &digits] {
            assert_eq!(message(&format!("[{number}]")), "accepted", "{number}");
        }
        for number in ["+1", "00", "-01", ".5", "1.e5", "1e", "0x10", "1_000", "--1"] {
            assert_ne!(message(&format!("[{number}]")), "accepted", "{number}");
        }
    }

    #[test]
    fn strings_are_decoded_as_by_serde_json() {
        for written in [r#""a\u00e9\n\/\"\\""#, r#""\ud83d\ude00x\ud83d\ude01""#, r#""\b\f\r\t""#, r#""é""#]
        {
            let mut scanner = crate::document::json::scan::Scanner::new(written);
            let crate::document::json::scan::Token::String(read) = scanner.value().unwrap() else {
                panic!("{written}")
            };
            assert_eq!(read.text(), serde_json::from_str::<String>(written).unwrap());
        }
    }
}
