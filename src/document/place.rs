//! Positions in a document.

use std::borrow::Cow;
use std::fmt;

use super::metadata::cut;

/// The maximum length of keys and names in messages; longer ones are cut.
const MAX_SHOWN_BYTES: usize = 64;
/// The maximum number of steps of a path in messages; of a longer path the first and the last half of this
/// number are shown.
const MAX_SHOWN_STEPS: usize = 16;

/// The path from the root to a value: a linked list on the reader's stack, which is formatted only when there
/// is something to report.
#[derive(Debug)]
pub(super) enum Place<'p> {
    Root,
    Key(&'p Place<'p>, &'p str),
    Index(&'p Place<'p>, usize),
}

impl<'p> Place<'p> {
    pub(super) fn key(&'p self, key: &'p str) -> Place<'p> {
        Place::Key(self, key)
    }

    pub(super) fn index(&'p self, index: usize) -> Place<'p> {
        Place::Index(self, index)
    }

    fn parent(&self) -> Option<&Place<'p>> {
        match self {
            Place::Root => None,
            Place::Key(parent, _) | Place::Index(parent, _) => Some(parent),
        }
    }
}

/// `nodes[3].params["a key"]`; the root is `the document`.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut steps: Vec<&Place<'_>> = std::iter::successors(Some(self), |place| place.parent()).collect();
        steps.pop(); // the root, which is only shown alone
        if steps.is_empty() {
            return f.write_str("the document");
        }
        steps.reverse();
        let half = MAX_SHOWN_STEPS / 2;
        let hidden = if steps.len() > MAX_SHOWN_STEPS { half..steps.len() - half } else { 0..0 };
        for (nth, step) in steps.iter().enumerate() {
            if hidden.contains(&nth) {
                if nth == hidden.start {
                    f.write_str("…")?;
                }
                continue;
            }
            match step {
                Place::Root => {}
                Place::Index(_, index) => write!(f, "[{index}]")?,
                Place::Key(_, key) if !is_identifier(key) => write!(f, "[{}]", quoted(key))?,
                Place::Key(_, key) if nth == 0 => f.write_str(key)?,
                Place::Key(_, key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

/// Puts `text` in double quotes, cut to a length that fits into a message, with control characters of
/// terminals escaped.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", excerpt(text))
}

/// The beginning of `text`, cut to a length that fits into a message.
pub(super) fn excerpt(text: &str) -> Cow<'_, str> {
    cut(text, MAX_SHOWN_BYTES)
}

/// Whether `key` needs no quotes in a path.
pub(crate) fn is_identifier(key: &str) -> bool {
    key.len() <= MAX_SHOWN_BYTES
        && !key.starts_with(|c: char| c.is_ascii_digit())
        && !key.is_empty()
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(keys: &[&str]) -> String {
        fn go(place: &Place<'_>, keys: &[&str]) -> String {
            match keys {
                [] => place.to_string(),
                [first, rest @ ..] => match first.parse() {
                    Ok(index) => go(&place.index(index), rest),
                    Err(_) => go(&place.key(first), rest),
                },
            }
        }
        go(&Place::Root, keys)
    }

    #[test]
    fn keys_and_indices() {
        assert_eq!(shown(&[]), "the document");
        assert_eq!(shown(&["nodes", "3", "id"]), "nodes[3].id");
        assert_eq!(shown(&["a", "0", "1"]), "a[0][1]");
    }

    #[test]
    fn keys_that_are_not_identifiers_are_quoted_and_escaped() {
        assert_eq!(shown(&["a b", "x"]), r#"["a b"].x"#);
        assert_eq!(shown(&["x", ""]), r#"x[""]"#);
        assert_eq!(shown(&["x", "4ever"]), r#"x["4ever"]"#);
        assert_eq!(shown(&["x", "\u{1b}[2J\"\n"]), r#"x["\u{1b}[2J\"\n"]"#);
    }

    #[test]
    fn long_places_are_elided() {
        let key = "k".repeat(1000);
        assert!(shown(&[&key]).len() < 80);
        let deep = vec!["a"; 500];
        assert_eq!(shown(&deep), format!("{}…{}", ["a"; 8].join("."), ".a".repeat(8)));
        assert_eq!(shown(&deep[..16]), ["a"; 16].join("."));
    }
}
