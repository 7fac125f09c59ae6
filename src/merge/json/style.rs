//! The layout of a document.

use super::cursor::Cursor;

/// The maximum indentation per level. A deeper one is not a real style, and could make a small document very
/// large.
const MAX_UNIT_BYTES: usize = 16;

/// The white space between values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style<'d> {
    /// If every member is on its own line: the line end, and the indentation of one level.
    pub(super) lines: Option<(&'d str, &'d str)>,
    /// Whether a space follows a colon, and a comma that is not at the end of a line.
    pub(super) space: bool,
}

impl Default for Style<'_> {
    /// The style of most tools.
    fn default() -> Self {
        Self { lines: Some(("\n", "  ")), space: true }
    }
}

impl<'d> Style<'d> {
    pub(super) const COMPACT: Self = Self { lines: None, space: false };

    /// The style of an object, judged by its first member.
    pub(super) fn of(text: &'d str) -> Self {
        let mut cursor = Cursor::new(text);
        cursor.eat(b'{');
        let inside = cursor.at();
        if cursor.peek() != Some(b'"') {
            return Self::default();
        }
        let before = cursor.since(inside);
        cursor.key();
        let space = cursor.rest().starts_with(' ');
        let lines = before.rsplit_once('\n').map(|(_, unit)| {
            let end = if before.contains("\r\n") { "\r\n" } else { "\n" };
            (end, if unit.len() <= MAX_UNIT_BYTES { unit } else { "  " })
        });
        Self { lines, space }
    }

    /// Writes what comes before a member, including the comma.
    pub(super) fn begin_member(self, first: bool, depth: usize, out: &mut String) {
        if !first {
            out.push(',');
        }
        match self.lines {
            Some(_) => self.line(depth, out),
            None if self.space && !first => out.push(' '),
            None => {}
        }
    }

    /// Writes what comes before the closing bracket of an object or array of this depth.
    pub(super) fn end_members(self, empty: bool, depth: usize, out: &mut String) {
        if !empty {
            self.line(depth, out);
        }
    }

    /// Writes a key, given as it is written in JSON, and its colon.
    pub(super) fn key(self, written: &str, out: &mut String) {
        out.push_str(written);
        out.push(':');
        if self.space {
            out.push(' ');
        }
    }

    fn line(self, depth: usize, out: &mut String) {
        if let Some((end, unit)) = self.lines {
            out.push_str(end);
            out.extend(std::iter::repeat_n(unit, depth));
        }
    }
}

/// The end of a document after the root: a line end, or nothing.
pub(super) fn end_of(text: &str) -> &str {
    let trimmed = text.trim_ascii_end();
    match text.strip_prefix(trimmed) {
        Some(end) if end.contains("\r\n") => "\r\n",
        Some(end) if end.contains('\n') => "\n",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_is_taken_from_the_first_member() {
        let lines = |end, unit| Style { lines: Some((end, unit)), space: true };
        for (text, style) in [
            ("{}", Style::default()),
            ("{\n}", Style::default()),
            (r#"{"a":1}"#, Style::COMPACT),
            (r#" { "a" : 1 }"#, Style { lines: None, space: true }),
            ("{\n  \"a\": 1\n}", lines("\n", "  ")),
            ("{\r\n\t\"a\": {\r\n}}", lines("\r\n", "\t")),
            ("{\n\n\"a\": 1\n}", lines("\n", "")),
            ("{\n    \"a\":1\n}", Style { lines: Some(("\n", "    ")), space: false }),
            ("{\n                                        \"a\": 1\n}", lines("\n", "  ")),
        ] {
            assert_eq!(Style::of(text), style, "{text:?}");
        }
        assert_eq!(
            (end_of("{}"), end_of("{}  "), end_of("{}\n\n"), end_of("{}\r\n")),
            ("", "", "\n", "\r\n")
        );
    }
}
