/// Why a text is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxError {
    /// Only white space.
    #[error("the document is empty")]
    Empty,
    /// The text ends too early: it was probably truncated.
    #[error("the document is truncated, it ends in the middle")]
    Truncated,
    /// Only zero bytes: after a crash a file may have its length on the disk but not its content.
    #[error(
        "the document is {bytes} zero bytes: its content was lost, as in a crash before it was written out"
    )]
    Zeros {
        /// The number of bytes.
        bytes: usize,
    },
    /// The text ends in zero bytes, for the same reason.
    #[error(
        "only zero bytes from here to the end: the rest was lost, as in a crash before it was written out"
    )]
    ZeroTail,
    /// The text is in another encoding, without a byte order mark.
    #[error("the document is {encoding} without a byte order mark; save it as UTF-8")]
    Encoding {
        /// `UTF-16LE`, `UTF-16BE`, `UTF-32LE` or `UTF-32BE`.
        encoding: &'static str,
    },
    /// A marker that git writes into a file when a merge conflicts.
    #[error("a conflict marker of git (`{marker}`); resolve the conflict in the file first")]
    ConflictMarker {
        /// The seven characters.
        marker: &'static str,
    },
    /// The text is written in another language.
    #[error("the document is {language}, not JSON")]
    Language {
        /// The language.
        language: &'static str,
    },
    /// Something follows the end of the JSON value.
    #[error("text after the end of the document")]
    Trailing,
    /// A comment, which JSON does not have.
    #[error("a comment, which JSON does not have")]
    Comment,
    /// A word of another language.
    #[error("`{found}` is not JSON, {hint}")]
    Foreign {
        /// The word or character.
        found: &'static str,
        /// The equivalent in JSON.
        hint: &'static str,
    },
    /// Something else is expected here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A comma without an element after it.
    #[error("trailing comma")]
    TrailingComma,
    /// A key that is not a string.
    #[error("a key must be a string in double quotes")]
    Key,
    /// An unescaped control character in a string.
    #[error("{}", control(*.0))]
    ControlCharacter(char),
    /// An escape that JSON does not have.
    #[error("`\\{}` in a string is not an escape of JSON; a backslash is written `\\\\`", .escape.escape_debug())]
    Escape {
        /// What follows the backslash.
        escape: String,
    },
    /// Half of a surrogate pair: the text was probably cut within a character.
    #[error(
        "`{escape}` in a string is half of a surrogate pair, which is no character; write both halves or the character itself"
    )]
    HalfSurrogate {
        /// The escape as it is written.
        escape: String,
    },
    /// An escape `\u` without its digits.
    #[error("`\\u` in a string needs four hexadecimal digits")]
    HexDigits,
    /// A number like `01`.
    #[error("a number with a leading zero")]
    LeadingZero,
    /// A number like `1.` or `-`.
    #[error("a number needs a digit {place}")]
    DigitMissing {
        /// The position within the number.
        place: &'static str,
    },
}

fn control(c: char) -> String {
    match c {
        '\n' => "a raw line break in a string; write it as `\\n`".to_owned(),
        '\r' => "a raw carriage return in a string; write it as `\\r`".to_owned(),
        '\t' => "a raw tab in a string; write it as `\\t`".to_owned(),
        other => {
            let code = u32::from(other);
            format!("the raw control character U+{code:04X} in a string; write it as `\\u{code:04x}`")
        }
    }
}
