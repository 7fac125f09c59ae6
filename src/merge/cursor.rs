//! Goes over JSON text, value by value. On text that is no JSON it ends early.

/// A place in a text, before a value or a sign.
#[derive(Debug)]
pub(super) struct Cursor<'d> {
    text: &'d str,
    at: usize,
}

impl<'d> Cursor<'d> {
    pub(super) fn new(text: &'d str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is not white space. The cursor is moved to it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += space;
        rest.get(space).copied()
    }

    /// Goes over `sign`, if it comes next.
    pub(super) fn eat(&mut self, sign: u8) -> bool {
        let next = self.peek() == Some(sign);
        self.at += usize::from(next);
        next
    }

    /// Where the cursor stands, in bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The text from `start` to the cursor.
    pub(super) fn since(&self, start: usize) -> &'d str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// The text behind the cursor.
    pub(super) fn rest(&self) -> &'d str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Goes over a key and its colon. The key as it is written, quotes included.
    pub(super) fn key(&mut self) -> &'d str {
        let key = self.value();
        self.eat(b':');
        key
    }

    /// Goes over a value, whatever is in it. The value as it is written.
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

/// Bytes of the string at the beginning of `text`, both quotes included.
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

/// Bytes of the array or object at the beginning of `text`.
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
