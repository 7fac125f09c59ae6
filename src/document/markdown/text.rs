//! Lines and white space as Python sees them.

/// Returns whether Python's `str.isspace` holds for `char`.
pub(super) fn is_space(char: char) -> bool {
    char.is_whitespace() || matches!(char, '\u{1c}'..='\u{1f}')
}

/// Returns whether Python's `str.splitlines` ends a line at `char`.
fn is_break(char: char) -> bool {
    matches!(char, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Removes white space at both ends.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Removes white space at the end.
pub(super) fn strip_end(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

/// Returns the words, which white space separates.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// Returns the number of white space characters at the start.
pub(super) fn indentation(text: &str) -> usize {
    text.chars().take_while(|char| is_space(*char)).count()
}

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'t> {
    /// Its number, from 1.
    pub(super) number: usize,
    /// The byte where it starts.
    pub(super) start: usize,
    /// The byte after its end.
    pub(super) end: usize,
    /// Its text without the characters that end it.
    pub(super) text: &'t str,
}

/// The lines of a text, which tile it.
#[derive(Debug, Clone)]
pub(super) struct Lines<'t> {
    text: &'t str,
    at: usize,
    number: usize,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Lines<'t> {
        Lines { text, at: 0, number: 0 }
    }

    /// The byte where the next line starts.
    pub(super) fn offset(&self) -> usize {
        self.at
    }
}

impl<'t> Iterator for Lines<'t> {
    type Item = Line<'t>;

    fn next(&mut self) -> Option<Line<'t>> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let (text, ending) = match rest.find(is_break) {
            None => (rest, 0),
            Some(at) => {
                let (text, after) = rest.split_at_checked(at)?;
                let first = after.chars().next().map_or(0, char::len_utf8);
                (text, if after.starts_with("\r\n") { 2 } else { first })
            }
        };
        let start = self.at;
        self.at += text.len() + ending;
        self.number += 1;
        Some(Line { number: self.number, start, end: self.at, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::string_slice, reason = "lines end between characters")]
    fn lines_end_where_python_ends_them() {
        let text = "a\r\nb\rc\nd\u{b}e\u{85}f\u{2028}\u{2029}g\u{1c}h\u{1f}i";
        let lines: Vec<_> = Lines::new(text).collect();
        let texts: Vec<_> = lines.iter().map(|line| line.text).collect();
        assert_eq!(texts, ["a", "b", "c", "d", "e", "f", "", "g", "h\u{1f}i"]);
        let tiles: String = lines.iter().map(|line| text.get(line.start..line.end).unwrap()).collect();
        assert_eq!(tiles, text);
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
        assert_eq!(Lines::new("").count(), 0);
        assert_eq!(Lines::new("a\n").count(), 1);
    }

    #[test]
    fn white_space_is_what_python_strips() {
        assert_eq!(strip("\u{1c}\u{a0} a \u{1f}\u{3000}"), "a");
        assert_eq!(strip("\u{feff}a\u{200b}"), "\u{feff}a\u{200b}");
        assert_eq!(words(" a\u{a0}b  c ").collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(indentation("\u{a0}\t x"), 3);
    }
}
