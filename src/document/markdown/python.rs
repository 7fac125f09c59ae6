//! The assignments to `next` in the Python code of a step.
//!
//! The code is not parsed. It is split into words, texts and signs, so that what is in texts and comments
//! does not count, and then into statements by line, indentation and semicolon.

/// What the code of a step says about the next step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NextSteps {
    /// The literal targets without `end`, each once. pflow walks the tree of the code breadth first, so those
    /// of outer blocks come first.
    pub(super) targets: Vec<String>,
    /// An assignment computes the next step.
    pub(super) computed: bool,
    /// An assignment ends the workflow.
    pub(super) ends: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word<'c> {
    Name(&'c str),
    /// A text; none if it is a text with expressions, or bytes.
    Text(Option<String>),
    Open,
    Close,
    Colon,
    Semicolon,
    /// A single `=`.
    Assign,
    Other,
}

/// One logical line.
#[derive(Debug, Default)]
struct Statement<'c> {
    indent: usize,
    words: Vec<Word<'c>>,
}

/// A block of statements.
#[derive(Debug)]
struct Block {
    indent: usize,
    /// How deep its statements are in the tree of the code.
    depth: usize,
    /// How deep its last compound statement is.
    last: usize,
    /// Its statements are the cases of a `match`.
    cases: bool,
}

/// Finds the assignments to `next` in `code`.
pub(super) fn next_steps(code: &str) -> NextSteps {
    let mut found: Vec<(usize, Option<String>)> = Vec::new();
    let mut blocks = vec![Block { indent: 0, depth: 1, last: 1, cases: false }];
    // The depth of the statements that a deeper line would begin, and whether they are cases.
    let mut inner = (2, false);
    let mut reader = Reader { code, at: 0 };
    while let Some(statement) = reader.statement() {
        while blocks.len() > 1 && blocks.last().is_some_and(|block| statement.indent < block.indent) {
            blocks.pop();
        }
        let Some(outer) = blocks.last() else { break };
        if statement.indent > outer.indent {
            blocks.push(Block { indent: statement.indent, depth: inner.0, last: inner.0, cases: inner.1 });
        }
        let Some(block) = blocks.last_mut() else { break };
        let (depth, words) = match block.header(&statement.words) {
            None => (block.depth, statement.words.as_slice()),
            Some((body, cases)) => {
                inner = (body, cases);
                (body, after_colon(&statement.words))
            }
        };
        for simple in words.split(|word| *word == Word::Semicolon) {
            found.extend(assigned(simple).map(|target| (depth, target)));
        }
    }
    found.sort_by_key(|(depth, _)| *depth);
    let mut next = NextSteps::default();
    let mut seen = std::collections::BTreeSet::new();
    for (_, target) in found {
        match target {
            None => next.computed = true,
            Some(target) if target == "end" => next.ends = true,
            Some(target) => {
                if seen.insert(target.clone()) {
                    next.targets.push(target);
                }
            }
        }
    }
    next
}

impl Block {
    /// If the line begins a compound statement, returns the depth of its body, and whether that has cases.
    fn header(&mut self, words: &[Word<'_>]) -> Option<(usize, bool)> {
        let Some(Word::Name(name)) = words.first() else { return None };
        let ends_with_colon = words.last() == Some(&Word::Colon);
        let is_soft = ends_with_colon && !matches!(words.get(1), None | Some(Word::Colon | Word::Assign));
        let (node, body) = match *name {
            "if" | "while" | "for" | "with" | "def" | "class" | "try" | "async" => {
                (self.depth, self.depth + 1)
            }
            "elif" => (self.last + 1, self.last + 2),
            "else" | "finally" => (self.last, self.last + 1),
            "except" => (self.last, self.last + 2),
            "match" if is_soft => {
                self.last = self.depth;
                return Some((self.depth + 1, true));
            }
            "case" if self.cases => (self.depth, self.depth + 1),
            _ => return None,
        };
        self.last = node;
        Some((body, false))
    }
}

/// Returns what follows the colon of a compound statement on its line.
fn after_colon<'w, 'c>(words: &'w [Word<'c>]) -> &'w [Word<'c>] {
    let (mut depth, mut lambdas) = (0_usize, 0_usize);
    for (at, word) in words.iter().enumerate() {
        match word {
            Word::Open => depth += 1,
            Word::Close => depth = depth.saturating_sub(1),
            Word::Name("lambda") if depth == 0 => lambdas += 1,
            Word::Colon if depth == 0 && lambdas > 0 => lambdas -= 1,
            Word::Colon if depth == 0 => return words.get(at + 1..).unwrap_or_default(),
            _ => {}
        }
    }
    &[]
}

/// Returns the place of the first `=` outside of brackets.
fn assign(words: &[Word<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, word) in words.iter().enumerate() {
        match word {
            Word::Open => depth += 1,
            Word::Close => depth = depth.saturating_sub(1),
            Word::Name("lambda") if depth == 0 => return None,
            Word::Assign if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// If the statement assigns to `next` and to nothing else, returns the text assigned, or none if it is
/// computed.
fn assigned(words: &[Word<'_>]) -> Option<Option<String>> {
    let opened = words.iter().take_while(|word| **word == Word::Open).count();
    let rest = words.get(opened..)?.split_first().filter(|(name, _)| **name == Word::Name("next"))?.1;
    let closed = rest.iter().take_while(|word| **word == Word::Close).count();
    let rest = rest.get(closed..).filter(|_| closed == opened)?;
    let value = match rest.first()? {
        Word::Assign => rest.get(1..)?,
        Word::Colon => rest.get(assign(rest)? + 1..)?,
        _ => return None,
    };
    if *rest.first()? == Word::Assign && assign(value).is_some() {
        return None;
    }
    Some(literal(value))
}

fn literal(words: &[Word<'_>]) -> Option<String> {
    let opened = words.iter().take_while(|word| **word == Word::Open).count();
    let closed = words.iter().rev().take_while(|word| **word == Word::Close).count();
    let texts = words.get(opened..words.len().saturating_sub(closed))?;
    if texts.is_empty() || opened != closed {
        return None;
    }
    texts
        .iter()
        .map(|word| if let Word::Text(Some(text)) = word { Some(text.as_str()) } else { None })
        .collect()
}

struct Reader<'c> {
    code: &'c str,
    at: usize,
}

impl<'c> Reader<'c> {
    fn rest(&self) -> &'c str {
        self.code.get(self.at..).unwrap_or_default()
    }

    fn next(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Returns the next logical line that has a word.
    fn statement(&mut self) -> Option<Statement<'c>> {
        let mut statement = Statement::default();
        let mut depth = 0_usize;
        let mut at_start = true;
        loop {
            if at_start {
                statement.indent = self.indent();
                at_start = false;
            }
            let Some(char) = self.next() else {
                return (!statement.words.is_empty()).then_some(statement);
            };
            match char {
                '\n' => {
                    self.at += 1;
                    if depth == 0 {
                        if !statement.words.is_empty() {
                            return Some(statement);
                        }
                        at_start = true;
                    }
                }
                '#' => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                '\\' if self.rest().starts_with("\\\n") => self.at += 2,
                '"' | '\'' => {
                    let text = self.text(char, "");
                    statement.words.push(Word::Text(text));
                }
                char if is_name(char) => {
                    let name = self.name();
                    let word = match self.next() {
                        Some(quote @ ('"' | '\'')) if is_prefix(name) => Word::Text(self.text(quote, name)),
                        _ => Word::Name(name),
                    };
                    statement.words.push(word);
                }
                char if char.is_whitespace() => self.at += char.len_utf8(),
                _ => {
                    let word = self.sign(char);
                    match word {
                        Word::Open => depth += 1,
                        Word::Close => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    // Within brackets only the brackets count.
                    let word = if depth > 0 && word == Word::Semicolon { Word::Other } else { word };
                    statement.words.push(word);
                }
            }
        }
    }

    fn indent(&mut self) -> usize {
        let mut column = 0;
        while let Some(char) = self.next() {
            column = match char {
                ' ' => column + 1,
                '\t' => (column / 8 + 1) * 8,
                _ => break,
            };
            self.at += 1;
        }
        column
    }

    fn name(&mut self) -> &'c str {
        let rest = self.rest();
        let end = rest.find(|char| !is_name(char)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn sign(&mut self, char: char) -> Word<'c> {
        let rest = self.rest();
        self.at += char.len_utf8();
        match char {
            '(' | '[' | '{' => Word::Open,
            ')' | ']' | '}' => Word::Close,
            ';' => Word::Semicolon,
            ':' if rest.starts_with(":=") => {
                self.at += 1;
                Word::Other
            }
            ':' => Word::Colon,
            '=' if rest.starts_with("==") => {
                self.at += 1;
                Word::Other
            }
            '=' => Word::Assign,
            '+' | '-' | '*' | '/' | '%' | '@' | '&' | '|' | '^' | '<' | '>' | '!' => {
                // `+=`, `**=`, `->` and their like are one sign.
                let length = rest.bytes().take_while(|byte| b"+-*/%@&|^<>!=".contains(byte)).count();
                let length = rest.find('=').filter(|at| *at < length).map_or(1, |at| at + 1);
                self.at += length - 1;
                Word::Other
            }
            _ => Word::Other,
        }
    }

    /// Reads a text from its quote on. A text without an end goes to the end of its line.
    fn text(&mut self, quote: char, prefix: &str) -> Option<String> {
        let prefix = prefix.to_ascii_lowercase();
        let is_raw = prefix.contains('r');
        let one = if quote == '"' { "\"" } else { "'" };
        let three = if quote == '"' { "\"\"\"" } else { "'''" };
        let end = if self.rest().starts_with(three) { three } else { one };
        self.at += end.len();
        let mut text = String::new();
        while let Some(char) = self.next() {
            if self.rest().starts_with(end) {
                self.at += end.len();
                break;
            }
            if char == '\n' && end == one {
                break;
            }
            self.at += char.len_utf8();
            if char != '\\' {
                text.push(char);
            } else if is_raw {
                text.push(char);
                if let Some(escaped) = self.next() {
                    text.push(escaped);
                    self.at += escaped.len_utf8();
                }
            } else {
                self.escape(&mut text);
            }
        }
        (!prefix.contains(['f', 'b', 't'])).then_some(text)
    }

    fn escape(&mut self, text: &mut String) {
        let Some(char) = self.next() else { return };
        self.at += char.len_utf8();
        let simple = match char {
            '\n' => return,
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' | '\'' | '"' => char,
            'x' => return self.code(16, 2, text),
            'u' => return self.code(16, 4, text),
            'U' => return self.code(16, 8, text),
            '0'..='7' => {
                self.at -= 1;
                let length =
                    self.rest().bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
                return self.code(8, length, text);
            }
            other => {
                text.push('\\');
                other
            }
        };
        text.push(simple);
    }

    fn code(&mut self, base: u32, length: usize, text: &mut String) {
        let digits = self.rest().get(..length);
        let code = digits.and_then(|digits| u32::from_str_radix(digits, base).ok()).and_then(char::from_u32);
        if let Some(char) = code {
            text.push(char);
            self.at += length;
        }
    }
}

fn is_name(char: char) -> bool {
    char.is_alphanumeric() || char == '_' || (!char.is_ascii() && !char.is_whitespace())
}

fn is_prefix(name: &str) -> bool {
    name.len() <= 2 && name.bytes().all(|byte| b"rRbBuUfFtT".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(code: &str) -> Vec<String> {
        let next = next_steps(code);
        assert!(!next.computed && !next.ends, "{next:?}");
        next.targets
    }

    #[test]
    fn literal_assignments_are_found_where_statements_begin() {
        assert_eq!(
            targets("next = \"a\"\nif x:\n    next: str = 'b'\nelse: y = 1; next = ('c' 'd')\n"),
            ["a", "b", "cd"]
        );
        assert_eq!(
            targets("x = \"\"\"\nnext = 'a'\n\"\"\" # next = 'b'\nf(next='c')\nnext == 'd'\n"),
            [] as [&str; 0]
        );
        assert_eq!(
            targets("x = next = 'a'\nnext = y = 'b'\nnext: str\nnext += 'c'\nself.next = 'd'\n"),
            [] as [&str; 0]
        );
        assert_eq!(targets("(next) = r'a\\b'\nnext = \\\n  'c\\x41\\101'\n"), ["a\\b", "cAA"]);
    }

    #[test]
    fn outer_blocks_come_first() {
        let code = concat!(
            "if a:\n  next = 'b'\nelif c:\n  next = 'd'\nelse:\n  next = 'e'\n",
            "try:\n  next = 'f'\nexcept E:\n  next = 'g'\nnext = 'h'\n"
        );
        assert_eq!(targets(code), ["h", "b", "f", "d", "e", "g"]);
        let code = "match x:\n  case 1:\n    next = 'a'\nfor y in z:\n  next = 'b'\n";
        assert_eq!(targets(code), ["b", "a"]);
    }

    #[test]
    fn other_values_are_computed_and_end_ends() {
        for code in [
            "next = x",
            "next = f'a'",
            "next = b'a'",
            "next = 'a',",
            "next = 'a' if x else 'b'",
            "next: str = g('a')",
        ] {
            let next = next_steps(code);
            assert!(next.computed && next.targets.is_empty(), "{code}: {next:?}");
        }
        assert_eq!(next_steps("next = 'end'"), NextSteps { ends: true, ..NextSteps::default() });
    }
}
