use std::{fmt, sync::Arc};

use crate::text_form::text_form;

/// Names that Windows reserves for devices, with or without an extension. A checkout there could not contain
/// them.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// The name of a workflow.
///
/// Lowercase letters, digits, `-`, `_` and `.`; it starts with a letter or a digit and does not end with a
/// `.`; at most 100 bytes; not a device name (`con`, `nul`, `com1`, … with or without an extension). So every
/// id is a valid file name on every system, and no two ids name the same file on any system.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkflowId(Arc<str>);

/// A name that is not a valid [`WorkflowId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no workflow id: {reason}")]
#[non_exhaustive]
pub struct InvalidId {
    /// The given name, cut after 60 characters.
    pub name: String,
    /// The rule that it breaks.
    pub reason: &'static str,
}

impl WorkflowId {
    /// The maximum length.
    pub const MAX_BYTES: usize = 100;

    /// Parses a name.
    ///
    /// # Errors
    /// [`InvalidId`] names the broken rule; choose another name.
    pub fn parse(name: impl Into<String>) -> Result<Self, InvalidId> {
        let name = name.into();
        match broken_rule(&name) {
            None => Ok(Self(name.into())),
            Some(reason) => Err(InvalidId { name: shown(&name), reason }),
        }
    }

    /// Suggests an id that resembles `name`: `My Workflow` gives `my-workflow`. None if no character of the
    /// name can be used in an id. Two names may give the same id.
    pub fn resembling(name: &str) -> Option<Self> {
        let mut id = String::new();
        for c in name.chars().flat_map(char::to_lowercase) {
            match c {
                'a'..='z' | '0'..='9' | '_' | '.' => id.push(c),
                _ => match LATIN.iter().find(|(letters, _)| letters.contains(c)) {
                    Some((_, plain)) => id.push_str(plain),
                    None if id.ends_with('-') => {}
                    None => id.push('-'),
                },
            }
        }
        let id = id.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        // All characters are ASCII at this point.
        let id =
            id.get(..id.len().min(Self::MAX_BYTES)).unwrap_or_default().trim_end_matches(['-', '_', '.']);
        Self::parse(id).or_else(|_| Self::parse(format!("w-{id}"))).ok().filter(|_| !id.is_empty())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Latin letters and their ASCII spelling.
const LATIN: [(&str, &str); 12] = [
    ("àáâãå", "a"),
    ("ä", "ae"),
    ("ç", "c"),
    ("èéêë", "e"),
    ("ìíîï", "i"),
    ("ñ", "n"),
    ("òóôõø", "o"),
    ("ö", "oe"),
    ("ùúû", "u"),
    ("ü", "ue"),
    ("ýÿ", "y"),
    ("ß", "ss"),
];

fn broken_rule(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > WorkflowId::MAX_BYTES {
        return Some("it is longer than 100 bytes");
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some("uppercase letters are not allowed, some disks cannot tell them from lowercase");
    }
    if !name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.')) {
        return Some("only a-z, 0-9, `-`, `_` and `.` are allowed");
    }
    if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Some("it must start with a letter or a digit");
    }
    if name.ends_with('.') {
        return Some("it must not end with a `.`");
    }
    is_device(name.split('.').next().unwrap_or(name)).then_some("some systems keep that name for a device")
}

fn is_device(stem: &str) -> bool {
    let numbered = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
    DEVICES.contains(&stem) || numbered.is_some_and(|n| n.len() == 1 && n.bytes().all(|b| b.is_ascii_digit()))
}

fn shown(name: &str) -> String {
    match name.char_indices().nth(60) {
        Some((cut, _)) => format!("{}…", name.get(..cut).unwrap_or_default()),
        None => name.to_owned(),
    }
}

impl fmt::Display for WorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

text_form!(WorkflowId, InvalidId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_suggested_for_most_names() {
        for (name, expected) in [
            ("My Workflow", Some("my-workflow")),
            ("Übersicht (2)", Some("uebersicht-2")),
            (".hidden", Some("hidden")),
            ("a--b  c.", Some("a-b-c")),
            ("con", Some("w-con")),
            ("v1.2_x", Some("v1.2_x")),
            ("日本", None),
            ("", None),
        ] {
            assert_eq!(WorkflowId::resembling(name).as_ref().map(WorkflowId::as_str), expected, "{name}");
        }
        assert_eq!(WorkflowId::resembling(&"X".repeat(200)).unwrap().as_str().len(), WorkflowId::MAX_BYTES);
    }

    #[test]
    fn ordinary_names_are_ids() {
        for name in
            ["a", "0", "daily-report", "etl_v1.2", "console", "com10", "comx", "a.con", &"x".repeat(100)]
        {
            assert_eq!(WorkflowId::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn hostile_names_are_refused_with_the_rule() {
        for (name, words) in [
            ("", "empty"),
            (".", "start"),
            ("..", "start"),
            ("a/b", "only"),
            ("../x", "only"),
            ("/etc/passwd", "only"),
            ("a\0b", "only"),
            ("a\nb", "only"),
            (&"x".repeat(4096), "100 bytes"),
            ("CON", "uppercase"),
            ("con", "device"),
            ("nul.json", "device"),
            ("lpt9", "device"),
            ("A", "uppercase"),
            ("é", "only"),
            ("-rf", "start"),
            ("_x", "start"),
            ("a.", "end"),
            ("a b", "only"),
        ] {
            let refused = WorkflowId::parse(name).unwrap_err();
            assert!(refused.reason.contains(words), "{name:?}: {refused}");
            assert!(refused.to_string().len() < 250, "{refused}");
        }
    }
}
