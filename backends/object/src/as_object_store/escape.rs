//! Names: converts a path of object_store to a key, and a key back to the path.
//!
//! A path may contain any characters except control characters, may differ from another one only in case, and
//! may be an object and a folder at once. A [`Key`] allows none of this. So every character that is not a
//! small letter, a digit or a dot is escaped, and the name of an object ends with a mark that no folder's
//! name ends with. The table of codes is the format; users find it in the documentation of
//! [`AsObjectStore`](super::AsObjectStore).
//!
//! All keys are below the folder `objects`, so that no name collides with one that a backend reserves;
//! another format would use another folder. `Data/a-1.json` is stored as `objects/_44ata/a-_1.json-`.
//!
//! # Properties of the encoding
//! - **No code is the beginning of another one**, and a `-` at the very end is not a code, so a key has only
//!   one reading.
//! - **Keys have the order of their paths**: the codes of greater bytes are greater. Those of the bytes below
//!   `/` begin with `-` or `.`, which are below `/`, and all others are above it. The mark is below any
//!   continuation of the same beginning. So a listing is in the order of the paths, and a listing that starts
//!   after a path is one that starts after its key.
//! - **No capitals**, so that disks that do not distinguish `A` and `a` keep both.
//!
//! A key below `objects` that does not have exactly this form belongs to another program.

use std::fmt::Write;

use object_store::path::Path;
use pflow_backend::{InvalidKey, Key, Prefix};

/// The folder of all objects.
const FOLDER: &str = "objects";

/// The mark at the end of an object's name; no folder's name has it.
const OBJECT: char = '-';

/// After every name: in a name `z` is always followed by a digit or by one of `a` to `f`.
const BEHIND_ALL: &str = "zz";

/// The key of the object at `path`.
///
/// # Errors
/// The path is the root, or its key would be too long. No object can exist there.
pub(super) fn key(path: &Path) -> Result<Key, InvalidKey> {
    let name = path.as_ref();
    if name.split('/').any(str::is_empty) {
        return Err(InvalidKey::new(name, "a part of the path is empty"));
    }
    Key::parse(format!("{FOLDER}/{}{OBJECT}", escaped(name)))
}

/// The prefix of the keys of all objects below `path`; of all objects if there is no path.
///
/// # Errors
/// As for [`key`]: no object can exist below it.
pub(super) fn folder(path: Option<&Path>) -> Result<Prefix, InvalidKey> {
    match path.map(AsRef::as_ref) {
        None | Some("") => Prefix::parse(FOLDER),
        Some(path) => Prefix::parse(format!("{FOLDER}/{}", escaped(path))),
    }
}

/// A key after those of all objects below `path` and before that of any later object; none if no object can
/// exist below it.
pub(super) fn behind(path: &Path) -> Option<Key> {
    Key::parse(format!("{FOLDER}/{}/{BEHIND_ALL}", escaped(path.as_ref()))).ok()
}

/// The path of the object that is stored under `key`; none if the key does not have this format.
pub(super) fn path(key: &Key) -> Option<Path> {
    let name = key.as_str().strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(OBJECT)?;
    let path = Path::parse(unescaped(name)?).ok()?;
    // Other spellings would decode as well (`-2d` is a `-`), so that two keys would have one path.
    (self::key(&path).ok()? == *key).then_some(path)
}

fn escaped(path: &str) -> String {
    let mut key = String::with_capacity(path.len() * 2);
    for character in path.chars() {
        match character {
            'a'..='y' | '0'..='9' | '.' | '/' => key.push(character),
            '-' => key.push_str("-_"),
            '_' => key.push_str("__"),
            '`' => key.push_str("_q"),
            'z' => key.push_str("z0"),
            '\0'..='-' => push(&mut key, '-', character),
            ':'..='^' => push(&mut key, '_', character),
            _ => push(&mut key, 'z', character),
        }
    }
    key
}

fn push(key: &mut String, escape: char, character: char) {
    key.push(escape);
    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
        // Writing to a string cannot fail.
        let Ok(()) = write!(key, "{byte:02x}") else { return };
    }
}

/// Reverses [`escaped`]; none if the key is not its result.
fn unescaped(key: &str) -> Option<String> {
    let mut path = Vec::with_capacity(key.len());
    let mut rest = key.bytes();
    while let Some(byte) = rest.next() {
        if !matches!(byte, b'-' | b'_' | b'z') {
            path.push(byte);
            continue;
        }
        match (byte, rest.next()?) {
            (b'-', b'_') => path.push(b'-'),
            (b'_', b'_') => path.push(b'_'),
            (b'_', b'q') => path.push(b'`'),
            (b'z', b'0') => path.push(b'z'),
            (_, first) => {
                let lead = hex(first, rest.next()?)?;
                path.push(lead);
                // The first byte of a character gives the number of bytes that follow.
                let more = match lead {
                    0xc0..=0xdf => 1,
                    0xe0..=0xef => 2,
                    0xf0..=0xff => 3,
                    _ => 0,
                };
                for _ in 0..more {
                    path.push(hex(rest.next()?, rest.next()?)?);
                }
            }
        }
    }
    String::from_utf8(path).ok()
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
    Some(digit(high)? * 16 + digit(low)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(path: &str) -> Path {
        Path::parse(path).unwrap()
    }

    /// Parts that are similar to each other, and some from all of Unicode.
    fn part() -> impl Strategy<Value = String> {
        prop_oneof![
            3 => "[ ,./:AZ^_`az{|~é0-9-]{1,4}".prop_map(|it| it.replace('/', "%2F")),
            1 => "[^\\pC/]{1,6}",
        ]
        .prop_filter("no part of a path", |it| it != "." && it != "..")
    }

    fn any_path() -> impl Strategy<Value = Path> {
        prop::collection::vec(part(), 1..5).prop_map(|parts| parsed(&parts.join("/")))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn key_decodes_to_its_path(it in any_path()) {
            prop_assert_eq!(path(&key(&it).unwrap()), Some(it));
        }

        #[test]
        fn keys_have_the_order_of_their_paths(a in any_path(), b in any_path()) {
            let (key_a, key_b) = (key(&a).unwrap(), key(&b).unwrap());
            prop_assert_eq!(a.cmp(&b), key_a.cmp(&key_b), "{} and {}", key_a, key_b);
        }

        #[test]
        fn keys_have_the_order_of_paths_with_a_common_beginning(a in any_path(), b in part(), c in part()) {
            let near = [a.clone(), parsed(&format!("{a}/{b}")), parsed(&format!("{a}{b}")), parsed(&format!("{a}{c}/{b}"))];
            for (one, other) in near.iter().flat_map(|one| near.iter().map(move |other| (one, other))) {
                prop_assert!(!key(one).unwrap().is_below(&key(other).unwrap()));
                prop_assert_eq!(one.cmp(other), key(one).unwrap().cmp(&key(other).unwrap()), "{} and {}", one, other);
            }
        }

        #[test]
        fn folder_contains_exactly_the_keys_below_its_path(a in any_path(), b in any_path()) {
            let below = format!("{b}").starts_with(&format!("{a}/"));
            prop_assert_eq!(folder(Some(&a)).unwrap().contains(&key(&b).unwrap()), below);
            let inside = parsed(&format!("{a}/{b}"));
            prop_assert!(folder(Some(&a)).unwrap().contains(&key(&inside).unwrap()));
            prop_assert!(key(&inside).unwrap() < behind(&a).unwrap());
            prop_assert_eq!(b > a && !below, key(&b).unwrap() > key(&a).unwrap() && !below);
            prop_assert_eq!(key(&b).unwrap() > behind(&a).unwrap(), b > a && !below && b > inside);
        }

        #[test]
        fn keys_never_differ_only_in_case_and_no_object_is_a_folder(a in any_path(), b in any_path()) {
            let (key_a, key_b) = (key(&a).unwrap(), key(&b).unwrap());
            prop_assert_eq!(a == b, key_a.as_str().eq_ignore_ascii_case(key_b.as_str()));
            prop_assert!(!key_b.is_below(&key_a));
        }

        #[test]
        fn decodable_key_is_the_encoding_of_its_path(name in "objects/[a-z0-9._/-]{1,12}") {
            if let Ok(it) = Key::parse(name) && let Some(path) = path(&it) {
                prop_assert_eq!(key(&path).unwrap(), it);
            }
        }
    }

    #[test]
    fn encoding_follows_the_documented_table() {
        for (path, name) in [
            ("a", "a-"),
            ("Data/a-1.json", "_44ata/a-_1.json-"),
            ("year=2024/part_0.gz", "year_3d2024/part__0.gz0-"),
            ("a b%2F", "a-20b-252_46-"),
            ("`{~", "_qz7bz7e-"),
            ("é/😀", "zc3a9/zf09f9880-"),
            (".journal/x", ".journal/x-"),
        ] {
            assert_eq!(key(&parsed(path)).unwrap().as_str(), format!("objects/{name}"));
        }
        assert_eq!(folder(None).unwrap(), Prefix::parse("objects").unwrap());
        assert_eq!(folder(Some(&Path::ROOT)).unwrap(), Prefix::parse("objects").unwrap());
        assert_eq!(folder(Some(&parsed("a b"))).unwrap(), Prefix::parse("objects/a-20b").unwrap());
    }

    #[test]
    fn keys_of_another_form_are_not_decoded() {
        for name in [
            "a-",
            "objects-",
            "objects/a",
            "objects/A-",
            "objects/-2d-",
            "objects/z-",
            "objects/a_",
            "objects/_5f-",
            "objects/_4A-",
            "objects/z80-",
            "objects/zc3-",
            "objects/zf4909090-",
            "objects/-",
            "objects/a/-",
            "objects/-0a-",
            "objects/_-",
            "objects/-7-",
            "objects/zz-",
        ] {
            assert_eq!(path(&Key::parse(name).unwrap()), None, "{name}");
        }
    }

    #[test]
    fn path_that_is_too_long_for_a_key_is_refused() {
        assert!(key(&Path::ROOT).is_err());
        assert!(key(&parsed(&"x".repeat(254))).is_ok());
        assert!(key(&parsed(&"x".repeat(255))).unwrap_err().reason.contains("255"));
        assert!(key(&parsed(&"É".repeat(60))).unwrap_err().reason.contains("255"));
        assert!(key(&parsed(&["x"; 300].join("/"))).unwrap_err().reason.contains("512"));
    }
}
