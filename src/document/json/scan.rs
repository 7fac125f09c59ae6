//! Scans JSON text (RFC 8259) token by token, and reports where and why it is not JSON.
//!
//! serde_json's scanner is not used, for three reasons: the error messages are ours and name the position;
//! numbers keep their spelling, so that `1e400` and integers of any length are valid, as in RFC 8259; and
//! every build accepts the same documents, whatever features of serde_json another crate of the build
//! enables.

use std::borrow::Cow;

use super::super::syntax_error::SyntaxError;

/// Why the text is not JSON, and the byte offset of the failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) offset: usize,
    pub(super) reason: SyntaxError,
}

pub(super) type Result<T> = std::result::Result<T, Failure>;

/// A position in a text.
#[derive(Debug)]
pub(super) struct Scanner<'d> {
    text: &'d str,
    at: usize,
}

/// The beginning of a value. A scalar has been consumed completely; of an array or object only the opening
/// bracket.
#[derive(Debug)]
pub(super) enum Token<'d> {
    Null,
    Bool,
    /// The number as it is written.
    Number(&'d str),
    String(Written<'d>),
    Array,
    Object,
}

/// A well-formed string as it is written, without its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'d> {
    inner: &'d str,
    has_escapes: bool,
}

impl<'d> Scanner<'d> {
    pub(super) fn new(text: &'d str) -> Self {
        Self { text, at: 0 }
    }

    /// Consumes the beginning of a value.
    pub(super) fn value(&mut self) -> Result<Token<'d>> {
        match self.next_token()? {
            b'{' => self.over(Token::Object),
            b'[' => self.over(Token::Array),
            b'"' => self.string().map(Token::String),
            b'-' | b'0'..=b'9' => self.number().map(Token::Number),
            b'n' => self.word("null", Token::Null),
            b't' => self.word("true", Token::Bool),
            b'f' => self.word("false", Token::Bool),
            _ => self.fail(SyntaxError::Expected("a value")),
        }
    }

    /// Consumes the key of a member and its colon.
    pub(super) fn key(&mut self) -> Result<Written<'d>> {
        if self.next_token()? != b'"' {
            return self.fail(SyntaxError::Key);
        }
        let key = self.string()?;
        if self.next_token()? != b':' {
            return self.fail(SyntaxError::Expected("`:`"));
        }
        self.over(key)
    }

    /// Moves to the next element of an array or object that ends with `close`. Returns false if it has ended;
    /// `close` is then consumed.
    pub(super) fn next_element(&mut self, is_first: bool, close: u8) -> Result<bool> {
        let next = self.next_token()?;
        if next == close {
            return self.over(false);
        }
        if is_first {
            return Ok(true);
        }
        if next != b',' {
            let expected = if close == b'}' { "`,` or `}`" } else { "`,` or `]`" };
            return self.fail(SyntaxError::Expected(expected));
        }
        self.at += 1;
        if self.next_token()? == close { self.fail(SyntaxError::TrailingComma) } else { Ok(true) }
    }

    /// Checks that only white space is left.
    pub(super) fn end(&mut self) -> Result<()> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { self.fail(SyntaxError::Trailing) }
    }

    fn bytes(&self) -> &'d [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        let space = self.bytes().iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
        self.at += space.count();
    }

    /// Moves to the next token and returns its first byte.
    fn next_token(&mut self) -> Result<u8> {
        self.skip_space();
        self.bytes().first().copied().ok_or_else(|| self.truncated())
    }

    /// Consumes one byte.
    fn over<T>(&mut self, result: T) -> Result<T> {
        self.at += 1;
        Ok(result)
    }

    fn fail<T>(&self, reason: SyntaxError) -> Result<T> {
        Err(Failure { offset: self.at, reason })
    }

    fn truncated(&self) -> Failure {
        Failure { offset: self.text.len(), reason: SyntaxError::Truncated }
    }

    fn word(&mut self, word: &'static str, token: Token<'d>) -> Result<Token<'d>> {
        let rest = self.bytes();
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(token);
        }
        if word.as_bytes().starts_with(rest) {
            Err(self.truncated())
        } else {
            self.fail(SyntaxError::Expected("a value"))
        }
    }

    /// Consumes a string with its quotes. The scanner is at the opening quote.
    fn string(&mut self) -> Result<Written<'d>> {
        self.at += 1;
        let start = self.at;
        let mut has_escapes = false;
        loop {
            let rest = self.bytes();
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            let Some(plain) = plain else { return Err(self.truncated()) };
            self.at += plain;
            match rest.get(plain) {
                Some(b'"') => {
                    let inner = self.text.get(start..self.at).unwrap_or_default();
                    return self.over(Written { inner, has_escapes });
                }
                Some(b'\\') => {
                    has_escapes = true;
                    self.escape()?;
                }
                control => {
                    return self
                        .fail(SyntaxError::ControlCharacter(char::from(control.copied().unwrap_or(0))));
                }
            }
        }
    }

    /// Consumes an escape, or both escapes of a surrogate pair.
    fn escape(&mut self) -> Result<()> {
        match self.bytes().get(1) {
            None => Err(self.truncated()),
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let first = self.unit(0)?;
                if !(0xD800..0xE000).contains(&first) {
                    self.at += UNIT;
                    return Ok(());
                }
                let half = SyntaxError::HalfSurrogate { escape: self.written(UNIT) };
                let rest = self.bytes().get(UNIT..).unwrap_or_default();
                if first < 0xDC00 && rest.len() < 2 && b"\\u".starts_with(rest) {
                    return Err(self.truncated());
                }
                if first >= 0xDC00
                    || !rest.starts_with(b"\\u")
                    || !(0xDC00..0xE000).contains(&self.unit(UNIT)?)
                {
                    return self.fail(half);
                }
                self.at += 2 * UNIT;
                Ok(())
            }
            Some(_) => {
                let other = self.text.get(self.at + 1..).and_then(|rest| rest.chars().next());
                self.fail(SyntaxError::Escape { escape: other.into_iter().collect() })
            }
        }
    }

    /// The number in the four digits of an escape `\uXXXX` that begins `ahead` bytes after the scanner's
    /// position.
    fn unit(&self, ahead: usize) -> Result<u32> {
        let digits = self.bytes().get(ahead + 2..).unwrap_or_default();
        let mut unit = 0;
        for nth in 0..UNIT - 2 {
            let Some(byte) = digits.get(nth) else { return Err(self.truncated()) };
            let Some(digit) = char::from(*byte).to_digit(16) else {
                return Err(Failure { offset: self.at + ahead, reason: SyntaxError::HexDigits });
            };
            unit = unit * 16 + digit;
        }
        Ok(unit)
    }

    /// The next `len` bytes, for a message.
    fn written(&self, len: usize) -> String {
        self.text.get(self.at..self.at + len).unwrap_or_default().to_owned()
    }

    /// Consumes a number: `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`. An error is reported at
    /// the beginning of the number.
    fn number(&mut self) -> Result<&'d str> {
        let rest = self.bytes();
        let mut len = usize::from(rest.first() == Some(&b'-'));
        let digits = |from: usize| rest.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
        let whole = digits(len);
        if whole == 0 {
            return self.digit_missing(len, "behind `-`");
        }
        if whole > 1 && rest.get(len) == Some(&b'0') {
            return self.fail(SyntaxError::LeadingZero);
        }
        len += whole;
        if rest.get(len) == Some(&b'.') {
            let fraction = digits(len + 1);
            if fraction == 0 {
                return self.digit_missing(len + 1, "behind `.`");
            }
            len += 1 + fraction;
        }
        if matches!(rest.get(len), Some(b'e' | b'E')) {
            len += 1 + usize::from(matches!(rest.get(len + 1), Some(b'+' | b'-')));
            let exponent = digits(len);
            if exponent == 0 {
                return self.digit_missing(len, "in the exponent");
            }
            len += exponent;
        }
        let number = self.text.get(self.at..self.at + len).unwrap_or_default();
        self.at += len;
        Ok(number)
    }

    /// Returns the error for a missing digit, `len` bytes into a number. At the end of the text it is that the
    /// text is truncated.
    fn digit_missing<T>(&self, len: usize, place: &'static str) -> Result<T> {
        if self.at + len >= self.text.len() {
            return Err(self.truncated());
        }
        self.fail(SyntaxError::DigitMissing { place })
    }
}

/// The length of an escape `\uXXXX` in bytes.
const UNIT: usize = 6;

impl<'d> Written<'d> {
    /// The value of the string, borrowed from the document unless it has escapes.
    pub(super) fn text(self) -> Cow<'d, str> {
        if !self.has_escapes {
            return Cow::Borrowed(self.inner);
        }
        let mut text = String::with_capacity(self.inner.len());
        let mut units: Vec<u16> = Vec::new();
        let mut chars = self.inner.chars();
        while let Some(c) = chars.next() {
            let escaped = if c == '\\' { chars.next() } else { None };
            if escaped == Some('u') {
                // The scanner has checked the four hexadecimal digits.
                let digits = chars.by_ref().take(UNIT - 2).filter_map(|digit| digit.to_digit(16));
                units
                    .push(digits.fold(0, |unit, digit| unit << 4 | u16::try_from(digit).unwrap_or_default()));
                continue;
            }
            flush(&mut units, &mut text);
            text.push(match escaped {
                None => c,
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(itself) => itself,
            });
        }
        flush(&mut units, &mut text);
        Cow::Owned(text)
    }
}

/// Appends decoded UTF-16. The scanner has checked that surrogates are paired, so no character is replaced.
fn flush(units: &mut Vec<u16>, text: &mut String) {
    text.extend(char::decode_utf16(units.drain(..)).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
}
