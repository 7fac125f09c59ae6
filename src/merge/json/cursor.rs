//! Moves over JSON text, value by value. In text that is not JSON it ends early.

use super::cost;

/// The cost in bytes from which the end of an array or object is kept. Smaller ones are read again whenever a
/// cursor moves over them. They are so small that their nesting does not multiply the cost.
const FAR: usize = 64;

/// A JSON text, and where its larger arrays and objects end. A cursor moves over each of them in one step, so
/// that the cost of splitting an object does not depend on what is inside its values.
#[derive(Debug)]
pub(in crate::merge) struct Source<'d> {
    text: &'d str,
    /// Start and end in bytes, in the order of the starts: at most one for every [`FAR`] bytes of text.
    ends: Vec<(usize, usize)>,
}

impl<'d> Source<'d> {
    /// Reads the text once.
    pub(in crate::merge) fn new(text: &'d str) -> Self {
        cost::add(text.len());
        let bytes = text.as_bytes();
        let mut ends = Vec::new();
        // For each open array or object its start, and the cost of moving from the beginning of the text to
        // it. The cost is the number of bytes without `skipped`, those inside of what is in `ends`.
        let mut open = Vec::new();
        let (mut at, mut skipped) = (0, 0);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => {
                    at += string_len(bytes.get(at..).unwrap_or_default());
                    continue;
                }
                b'[' | b'{' => open.push((at, at - skipped)),
                b']' | b'}' => {
                    if let Some((start, before)) = open.pop() {
                        let cost = at + 1 - skipped - before;
                        if cost >= FAR {
                            ends.push((start, at + 1));
                            skipped += cost - 1;
                        }
                    }
                }
                _ => {}
            }
            at += 1;
        }
        ends.sort_unstable();
        Self { text, ends }
    }

    pub(in crate::merge) fn text(&self) -> &'d str {
        self.text
    }

    /// A cursor at this position in bytes, before a value.
    pub(in crate::merge) fn cursor(&self, at: usize) -> Cursor<'_> {
        Cursor { text: self.text, ends: &self.ends, at }
    }
}

/// A position in a text, before a value or a punctuation character.
#[derive(Debug)]
pub(in crate::merge) struct Cursor<'d> {
    text: &'d str,
    /// Those of [`Source`], or none.
    ends: &'d [(usize, usize)],
    at: usize,
}

impl<'d> Cursor<'d> {
    pub(in crate::merge) fn new(text: &'d str) -> Self {
        Self { text, ends: &[], at: 0 }
    }

    /// A cursor over the same text at another position.
    pub(in crate::merge) fn moved_to(&self, at: usize) -> Self {
        Self { at, ..*self }
    }

    /// Moves to the next byte that is not white space, and returns it.
    pub(in crate::merge) fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += space;
        cost::add(space + 1);
        rest.get(space).copied()
    }

    /// Consumes `sign` if it comes next.
    pub(in crate::merge) fn eat(&mut self, sign: u8) -> bool {
        let next = self.peek() == Some(sign);
        self.at += usize::from(next);
        next
    }

    /// The position of the cursor in bytes.
    pub(in crate::merge) fn at(&self) -> usize {
        self.at
    }

    /// The text from `start` to the cursor.
    pub(in crate::merge) fn since(&self, start: usize) -> &'d str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// The text after the cursor.
    pub(in crate::merge) fn rest(&self) -> &'d str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Consumes a key and its colon. Returns the key as it is written, with its quotes.
    pub(in crate::merge) fn key(&mut self) -> &'d str {
        let key = self.value();
        self.eat(b':');
        key
    }

    /// Consumes a value of any kind. Returns it as it is written.
    pub(in crate::merge) fn value(&mut self) -> &'d str {
        let first = self.peek();
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        self.at = match first {
            Some(b'"') => start + string_len(rest),
            Some(b'[' | b'{') => self.container_end(start),
            _ => start + rest.iter().take_while(|byte| !ends_scalar(**byte)).count(),
        };
        self.since(start)
    }

    /// The end of the array or object that begins at `at`.
    fn container_end(&self, mut at: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut depth = 0_usize;
        while let Some(byte) = bytes.get(at) {
            cost::add(1);
            match byte {
                b'"' => {
                    at += string_len(bytes.get(at..).unwrap_or_default());
                    continue;
                }
                b'[' | b'{' => match self.far_end(at) {
                    Some(end) => at = end,
                    None => {
                        depth += 1;
                        at += 1;
                    }
                },
                b']' | b'}' => {
                    depth -= 1;
                    at += 1;
                }
                _ => at += 1,
            }
            if depth == 0 {
                break;
            }
        }
        at
    }

    fn far_end(&self, start: usize) -> Option<usize> {
        let nth = self.ends.binary_search_by_key(&start, |(start, _)| *start).ok()?;
        self.ends.get(nth).map(|(_, end)| *end)
    }
}

/// The length in bytes of the string at the beginning of `text`, including both quotes.
fn string_len(text: &[u8]) -> usize {
    let mut escaped = true; // for the opening quote
    for (nth, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                cost::add(nth);
                return nth + 1;
            }
            _ => {}
        }
    }
    text.len()
}

fn ends_scalar(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b",]}:".contains(&byte)
}
