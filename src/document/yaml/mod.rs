//! One YAML document, read as PyYAML's `SafeLoader` reads it.
//!
//! That is YAML 1.1: `yes` and `off` are booleans, `0777` is octal, `1:30` is 90, `<<` merges maps, and of
//! equal keys the last one wins. Two integers, floats or booleans that are equal in Python are equal keys.
//!
//! Bounds, all of them errors: a tree is at most [`MAX_DEPTH`] deep, aliases add at most [`MAX_ALIASED`]
//! units to it, and a number has at most [`MAX_DIGITS`] digits. Reading takes time in proportion to the text.

mod compose;
mod scalar;
mod scanner;
mod value;

pub use value::{YamlMap, YamlValue};

pub(super) use scalar::{decimal_integer, float};

/// The maximum depth of a tree; its root is the first level.
pub(super) const MAX_DEPTH: usize = 128;
/// The maximum that aliases may add to a tree: a value counts 64, and each byte of its text one.
const MAX_ALIASED: usize = 8 << 20;
/// The same for each byte of the text: a document may have many texts.
const ALIASED_PER_BYTE: usize = 64;
/// The maximum number of digits of an integer. Python has the same limit for decimal ones.
pub(super) const MAX_DIGITS: usize = 4300;

/// Why a text is not one YAML document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub(super) struct YamlError {
    /// The line within the text, from 1.
    pub(super) line: usize,
    /// The reason, in plain words.
    pub(super) reason: String,
}

impl YamlError {
    fn new(line: usize, reason: impl Into<String>) -> YamlError {
        YamlError { line, reason: reason.into() }
    }
}

/// Reads `text`. A text without a value is null.
pub(super) fn load(text: &str) -> Result<YamlValue, YamlError> {
    compose::document(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> serde_json::Value {
        load(text).unwrap_or_else(|error| panic!("{text:?}: {error}")).to_json()
    }

    fn refused(text: &str) -> String {
        load(text).expect_err(text).to_string()
    }

    #[test]
    fn scalars_resolve_by_yaml_1_1() {
        let text = concat!(
            "[yes, Off, null, ~, 0777, 0x1F, -0b11, 1:30, 1_000, 08, 1.5e+3, 1.5e3, .inf, ",
            "12345678901234567890123]"
        );
        let expected = json!([
            true,
            false,
            null,
            null,
            511,
            31,
            -3,
            90,
            1000,
            "08",
            1500.0,
            "1.5e3",
            "inf",
            "12345678901234567890123"
        ]);
        assert_eq!(read(text), expected);
        assert_eq!(
            read("[2001-12-14 21:59:43.1 -5, 2020-01-02]"),
            json!(["2001-12-14T21:59:43.100000-05:00", "2020-01-02"])
        );
        assert_eq!(read("['yes', \"1\", !!str 1, !!int '7', ! 5]"), json!(["yes", "1", "1", 7, 5]));
    }

    #[test]
    fn collections_may_be_indented_as_pyyaml_allows() {
        assert_eq!(read("- a: [\n  b, c\n  ]\n"), json!([{ "a": ["b", "c"] }]));
        assert_eq!(read("a:\n- b\n- c\nd: \"x\ny\"\n"), json!({ "a": ["b", "c"], "d": "x y" }));
        assert_eq!(read("- a\n - b"), json!(["a - b"]));
        assert_eq!(read("{a: 1, b, \"c\":2}"), json!({ "a": 1, "b": null, "c": 2 }));
        assert_eq!(read("[a: b]#c"), json!([{ "a": "b" }]));
        assert_eq!(read(""), json!(null));
    }

    #[test]
    fn block_scalars_fold_and_chomp() {
        let text = "a: |\n  x\n   y\n\nb: >-\n  one\n  two\n\n  three\n\nc: |+\n  z\n\n";
        assert_eq!(read(text), json!({ "a": "x\n y\n", "b": "one two\nthree", "c": "z\n\n" }));
        assert_eq!(read("a: |1\n  x\n"), json!({ "a": " x\n" }));
    }

    #[test]
    fn merges_give_way_to_own_keys_and_the_last_of_equal_keys_wins() {
        let text = "a: &a { x: 1, y: 2 }\nb: { <<: *a, y: 3 }\nc: { <<: [{x: 5}, *a] }\n1: p\ntrue: q\n";
        assert_eq!(
            read(text),
            json!({ "a": { "x": 1, "y": 2 }, "b": { "x": 1, "y": 3 }, "c": { "x": 5, "y": 2 }, "1": "q" })
        );
    }

    #[test]
    fn what_pyyaml_refuses_is_refused_with_its_line() {
        for (text, expected) in [
            ("a: b: c", "line 1: a mapping value is not allowed here"),
            ("x: 1\na:\tb", "line 2: a tab cannot start a value"),
            ("a: @x", "line 1: a value cannot start with '@'"),
            ("x: && y", "line 1: the name of an anchor must consist of letters, digits, - and _"),
            ("a: !foo b", "line 1: the tag \"!foo\" is unknown"),
            ("[a]: b", "line 1: a list or map cannot be a key"),
            ("a: *b", "line 1: the alias \"b\" has no anchor"),
            ("a: \u{1}", "line 1: the character U+0001 is not allowed"),
            ("a\n---\nb", "line 2: there is a second document"),
            ("a: [b", "line 1: a list in brackets is not closed"),
            ("a: \"b", "line 1: a quoted text is not closed"),
            ("a: =", "line 1: = is only allowed as a key"),
        ] {
            assert_eq!(refused(text), expected, "{text:?}");
        }
    }

    #[test]
    fn aliases_and_depth_are_bounded() {
        let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..12 {
            let alias = format!("*a{}", n - 1);
            laughs += &format!("a{n}: &a{n} [{}]\n", [alias.as_str(); 9].join(","));
        }
        assert!(refused(&laughs).ends_with("aliases expand to too much"), "{}", refused(&laughs));
        assert!(refused("&a [*a]").ends_with("an anchor refers to itself"));
        for text in ["[".repeat(100_000), "- ".repeat(100_000), "? ".repeat(100_000), "{a: ".repeat(100_000)]
        {
            assert!(refused(&text).ends_with("nested deeper than 128 levels"), "{}", refused(&text));
        }
        let fits = MAX_DEPTH - 1;
        read(&format!("{}x{}", "[".repeat(fits), "]".repeat(fits)));
        assert!(load(&format!("{}x{}", "[".repeat(fits + 1), "]".repeat(fits + 1))).is_err());
    }
}
