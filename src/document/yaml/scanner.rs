//! The tokens of a YAML document, by the rules of YAML 1.1 as PyYAML applies them.
//!
//! A simple key is a key without `?`. Whether a token begins one is known only at the `:` after it, so the
//! place of the token is remembered, and [`TokenKind::Key`] is inserted there afterwards. A simple key ends
//! on its line and within [`MAX_KEY`] characters, so the queue of tokens stays short.

use std::collections::VecDeque;

use super::{MAX_DEPTH, YamlError};

/// How far a simple key may reach, in characters.
const MAX_KEY: usize = 1024;
/// What [`Scanner::peek`] gives after the last character.
const END: char = '\0';

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    /// The line of its first character, from 1.
    pub(super) line: usize,
    pub(super) kind: TokenKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    /// `%YAML` with its major version.
    Version(u32),
    /// A directive that is ignored.
    OtherDirective,
    DocumentStart,
    DocumentEnd,
    StreamEnd,
    BlockListStart,
    BlockMapStart,
    BlockEnd,
    ListStart,
    ListEnd,
    MapStart,
    MapEnd,
    /// `-`
    Entry,
    /// `,`
    Comma,
    Key,
    Value,
    Alias(String),
    Anchor(String),
    /// A tag, in its long form.
    Tag(String),
    Scalar {
        text: String,
        plain: bool,
    },
}

#[derive(Debug, Clone, Copy)]
struct SimpleKey {
    /// The number of its token, counted from the first of the document.
    token: usize,
    /// In block context at the indentation of a map, what is here must be a key.
    required: bool,
    at: usize,
    line: usize,
    column: usize,
}

/// Where and why scanning ended in an error: the scanner returns nothing else afterwards.
type Scan<T> = Result<T, YamlError>;

#[derive(Debug)]
pub(super) struct Scanner {
    chars: Vec<char>,
    at: usize,
    line: usize,
    column: usize,
    /// How many brackets are open; in none the context is block context.
    flow: usize,
    /// The column of the current block collection; -1 outside of all.
    indent: isize,
    outer_indents: Vec<isize>,
    simple_key_allowed: bool,
    /// The possible simple key of each level of brackets, the outermost first.
    simple_keys: Vec<Option<SimpleKey>>,
    tokens: VecDeque<Token>,
    taken: usize,
    done: bool,
}

fn is_break(char: char) -> bool {
    char == '\n'
}

fn is_blank_or_end(char: char) -> bool {
    matches!(char, END | ' ' | '\t' | '\n')
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '_')
}

impl Scanner {
    /// Line breaks become LF.
    pub(super) fn new(text: &str) -> Scan<Scanner> {
        let mut chars = Vec::with_capacity(text.len());
        let mut line = 1;
        let mut rest = text.chars().peekable();
        while let Some(char) = rest.next() {
            match char {
                '\r' | '\u{85}' => {
                    if char == '\r' && rest.peek() == Some(&'\n') {
                        rest.next();
                    }
                    chars.push('\n');
                    line += 1;
                }
                '\n' => {
                    chars.push(char);
                    line += 1;
                }
                '\t'
                | '\u{20}'..='\u{7e}'
                | '\u{a0}'..='\u{2027}'
                | '\u{202a}'..='\u{fffd}'
                | '\u{10000}'.. => {
                    chars.push(char);
                }
                other => {
                    let reason = format!("the character U+{:04X} is not allowed", u32::from(other));
                    return Err(YamlError::new(line, reason));
                }
            }
        }
        if chars.first() == Some(&'\u{feff}') {
            chars.remove(0);
        }
        Ok(Scanner {
            chars,
            at: 0,
            line: 1,
            column: 0,
            flow: 0,
            indent: -1,
            outer_indents: Vec::new(),
            simple_key_allowed: true,
            simple_keys: vec![None],
            tokens: VecDeque::new(),
            taken: 0,
            done: false,
        })
    }

    /// Returns the next token without taking it.
    pub(super) fn peek_token(&mut self) -> Scan<&Token> {
        while self.needs_more()? {
            self.fetch()?;
        }
        self.tokens.front().ok_or_else(|| YamlError::new(self.line, "the text ends unexpectedly"))
    }

    /// Takes the next token.
    pub(super) fn next_token(&mut self) -> Scan<Token> {
        self.peek_token()?;
        self.taken += 1;
        self.tokens.pop_front().ok_or_else(|| YamlError::new(self.line, "the text ends unexpectedly"))
    }

    fn needs_more(&mut self) -> Scan<bool> {
        if self.done {
            return Ok(false);
        }
        if self.tokens.is_empty() {
            return Ok(true);
        }
        self.drop_stale_keys()?;
        // The first token may still turn out to be a key.
        let first = self.simple_keys.iter().flatten().map(|key| key.token).min();
        Ok(first == Some(self.taken))
    }

    fn error<T>(&self, reason: impl Into<String>) -> Scan<T> {
        Err(YamlError::new(self.line, reason))
    }

    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or(END)
    }

    fn forward(&mut self, count: usize) {
        for _ in 0..count {
            if is_break(self.peek(0)) {
                self.line += 1;
                self.column = 0;
            } else {
                self.column += 1;
            }
            self.at += 1;
        }
    }

    /// Moves on while `wanted`, and returns what was passed.
    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.at < self.chars.len() && wanted(self.peek(0)) {
            self.forward(1);
        }
        self.chars.get(start..self.at).unwrap_or_default().iter().collect()
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.at < self.chars.len() && wanted(self.peek(0)) {
            self.forward(1);
        }
    }

    fn at_separator(&self) -> bool {
        self.column == 0
            && (0..3).all(|ahead| self.peek(ahead) == '-') | (0..3).all(|ahead| self.peek(ahead) == '.')
            && is_blank_or_end(self.peek(3))
    }

    fn push(&mut self, line: usize, kind: TokenKind) {
        self.tokens.push_back(Token { line, kind });
    }

    fn push_char(&mut self, kind: TokenKind) {
        let line = self.line;
        self.forward(1);
        self.push(line, kind);
    }

    fn fetch(&mut self) -> Scan<()> {
        self.skip_to_token();
        self.drop_stale_keys()?;
        self.close_blocks(isize::try_from(self.column).unwrap_or(isize::MAX));
        let next = self.peek(0);
        let before_blank = is_blank_or_end(self.peek(1));
        match next {
            END if self.at >= self.chars.len() => self.fetch_end(),
            '%' if self.column == 0 => self.fetch_directive(),
            '-' | '.' if self.at_separator() => self.fetch_separator(next),
            '[' => self.fetch_open(TokenKind::ListStart),
            '{' => self.fetch_open(TokenKind::MapStart),
            ']' => self.fetch_close(TokenKind::ListEnd),
            '}' => self.fetch_close(TokenKind::MapEnd),
            ',' => {
                self.simple_key_allowed = true;
                self.forget_key()?;
                self.push_char(TokenKind::Comma);
                Ok(())
            }
            '-' if before_blank => self.fetch_entry(),
            '?' if self.flow > 0 || before_blank => self.fetch_key(),
            ':' if self.flow > 0 || before_blank => self.fetch_value(),
            '*' | '&' => self.fetch_anchor(next),
            '!' => self.fetch_tag(),
            '|' | '>' if self.flow == 0 => self.fetch_block_scalar(next == '>'),
            '\'' | '"' => self.fetch_quoted(next),
            '\t' => self.error("a tab cannot start a value"),
            '-' => self.fetch_plain(),
            '?' | ':' if self.flow == 0 => self.fetch_plain(),
            '#' | '|' | '>' | '%' | '@' | '`' | '?' | ':' => {
                self.error(format!("a value cannot start with '{next}'"))
            }
            _ => self.fetch_plain(),
        }
    }

    fn skip_to_token(&mut self) {
        loop {
            self.skip_while(|char| char == ' ');
            if self.peek(0) == '#' {
                self.skip_while(|char| !is_break(char));
            }
            if !is_break(self.peek(0)) {
                return;
            }
            self.forward(1);
            if self.flow == 0 {
                self.simple_key_allowed = true;
            }
        }
    }

    fn drop_stale_keys(&mut self) -> Scan<()> {
        for slot in &mut self.simple_keys {
            let Some(key) = slot else { continue };
            if key.line == self.line && self.at - key.at <= MAX_KEY {
                continue;
            }
            if key.required {
                return Err(YamlError::new(key.line, "a ':' is missing after a key"));
            }
            *slot = None;
        }
        Ok(())
    }

    fn save_key(&mut self) -> Scan<()> {
        if !self.simple_key_allowed {
            return Ok(());
        }
        let required = self.flow == 0 && usize::try_from(self.indent) == Ok(self.column);
        self.forget_key()?;
        let token = self.taken + self.tokens.len();
        let key = SimpleKey { token, required, at: self.at, line: self.line, column: self.column };
        if let Some(slot) = self.simple_keys.last_mut() {
            *slot = Some(key);
        }
        Ok(())
    }

    fn forget_key(&mut self) -> Scan<()> {
        match self.simple_keys.last_mut().and_then(Option::take) {
            Some(key) if key.required => Err(YamlError::new(key.line, "a ':' is missing after a key")),
            _ => Ok(()),
        }
    }

    /// Ends the block collections that are deeper than `column`.
    fn close_blocks(&mut self, column: isize) {
        if self.flow > 0 {
            return;
        }
        while self.indent > column {
            self.indent = self.outer_indents.pop().unwrap_or(-1);
            self.push(self.line, TokenKind::BlockEnd);
        }
    }

    /// Returns whether a block collection begins at `column`.
    fn open_block(&mut self, column: usize) -> Scan<bool> {
        let column = isize::try_from(column).unwrap_or(isize::MAX);
        if self.indent >= column {
            return Ok(false);
        }
        self.outer_indents.push(self.indent);
        self.indent = column;
        self.check_depth()?;
        Ok(true)
    }

    fn check_depth(&self) -> Scan<()> {
        // Without this bound the possible simple keys of all levels would make scanning quadratic.
        if self.flow + self.outer_indents.len() > MAX_DEPTH {
            return self.error(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        Ok(())
    }

    fn fetch_end(&mut self) -> Scan<()> {
        self.close_blocks(-1);
        self.forget_key()?;
        self.simple_key_allowed = false;
        self.simple_keys.clear();
        self.push(self.line, TokenKind::StreamEnd);
        self.done = true;
        Ok(())
    }

    fn fetch_separator(&mut self, first: char) -> Scan<()> {
        self.close_blocks(-1);
        self.forget_key()?;
        self.simple_key_allowed = false;
        self.push(self.line, if first == '-' { TokenKind::DocumentStart } else { TokenKind::DocumentEnd });
        self.forward(3);
        Ok(())
    }

    fn fetch_directive(&mut self) -> Scan<()> {
        self.close_blocks(-1);
        self.forget_key()?;
        self.simple_key_allowed = false;
        let line = self.line;
        self.forward(1);
        let name = self.take_while(is_word);
        if name.is_empty() || !matches!(self.peek(0), END | ' ' | '\n') {
            return self.error("a line cannot start with '%' here");
        }
        let kind = match name.as_str() {
            "YAML" => {
                self.skip_while(|char| char == ' ');
                let version = self.take_while(|char| !matches!(char, ' ' | '\n'));
                let read = version.split_once('.').filter(|(_, minor)| {
                    !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())
                });
                let major = read.filter(|(major, _)| major.bytes().all(|byte| byte.is_ascii_digit()));
                match major.and_then(|(major, _)| major.parse().ok()) {
                    Some(major) => TokenKind::Version(major),
                    None => return self.error("the %YAML directive has no version"),
                }
            }
            "TAG" => return self.error("the %TAG directive is not supported"),
            _ => {
                self.skip_while(|char| !is_break(char));
                TokenKind::OtherDirective
            }
        };
        self.skip_rest_of_line()?;
        self.push(line, kind);
        Ok(())
    }

    /// Spaces and a comment may follow a directive or the header of a block scalar.
    fn skip_rest_of_line(&mut self) -> Scan<()> {
        self.skip_while(|char| char == ' ');
        if self.peek(0) == '#' {
            self.skip_while(|char| !is_break(char));
        }
        if self.at < self.chars.len() && !is_break(self.peek(0)) {
            return self.error("only a comment may follow on the line");
        }
        if is_break(self.peek(0)) {
            self.forward(1);
        }
        Ok(())
    }

    fn fetch_open(&mut self, kind: TokenKind) -> Scan<()> {
        self.save_key()?;
        self.flow += 1;
        self.simple_keys.push(None);
        self.check_depth()?;
        self.simple_key_allowed = true;
        self.push_char(kind);
        Ok(())
    }

    fn fetch_close(&mut self, kind: TokenKind) -> Scan<()> {
        self.forget_key()?;
        if self.flow == 0 {
            return self.error("a closing bracket has no opening one");
        }
        self.flow -= 1;
        self.simple_keys.pop();
        self.simple_key_allowed = false;
        self.push_char(kind);
        Ok(())
    }

    fn fetch_entry(&mut self) -> Scan<()> {
        if self.flow == 0 {
            if !self.simple_key_allowed {
                return self.error("a list entry is not allowed here");
            }
            if self.open_block(self.column)? {
                self.push(self.line, TokenKind::BlockListStart);
            }
        }
        self.simple_key_allowed = true;
        self.forget_key()?;
        self.push_char(TokenKind::Entry);
        Ok(())
    }

    fn fetch_key(&mut self) -> Scan<()> {
        if self.flow == 0 {
            if !self.simple_key_allowed {
                return self.error("a map key is not allowed here");
            }
            if self.open_block(self.column)? {
                self.push(self.line, TokenKind::BlockMapStart);
            }
        }
        self.simple_key_allowed = self.flow == 0;
        self.forget_key()?;
        self.push_char(TokenKind::Key);
        Ok(())
    }

    fn fetch_value(&mut self) -> Scan<()> {
        if let Some(key) = self.simple_keys.last_mut().and_then(Option::take) {
            let place = key.token.saturating_sub(self.taken).min(self.tokens.len());
            self.tokens.insert(place, Token { line: key.line, kind: TokenKind::Key });
            if self.flow == 0 && self.open_block(key.column)? {
                self.tokens.insert(place, Token { line: key.line, kind: TokenKind::BlockMapStart });
            }
            self.simple_key_allowed = false;
        } else {
            if self.flow == 0 {
                if !self.simple_key_allowed {
                    return self.error("a mapping value is not allowed here");
                }
                if self.open_block(self.column)? {
                    self.push(self.line, TokenKind::BlockMapStart);
                }
            }
            self.simple_key_allowed = self.flow == 0;
        }
        self.push_char(TokenKind::Value);
        Ok(())
    }

    fn fetch_anchor(&mut self, indicator: char) -> Scan<()> {
        self.save_key()?;
        self.simple_key_allowed = false;
        let line = self.line;
        let what = if indicator == '*' { "alias" } else { "anchor" };
        self.forward(1);
        let name = self.take_while(is_word);
        let ends = is_blank_or_end(self.peek(0))
            || matches!(self.peek(0), '?' | ':' | ',' | ']' | '}' | '%' | '@' | '`');
        if name.is_empty() || !ends {
            return self.error(format!("the name of an {what} must consist of letters, digits, - and _"));
        }
        self.push(line, if indicator == '*' { TokenKind::Alias(name) } else { TokenKind::Anchor(name) });
        Ok(())
    }

    /// `!<uri>`, `!`, `!suffix`, `!!suffix` or `!handle!suffix`. No handle but the two first ones is defined.
    fn fetch_tag(&mut self) -> Scan<()> {
        self.save_key()?;
        self.simple_key_allowed = false;
        let line = self.line;
        self.forward(1);
        let is_uri = |char: char| char.is_ascii_alphanumeric() || "-;/?:@&=+$,_.!~*'()[]%".contains(char);
        let tag = if self.peek(0) == '<' {
            self.forward(1);
            let uri = self.take_while(is_uri);
            if self.peek(0) != '>' {
                return self.error("a tag is not closed");
            }
            self.forward(1);
            uri
        } else {
            match self.take_while(is_uri) {
                suffix if suffix.is_empty() => "!".to_owned(),
                suffix => match suffix.strip_prefix('!') {
                    Some(name) => format!("tag:yaml.org,2002:{name}"),
                    None => format!("!{suffix}"),
                },
            }
        };
        if !matches!(self.peek(0), END | ' ' | '\n') {
            return self.error("a tag must be followed by a space");
        }
        self.push(line, TokenKind::Tag(tag));
        Ok(())
    }

    fn fetch_block_scalar(&mut self, folded: bool) -> Scan<()> {
        self.simple_key_allowed = true;
        self.forget_key()?;
        let line = self.line;
        self.forward(1);
        let (keep, increment) = self.block_header()?;
        self.skip_rest_of_line()?;
        let least = usize::try_from(self.indent + 1).unwrap_or_default().max(1);
        let (mut breaks, indent) = match increment {
            Some(increment) => {
                let indent = least + increment - 1;
                (self.block_breaks(indent), indent)
            }
            None => {
                let (breaks, deepest) = self.block_indentation();
                (breaks, least.max(deepest))
            }
        };
        let mut text = String::new();
        let mut ends_with_break = false;
        while self.column == indent && self.at < self.chars.len() {
            push_breaks(&mut text, breaks);
            let spaced = matches!(self.peek(0), ' ' | '\t');
            let start = self.at;
            self.skip_while(|char| !is_break(char));
            text.extend(self.chars.get(start..self.at).unwrap_or_default());
            ends_with_break = is_break(self.peek(0));
            if ends_with_break {
                self.forward(1);
            }
            breaks = self.block_breaks(indent);
            if self.column != indent || self.at >= self.chars.len() {
                break;
            }
            if folded && ends_with_break && !spaced && !matches!(self.peek(0), ' ' | '\t') {
                if breaks == 0 {
                    text.push(' ');
                }
            } else if ends_with_break {
                text.push('\n');
            }
        }
        if keep != Some(false) && ends_with_break {
            text.push('\n');
        }
        if keep == Some(true) {
            push_breaks(&mut text, breaks);
        }
        self.push(line, TokenKind::Scalar { text, plain: false });
        Ok(())
    }

    /// Whether final line breaks are all kept (`+`) or all removed (`-`), and the indentation.
    fn block_header(&mut self) -> Scan<(Option<bool>, Option<usize>)> {
        let mut keep = None;
        let mut increment = None;
        for _ in 0..2 {
            match self.peek(0) {
                sign @ ('+' | '-') if keep.is_none() => keep = Some(sign == '+'),
                '0' if increment.is_none() => return self.error("the indentation of a block cannot be 0"),
                digit @ '1'..='9' if increment.is_none() => {
                    increment = digit.to_digit(10).and_then(|digit| usize::try_from(digit).ok());
                }
                _ => break,
            }
            self.forward(1);
        }
        if self.at < self.chars.len() && !matches!(self.peek(0), ' ' | '\n') {
            return self.error(format!("the header of a block cannot contain {:?}", self.peek(0)));
        }
        Ok((keep, increment))
    }

    /// Passes blank lines and the indentation of the first line, and returns their count and the deepest
    /// column.
    fn block_indentation(&mut self) -> (usize, usize) {
        let (mut breaks, mut deepest) = (0, 0);
        while matches!(self.peek(0), ' ' | '\n') {
            breaks += usize::from(is_break(self.peek(0)));
            self.forward(1);
            deepest = deepest.max(self.column);
        }
        (breaks, deepest)
    }

    fn block_breaks(&mut self, indent: usize) -> usize {
        let mut breaks = 0;
        loop {
            while self.column < indent && self.peek(0) == ' ' {
                self.forward(1);
            }
            if !is_break(self.peek(0)) {
                return breaks;
            }
            self.forward(1);
            breaks += 1;
        }
    }

    fn fetch_quoted(&mut self, quote: char) -> Scan<()> {
        self.save_key()?;
        self.simple_key_allowed = false;
        let line = self.line;
        self.forward(1);
        let mut text = String::new();
        self.quoted_text(quote, line, &mut text)?;
        while self.peek(0) != quote {
            self.quoted_space(line, &mut text)?;
            self.quoted_text(quote, line, &mut text)?;
        }
        self.forward(1);
        self.push(line, TokenKind::Scalar { text, plain: false });
        Ok(())
    }

    fn quoted_text(&mut self, quote: char, line: usize, text: &mut String) -> Scan<()> {
        loop {
            match self.peek(0) {
                '\'' if quote == '\'' && self.peek(1) == '\'' => {
                    text.push('\'');
                    self.forward(2);
                }
                '\\' if quote == '"' => {
                    self.forward(1);
                    self.escape(line, text)?;
                }
                ' ' | '\t' | '\n' => return Ok(()),
                END if self.at >= self.chars.len() => return Ok(()),
                char if char == quote => return Ok(()),
                char => {
                    text.push(char);
                    self.forward(1);
                }
            }
        }
    }

    fn escape(&mut self, line: usize, text: &mut String) -> Scan<()> {
        let escaped = match self.peek(0) {
            '0' if self.at < self.chars.len() => '\0',
            'a' => '\u{7}',
            'b' => '\u{8}',
            't' | '\t' => '\t',
            'n' => '\n',
            'v' => '\u{b}',
            'f' => '\u{c}',
            'r' => '\r',
            'e' => '\u{1b}',
            same @ (' ' | '"' | '\\' | '/') => same,
            'N' => '\u{85}',
            '_' => '\u{a0}',
            'L' => '\u{2028}',
            'P' => '\u{2029}',
            'x' => return self.code(2, text),
            'u' => return self.code(4, text),
            'U' => return self.code(8, text),
            '\n' => {
                self.forward(1);
                let breaks = self.quoted_breaks(line)?;
                push_breaks(text, breaks);
                return Ok(());
            }
            _ if self.at >= self.chars.len() => {
                return Err(YamlError::new(line, "a quoted text is not closed"));
            }
            other => return self.error(format!("the escape \\{} is unknown", other.escape_debug())),
        };
        text.push(escaped);
        self.forward(1);
        Ok(())
    }

    fn code(&mut self, digits: usize, text: &mut String) -> Scan<()> {
        self.forward(1);
        let mut code = 0_u32;
        for ahead in 0..digits {
            match self.peek(ahead).to_digit(16) {
                Some(digit) => code = (code << 4) | digit,
                None => return self.error(format!("an escape needs {digits} hexadecimal digits")),
            }
        }
        match char::from_u32(code) {
            Some(char) => text.push(char),
            None => return self.error(format!("the escape of {code:X} is no character")),
        }
        self.forward(digits);
        Ok(())
    }

    fn quoted_space(&mut self, line: usize, text: &mut String) -> Scan<()> {
        let spaces = self.take_while(|char| matches!(char, ' ' | '\t'));
        if self.at >= self.chars.len() {
            return Err(YamlError::new(line, "a quoted text is not closed"));
        }
        if !is_break(self.peek(0)) {
            text.push_str(&spaces);
            return Ok(());
        }
        self.forward(1);
        match self.quoted_breaks(line)? {
            0 => text.push(' '),
            breaks => push_breaks(text, breaks),
        }
        Ok(())
    }

    fn quoted_breaks(&mut self, line: usize) -> Scan<usize> {
        let mut breaks = 0;
        loop {
            if self.at_separator() {
                return Err(YamlError::new(line, "a quoted text is not closed before the document ends"));
            }
            self.skip_while(|char| matches!(char, ' ' | '\t'));
            if !is_break(self.peek(0)) {
                return Ok(breaks);
            }
            self.forward(1);
            breaks += 1;
        }
    }

    fn fetch_plain(&mut self) -> Scan<()> {
        self.save_key()?;
        self.simple_key_allowed = false;
        let line = self.line;
        let least = self.indent + 1;
        let mut text = String::new();
        let mut space = String::new();
        while self.peek(0) != '#' {
            let start = self.at;
            while !self.ends_plain() {
                self.forward(1);
            }
            if self.at == start {
                break;
            }
            self.simple_key_allowed = false;
            text.push_str(&space);
            text.extend(self.chars.get(start..self.at).unwrap_or_default());
            space = self.plain_space();
            let outside = self.flow == 0 && isize::try_from(self.column).unwrap_or(isize::MAX) < least;
            if space.is_empty() || outside {
                break;
            }
        }
        self.push(line, TokenKind::Scalar { text, plain: true });
        Ok(())
    }

    fn ends_plain(&self) -> bool {
        match self.peek(0) {
            END if self.at >= self.chars.len() => true,
            ' ' | '\t' | '\n' => true,
            ':' => {
                let next = self.peek(1);
                is_blank_or_end(next) || (self.flow > 0 && matches!(next, ',' | '[' | ']' | '{' | '}'))
            }
            ',' | '?' | '[' | ']' | '{' | '}' => self.flow > 0,
            _ => false,
        }
    }

    /// Passes spaces and line breaks within a plain scalar, and returns what they become; nothing if the
    /// scalar ends here.
    fn plain_space(&mut self) -> String {
        let spaces = self.take_while(|char| char == ' ');
        if !is_break(self.peek(0)) {
            return spaces;
        }
        self.forward(1);
        self.simple_key_allowed = true;
        let mut breaks = 0;
        loop {
            if self.at_separator() {
                return String::new();
            }
            self.skip_while(|char| char == ' ');
            if !is_break(self.peek(0)) {
                break;
            }
            self.forward(1);
            breaks += 1;
        }
        if breaks == 0 { " ".to_owned() } else { "\n".repeat(breaks) }
    }
}

fn push_breaks(text: &mut String, count: usize) {
    text.extend(std::iter::repeat_n('\n', count));
}
