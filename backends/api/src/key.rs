use std::{fmt, sync::Arc};

/// The maximum length of a [`Key`] in bytes: half of what S3, GCS and Azure accept, so that the prefix in a
/// bucket can use the rest.
const MAX_KEY_BYTES: usize = 512;
/// The maximum length of a segment in bytes: the limit of Linux and macOS file systems.
const MAX_SEGMENT_BYTES: usize = 255;
/// Reserved for the backends: the disk backend keeps its lock and its journal there.
const RESERVED_SEGMENT: &str = ".journal";

/// The name of an object: segments of `[A-Za-z0-9._-]` joined by `/`.
///
/// No segment is empty, `.` or `..`. A segment has at most 255 bytes and a key at most 512. The first segment
/// is not `.journal` in any letter case; that name is reserved for the backends. Keys are ordered by their
/// bytes, as object stores list them.
///
/// **For callers:** `a` and `a/b` must never both exist, because on a disk one is a file and the other needs
/// a folder of that name. Two keys must not differ only in the letter case of a segment after equal earlier
/// segments, because some disks cannot distinguish them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Parses a name by the rules above.
    ///
    /// # Errors
    /// [`InvalidKey`] names the broken rule. Nothing was stored.
    pub fn parse(name: impl Into<String>) -> Result<Self, InvalidKey> {
        let name = name.into();
        check(&name)?;
        Ok(Self(name.into()))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments between the slashes; at least one.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// Whether this key is below `other` (`other` is `a`, this is `a/b`), so that a disk would need a folder
    /// in place of the object.
    pub fn is_below(&self, other: &Key) -> bool {
        self.0.strip_prefix(&*other.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// A folder of keys: either all keys, or all keys below a name.
///
/// `Prefix::parse("runs/a")` contains `runs/a/1` and `runs/a/2/x`, but neither `runs/a` nor `runs/ab`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Prefix(Option<Key>);

impl Prefix {
    /// Every key.
    pub fn root() -> Self {
        Self(None)
    }

    /// All keys below `name`, which has the form of a [`Key`].
    ///
    /// # Errors
    /// [`InvalidKey`], as for [`Key::parse`].
    pub fn parse(name: impl Into<String>) -> Result<Self, InvalidKey> {
        Key::parse(name).map(|key| Self(Some(key)))
    }

    /// The name that all its keys are below; none for [`Prefix::root`].
    pub fn key(&self) -> Option<&Key> {
        self.0.as_ref()
    }

    /// Whether `key` is below this prefix.
    pub fn contains(&self, key: &Key) -> bool {
        self.0.as_ref().is_none_or(|prefix| key.is_below(prefix))
    }
}

/// A name that is not a valid [`Key`] or [`Prefix`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no key: {reason}")]
#[non_exhaustive]
pub struct InvalidKey {
    /// The given name, cut after 120 characters.
    pub name: String,
    /// The rule that it breaks.
    pub reason: &'static str,
}

impl InvalidKey {
    /// A name that breaks this rule.
    pub fn new(name: &str, reason: &'static str) -> Self {
        Self { name: name.chars().take(120).collect(), reason }
    }
}

fn check(name: &str) -> Result<(), InvalidKey> {
    let refuse = |reason| Err(InvalidKey::new(name, reason));
    if name.len() > MAX_KEY_BYTES {
        return refuse("it is longer than 512 bytes");
    }
    for (position, segment) in name.split('/').enumerate() {
        match segment {
            "" => return refuse("it has an empty segment"),
            "." | ".." => return refuse("`.` and `..` are no segments"),
            _ if position == 0 && segment.eq_ignore_ascii_case(RESERVED_SEGMENT) => {
                return refuse("`.journal` belongs to the backend");
            }
            _ if segment.len() > MAX_SEGMENT_BYTES => return refuse("a segment is longer than 255 bytes"),
            _ if !segment.bytes().all(is_portable) => {
                return refuse("segments are made of A-Z, a-z, 0-9, `.`, `_` and `-`");
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_portable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(key) => write!(f, "{key}/"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portable_names_are_keys() {
        for name in ["a", "A-b_c.9", "a/b/c", ".gitignore", "...", "a/.journal", &"x".repeat(255)] {
            assert_eq!(Key::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn other_names_are_refused_with_the_rule() {
        let long = "x/".repeat(256) + "y";
        for (name, reason) in [
            ("", "empty"),
            ("/a", "empty"),
            ("a/", "empty"),
            ("a//b", "empty"),
            (".", "`..`"),
            ("a/../b", "`..`"),
            ("a b", "made of"),
            ("é", "made of"),
            ("a\0", "made of"),
            ("a\\b", "made of"),
            (".journal", "backend"),
            (".journal/lock", "backend"),
            (".Journal", "backend"),
            (&"x".repeat(256), "255"),
            (&long, "512"),
        ] {
            let refused = Key::parse(name).unwrap_err();
            assert!(refused.reason.contains(reason), "{name:?}: {refused}");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_slash() {
        let prefix = Prefix::parse("runs/a").unwrap();
        assert!(prefix.contains(&Key::parse("runs/a/1").unwrap()));
        assert!(!prefix.contains(&Key::parse("runs/ab").unwrap()));
        assert!(!prefix.contains(&Key::parse("runs/a").unwrap()));
        assert!(Prefix::root().contains(&Key::parse("x").unwrap()));
    }
}
