//! JSON text in a document: read in place, compared, and written again.
//!
//! The text is known to be valid JSON, because a [`Document`](crate::document::Document) has parsed it. So
//! nothing here fails; on other text the functions end early, and a document made from the result would be
//! refused. Values are read from the text rather than through serde_json's `Value`, which reorders keys and
//! rounds numbers.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{cursor::Cursor, style::Style};

/// Decodes a string that is given as it is written.
pub(in crate::merge) fn unquoted(written: &str) -> Cow<'_, str> {
    let inner = inner(written);
    if inner.contains('\\') { Cow::Owned(chars(inner).collect()) } else { Cow::Borrowed(inner) }
}

/// Whether a string that is given as it is written has this value.
pub(super) fn is(written: &str, value: &str) -> bool {
    let inner = inner(written);
    inner == value || inner.contains('\\') && chars(inner).eq(value.chars())
}

/// Whether two strings are equal that are given as they are written.
pub(super) fn same_strings(a: &str, b: &str) -> bool {
    a == b || (a.contains('\\') || b.contains('\\')) && chars(inner(a)).eq(chars(inner(b)))
}

/// A string as it is written, without its quotes.
fn inner(written: &str) -> &str {
    written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(written)
}

/// The characters of a string. Its escapes are valid and its surrogates are paired.
fn chars(inner: &str) -> impl Iterator<Item = char> {
    let mut rest = inner.chars();
    std::iter::from_fn(move || {
        let c = rest.next()?;
        if c != '\\' {
            return Some(c);
        }
        let escaped = rest.next()?;
        Some(match escaped {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = unit(&mut rest);
                // The other half is an escape too.
                let second = is_high_surrogate(first).then(|| unit(&mut rest.by_ref().skip(2)));
                let units = std::iter::once(first).chain(second);
                char::decode_utf16(units).next()?.unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            itself => itself,
        })
    })
}

/// The number that the next four hexadecimal digits are.
fn unit(rest: &mut impl Iterator<Item = char>) -> u16 {
    let digits = rest.take(4).filter_map(|digit| digit.to_digit(16));
    digits.fold(0, |unit, digit| unit << 4 | u16::try_from(digit).unwrap_or_default())
}

fn is_high_surrogate(unit: u16) -> bool {
    (0xD800..0xDC00).contains(&unit)
}

/// Whether the next values are equal: strings whatever their escapes, objects whatever their order, numbers
/// only if they are spelled alike. Moves over both values if they are.
///
/// The texts are compared in lockstep, so that large arrays take no memory. Each part of the first text is
/// visited once, of the second one too, apart from the cost of moving over values.
pub(super) fn same(a: &mut Cursor<'_>, b: &mut Cursor<'_>) -> bool {
    match (a.peek(), b.peek()) {
        (Some(b'['), Some(b'[')) => same_arrays(a, b),
        (Some(b'{'), Some(b'{')) => same_objects(a, b),
        (Some(b'"'), Some(b'"')) => same_strings(a.value(), b.value()),
        (Some(_), Some(_)) => {
            let (a, b) = (a.value(), b.value());
            a == b && !a.is_empty()
        }
        _ => false,
    }
}

fn same_arrays(a: &mut Cursor<'_>, b: &mut Cursor<'_>) -> bool {
    a.eat(b'[');
    b.eat(b'[');
    loop {
        match (a.eat(b']'), b.eat(b']')) {
            (true, true) => return true,
            (false, false) if same(a, b) => {
                a.eat(b',');
                b.eat(b',');
            }
            _ => return false,
        }
    }
}

/// Compares in lockstep while the keys are in the same order, then by key.
fn same_objects(a: &mut Cursor<'_>, b: &mut Cursor<'_>) -> bool {
    a.eat(b'{');
    b.eat(b'{');
    loop {
        match (a.eat(b'}'), b.eat(b'}')) {
            (true, true) => return true,
            (false, false) if a.peek().is_some() && b.peek().is_some() => {}
            _ => return false,
        }
        let (a_key, b_key) = (a.key(), b.key());
        if !same_strings(a_key, b_key) {
            return same_members(a, a_key, b, b_key);
        }
        if !same(a, b) {
            return false;
        }
        a.eat(b',');
        b.eat(b',');
    }
}

/// Compares the remaining members of two objects by key. The cursors are after the keys.
fn same_members(a: &mut Cursor<'_>, a_key: &str, b: &mut Cursor<'_>, b_key: &str) -> bool {
    let mut members = HashMap::new();
    let mut key = a_key;
    loop {
        members.insert(unquoted(key), a.at());
        a.value();
        if !a.eat(b',') {
            break;
        }
        key = a.key();
    }
    key = b_key;
    loop {
        let Some(at) = members.remove(unquoted(key).as_ref()) else { return false };
        if !same(&mut a.moved_to(at), b) {
            return false;
        }
        if !b.eat(b',') {
            break;
        }
        key = b.key();
    }
    a.eat(b'}') && b.eat(b'}') && members.is_empty()
}

/// Removes white space.
pub(in crate::merge) fn compact(text: &str) -> String {
    let mut out = String::new();
    print(&mut Cursor::new(text), Style::COMPACT, 0, usize::MAX, &mut out);
    out
}

/// Writes the next value in a style, with its first line at `depth`. Stops when `out` is longer than `max`
/// bytes.
pub(super) fn print(cursor: &mut Cursor<'_>, style: Style<'_>, depth: usize, max: usize, out: &mut String) {
    let (open, close) = match cursor.peek() {
        Some(b'{') => (b'{', b'}'),
        Some(b'[') => (b'[', b']'),
        _ => return out.push_str(cursor.value()),
    };
    cursor.eat(open);
    out.push(char::from(open));
    let mut first = true;
    while cursor.peek().is_some_and(|next| next != close) && out.len() <= max {
        style.begin_member(first, depth + 1, out);
        first = false;
        if open == b'{' {
            style.key(cursor.key(), out);
        }
        print(cursor, style, depth + 1, max, out);
        if !cursor.eat(b',') {
            break;
        }
    }
    cursor.eat(close);
    style.end_members(first, depth, out);
    out.push(char::from(close));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) -> bool {
        super::same(&mut Cursor::new(a), &mut Cursor::new(b))
    }

    #[test]
    fn values_are_equal_whatever_their_spelling_except_numbers() {
        for (a, b) in [
            ("1", " 1 "),
            ("\"\\u00e9\"", "\"é\""),
            ("[1,2]", "[ 1 ,\n2 ]"),
            ("[]", "[ ]"),
            (r#"{"a":1,"b":[{"c":2,"d":3}]}"#, r#"{"b":[{"d":3,"c":2}],"a":1}"#),
            (r#"{"a":1,"b":2,"c":3}"#, r#"{"a":1,"c":3,"b":2}"#),
            (r#"[{"\u0061":"]"}]"#, r#"[ {"a" : "]"} ]"#),
        ] {
            assert!(same(a, b) && same(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("1", "1.0"),
            ("1", "\"1\""),
            ("9007199254740993", "9007199254740992"),
            ("[1]", "[1,2]"),
            ("[1,2]", "[2,1]"),
            ("[]", "{}"),
            ("[null]", "[]"),
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#),
            (r#"{"a":1,"b":2}"#, r#"{"b":1,"a":2}"#),
            (r#"{"b":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{"a":1}"#, r#"{"b":1}"#),
        ] {
            assert!(!same(a, b) && !same(b, a), "{a} {b}");
        }
    }

    #[test]
    fn strings_are_decoded_like_those_of_serde_json() {
        for written in [
            r#""""#,
            r#""plain é""#,
            r#""\u0061\u00e9\u20AC\ud83D\uDE00z""#,
            r#""\b\f\n\r\t\/\\\"""#,
            r#""\\u0061""#,
        ] {
            let value: String = serde_json::from_str(written).unwrap();
            assert_eq!(unquoted(written), value);
            assert!(is(written, &value) && !is(written, &format!("{value}x")));
            assert!(same_strings(written, &serde_json::to_string(&value).unwrap()), "{written}");
            assert!(!same_strings(written, r#""other""#));
        }
        unquoted(r#""\u12""#);
        unquoted(r#""\ud83d""#);
    }

    #[test]
    fn invalid_json_ends_early() {
        for text in [
            "",
            "[",
            "{",
            "{\"a\"",
            "{\"a\":",
            "[1",
            "[1,",
            "\"",
            "\"\\",
            "{,",
            "[}",
            ":",
            "{\"a\":1 \"b\"",
            "]",
        ] {
            compact(text);
            same(text, "[[1]]");
            same(text, "{\"b\":1}");
            same(&format!("{text} "), text);
        }
    }

    #[test]
    fn a_value_is_written_in_a_style() {
        let text = r#"{"a":[1,{"b":"x, y"},[],{}]}"#;
        let printed = |style| {
            let mut out = String::new();
            print(&mut Cursor::new(text), style, 0, usize::MAX, &mut out);
            out
        };
        assert_eq!(printed(Style::COMPACT), text);
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(printed(Style::default()), format!("{value:#}"));
        assert_eq!(printed(Style { space: true, ..Style::COMPACT }), r#"{"a": [1, {"b": "x, y"}, [], {}]}"#);
    }
}
