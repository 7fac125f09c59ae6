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
pub(super) fn unquoted(written: &str) -> Cow<'_, str> {
    let inner = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(written);
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str(written).map_or(Cow::Borrowed(inner), Cow::Owned)
}

/// Whether two values are equal: strings whatever their escapes, objects whatever their order, numbers only
/// if they are spelled alike.
pub(super) fn same(a: &str, b: &str) -> bool {
    a == b || same_next(&mut Cursor::new(a), &mut Cursor::new(b))
}

/// Compares both texts in lockstep, so that large arrays take no memory.
fn same_next(a: &mut Cursor<'_>, b: &mut Cursor<'_>) -> bool {
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

fn same_strings(a: &str, b: &str) -> bool {
    a == b || unquoted(a) == unquoted(b)
}

fn same_arrays(a: &mut Cursor<'_>, b: &mut Cursor<'_>) -> bool {
    a.eat(b'[');
    b.eat(b'[');
    loop {
        match (a.eat(b']'), b.eat(b']')) {
            (true, true) => return true,
            (false, false) if same_next(a, b) => {
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
            let (a, mut b) = (members(a, a_key), members(b, b_key));
            return a.len() == b.len()
                && a.into_iter().all(|(key, a)| b.remove(&key).is_some_and(|b| same(a, b)));
        }
        if !same_next(a, b) {
            return false;
        }
        a.eat(b',');
        b.eat(b',');
    }
}

/// Reads the remaining members of an object. The cursor is after the key `first`.
fn members<'d>(cursor: &mut Cursor<'d>, first: &'d str) -> HashMap<Cow<'d, str>, &'d str> {
    let mut members = HashMap::new();
    let mut key = first;
    loop {
        members.insert(unquoted(key), cursor.value());
        if !cursor.eat(b',') {
            cursor.eat(b'}');
            return members;
        }
        key = cursor.key();
    }
}

/// Removes white space.
pub(super) fn compact(text: &str) -> String {
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
