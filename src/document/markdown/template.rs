//! pflow's templates: `${…}` in text, as its cache section splits them, and as they are hidden from YAML.

use super::super::yaml::{self, MAX_DIGITS, YamlError, YamlValue};
use super::text::is_space;

/// A template, or what looks like one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Template<'t> {
    /// The byte of its `$`.
    pub(super) start: usize,
    /// The byte after its `}`.
    pub(super) end: usize,
    /// The text between the braces.
    pub(super) name: &'t str,
    /// How many alternatives `??` separates; none if the template is malformed.
    pub(super) operands: usize,
}

/// Returns the templates of `text` in order. `$${` is an escape, and no template.
pub(super) fn templates(text: &str) -> Vec<Template<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = from(text, at).find("${").map(|offset| at + offset) {
        let before = |count| next >= count && from(text, next - count).starts_with('$');
        if before(1) && next > at {
            // An escape. Its braces are skipped if they are balanced.
            at = balanced(text, next + 2).unwrap_or(next + 2);
            continue;
        }
        if before(1) {
            // The `$` before is the end of what was read already: this is no template, as in pflow.
            at = next + 2;
            continue;
        }
        let template = expression(text, next).unwrap_or_else(|| {
            let rest = from(text, next);
            let end = rest.find('}').map_or(text.len(), |close| next + close + 1);
            let name = text.get(next + 2..end).unwrap_or_default();
            Template { start: next, end, name: name.strip_suffix('}').unwrap_or(name), operands: 0 }
        });
        at = template.end;
        found.push(template);
    }
    found
}

fn from(text: &str, at: usize) -> &str {
    text.get(at..).unwrap_or_default()
}

/// Returns the byte after the `}` that closes braces opened before `start`, which may have braces within, but
/// none within those.
fn balanced(text: &str, start: usize) -> Option<usize> {
    let mut within = false;
    for (at, byte) in from(text, start).bytes().enumerate() {
        match byte {
            b'{' if within => return None,
            b'{' => within = true,
            b'}' if within => within = false,
            b'}' => return Some(start + at + 1),
            _ => {}
        }
    }
    None
}

fn expression(text: &str, start: usize) -> Option<Template<'_>> {
    let mut reader = Expression { rest: text.get(start + 2..)? };
    let whole = reader.rest;
    let mut operands = 1;
    reader.operand()?;
    loop {
        if reader.rest.starts_with('}') {
            let length = whole.len() - reader.rest.len();
            let end = start + 2 + length + 1;
            return Some(Template { start, end, name: whole.get(..length)?, operands });
        }
        reader.separator()?;
        reader.operand()?;
        operands += 1;
    }
}

/// Reads the inside of a template.
struct Expression<'t> {
    rest: &'t str,
}

impl<'t> Expression<'t> {
    fn skip(&mut self, prefix: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(prefix)?;
        Some(())
    }

    fn skip_bytes(&mut self, count: usize) -> Option<()> {
        self.rest = self.rest.get(count..)?;
        Some(())
    }

    fn separator(&mut self) -> Option<()> {
        self.rest = self.rest.trim_start_matches(is_space);
        self.skip("??")?;
        self.rest = self.rest.trim_start_matches(is_space);
        Some(())
    }

    fn operand(&mut self) -> Option<()> {
        match self.rest.as_bytes().first()? {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b'[' => self.skip("[]"),
            b'{' => self.skip("{}"),
            // `true`, `false` and `null` have the form of a path.
            _ => self.path(),
        }
    }

    fn string(&mut self) -> Option<()> {
        self.skip("\"")?;
        loop {
            match self.rest.chars().next()? {
                '"' => return self.skip("\""),
                '\\' => match self.rest.as_bytes().get(1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.skip_bytes(2)?,
                    b'u' => {
                        let digits = self.rest.as_bytes().get(2..6)?;
                        if !digits.iter().all(u8::is_ascii_hexdigit) {
                            return None;
                        }
                        self.skip_bytes(6)?;
                    }
                    _ => return None,
                },
                '?' if self.rest.starts_with("??") => return None,
                char if char < ' ' => return None,
                char => self.skip_bytes(char.len_utf8())?,
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        self.rest = self.rest.strip_prefix('-').unwrap_or(self.rest);
        let whole = self.digits()?;
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        if self.rest.starts_with('.') {
            self.skip(".")?;
            self.digits()?;
        } else if whole.len() > MAX_DIGITS {
            return None;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<&'t str> {
        let count = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at_checked(count).filter(|_| count > 0)?;
        self.rest = rest;
        Some(digits)
    }

    fn path(&mut self) -> Option<()> {
        loop {
            self.identifier()?;
            if self.rest.starts_with('[') {
                self.skip("[")?;
                if self.rest.starts_with("${") {
                    self.skip("${")?;
                    self.static_path()?;
                    self.skip("}")?;
                } else {
                    self.index()?;
                }
                self.skip("]")?;
            }
            if !self.rest.starts_with('.') {
                return Some(());
            }
            self.skip(".")?;
        }
    }

    /// A path whose indices are numbers.
    fn static_path(&mut self) -> Option<()> {
        loop {
            self.identifier()?;
            if self.rest.starts_with('[') {
                self.skip("[")?;
                self.index()?;
                self.skip("]")?;
            }
            if !self.rest.starts_with('.') {
                return Some(());
            }
            self.skip(".")?;
        }
    }

    fn index(&mut self) -> Option<()> {
        (self.digits()?.len() <= MAX_DIGITS).then_some(())
    }

    fn identifier(&mut self) -> Option<()> {
        let mut chars = self.rest.char_indices();
        let (_, first) = chars.next()?;
        if !first.is_ascii_alphabetic() && first != '_' {
            return None;
        }
        let end = chars.find(|(_, char)| !char.is_alphanumeric() && !matches!(char, '_' | '-'));
        self.rest = end.map_or("", |(at, _)| from(self.rest, at));
        Some(())
    }
}

/// Reads YAML in which `${…}` outside of quotes is text, whatever it contains.
pub(super) fn load_yaml(text: &str) -> Result<YamlValue, YamlError> {
    let bare = bare_templates(text);
    if bare.is_empty() {
        return yaml::load(text);
    }
    let nonce = unused(text);
    let mut hidden = String::with_capacity(text.len());
    let mut at = 0;
    for (nth, (start, end)) in bare.iter().enumerate() {
        hidden.push_str(text.get(at..*start).unwrap_or_default());
        hidden.push_str(&format!("{nonce}{nth}__"));
        at = *end;
    }
    hidden.push_str(from(text, at));
    let originals: Vec<&str> =
        bare.iter().map(|(start, end)| text.get(*start..*end).unwrap_or_default()).collect();
    let read = yaml::load(&hidden).map_err(|error| real_line(error, &hidden, &nonce, &originals))?;
    Ok(read.map_texts(&|text| restore(text, &nonce, &originals)))
}

/// Adds the lines of the hidden templates before the error.
fn real_line(error: YamlError, hidden: &str, nonce: &str, originals: &[&str]) -> YamlError {
    let before: usize =
        hidden.split('\n').take(error.line.saturating_sub(1)).map(|line| line.len() + 1).sum();
    let count = hidden.get(..before.min(hidden.len())).map_or(0, |text| text.matches(nonce).count());
    let lines: usize = originals.iter().take(count).map(|text| text.matches('\n').count()).sum();
    // Not the templates themselves, which may be long.
    let shown = vec!["${…}"; originals.len()];
    YamlError { line: error.line + lines, reason: restore(error.reason, nonce, &shown) }
}

/// A beginning of placeholders that does not occur in `text`. It has the length of pflow's.
fn unused(text: &str) -> String {
    (0_u32..)
        .map(|nonce| format!("__pflow_tpl_{nonce:08x}_"))
        .find(|nonce| !text.contains(nonce))
        .unwrap_or_default()
}

fn restore(text: String, nonce: &str, originals: &[&str]) -> String {
    if !text.contains(nonce) {
        return text;
    }
    let mut restored = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once(nonce) {
        let original = after
            .split_once("__")
            .and_then(|(nth, after)| Some((*originals.get(nth.parse::<usize>().ok()?)?, after)));
        restored.push_str(before);
        match original {
            Some((original, after)) => {
                restored.push_str(original);
                rest = after;
            }
            // A message may end within a placeholder.
            None => rest = "",
        }
    }
    restored.push_str(rest);
    restored
}

/// Returns the places of templates that are not in quotes. What counts as quotes here is simpler than in
/// YAML: an apostrophe within a word opens them too.
fn bare_templates(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = from(text, at).find(['"', '\'', '$']).map(|offset| at + offset) {
        let rest = from(text, next);
        at = match rest.as_bytes().first() {
            Some(b'"') => double_quoted(rest).map_or(next + 1, |length| next + length),
            Some(b'\'') => single_quoted(rest).map_or(next + 1, |length| next + length),
            _ if rest.starts_with("${") => match balanced(text, next + 2) {
                Some(end) => {
                    found.push((next, end));
                    end
                }
                None => next + 1,
            },
            _ => next + 1,
        };
    }
    found
}

/// Returns the length of the quoted text at the start of `text`.
fn double_quoted(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate().skip(1);
    loop {
        match bytes.next()? {
            (at, b'"') => return Some(at + 1),
            // A backslash does not escape a line break.
            (_, b'\\') if bytes.next()?.1 == b'\n' => return None,
            _ => {}
        }
    }
}

/// Returns the length of the quoted text at the start of `text`. If its end is missing, the last doubled
/// apostrophe is taken for it.
fn single_quoted(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut last_doubled = None;
    let mut at = 1;
    loop {
        match from(text, at).find('\'').map(|offset| at + offset) {
            None => return last_doubled,
            Some(quote) if bytes.get(quote + 1) == Some(&b'\'') => {
                last_doubled = Some(quote + 1);
                at = quote + 2;
            }
            Some(quote) => return Some(quote + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_found_as_pflow_finds_them() {
        let found =
            |text| templates(text).iter().map(|found| (found.name, found.operands)).collect::<Vec<_>>();
        assert_eq!(found("a ${b} $${c} ${d.e[0].f}"), [("b", 1), ("d.e[0].f", 1)]);
        assert_eq!(found("${a[${i.j[2]}].b}"), [("a[${i.j[2]}].b", 1)]);
        assert_eq!(found("${a ?? \"x?\" ??b}${c}"), [("a ?? \"x?\" ??b", 3), ("c", 1)]);
        assert_eq!(found("${ a } ${} ${b c"), [(" a ", 0), ("", 0), ("b c", 0)]);
        assert_eq!(
            found("${a ?? 01} ${b ?? 1.5} ${c ?? {}} ${true-x}"),
            [("a ?? 01", 0), ("b ?? 1.5", 2), ("c ?? {}", 2), ("true-x", 1)]
        );
        assert_eq!(found("$${a ${b}"), [("b", 1)]);
        assert_eq!(found("$${a {b} } $$${c}"), []);
    }

    #[test]
    fn templates_are_text_in_yaml() {
        let read = |text| load_yaml(text).unwrap().to_json();
        assert_eq!(
            read("{ a: ${b.c}, d: [${e ?? {}}, 'f'] }"),
            serde_json::json!({ "a": "${b.c}", "d": ["${e ?? {}}", "f"] })
        );
        assert_eq!(read("a: \"${b ?? \\\"c\\\"}\""), serde_json::json!({ "a": "${b ?? \"c\"}" }));
        assert_eq!(read("${a}: x${b}${c}y"), serde_json::json!({ "${a}": "x${b}${c}y" }));
        // Between two apostrophes nothing is hidden, whatever they are; after the only one all is.
        assert!(load_yaml("[don't, ${b}, won't]").is_err());
        assert_eq!(read("[don't, ${b}]"), serde_json::json!(["don't", "${b}"]));
        let error = load_yaml("a: ${b\n}\nc: @").unwrap_err();
        assert_eq!((error.line, error.reason.as_str()), (3, "a value cannot start with '@'"));
    }
}
