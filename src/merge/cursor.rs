//! Moves over JSON text, value by value. In text that is not JSON it ends early.

/// A position in a text, before a value or a punctuation character.
#[derive(Debug)]
pub(super) struct Cursor<'d> {
    text: &'d str,
    at: usize,
}

impl<'d> Cursor<'d> {
    pub(super) fn new(text: &'d str) -> Self {
        Self { text, at: 0 }
    }

    /// Moves to the next byte that is not white space, and returns it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += space;
        rest.get(space).copied()
    }

    /// Consumes `sign` if it comes next.
    pub(super) fn eat(&mut self, sign: u8) -> bool {
        let next = self.peek() == Some(sign);
        self.at += usize::from(next);
        next
    }

    /// The position of the cursor in bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The text from `start` to the cursor.
    pub(super) fn since(&self, start: usize) -> &'d str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// The text after the cursor.
    pub(super) fn rest(&self) -> &'d str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Consumes a key and its colon. Returns the key as it is written, with its quotes.
    pub(super) fn key(&mut self) -> &'d str {
        let key = self.value();
        self.eat(b':');
        key
    }

    /// Consumes a value of any kind. Returns it as it is written.
    pub(super) fn value(&mut self) -> &'d str {
        let first = self.peek();
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let len = match first {
            Some(b'"') => string_len(rest),
            Some(b'[' | b'{') => container_len(rest),
            _ => rest.iter().take_while(|byte| !ends_scalar(**byte)).count(),
        };
        self.at += len;
        self.since(start)
    }
}

/// The length in bytes of the string at the beginning of `text`, including both quotes.
fn string_len(text: &[u8]) -> usize {
    let mut escaped = true; // for the opening quote
    for (nth, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return nth + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length in bytes of the array or object at the beginning of `text`.
fn container_len(text: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at += string_len(text.get(at..).unwrap_or_default());
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

fn ends_scalar(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b",]}:".contains(&byte)
}
