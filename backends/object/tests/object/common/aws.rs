//! A home folder with the files of AWS.

use std::{collections::BTreeMap, path::Path};

use pflow_backend::{Error, ErrorKind};
use tempfile::TempDir;

/// What no error may show.
pub(crate) const SECRET: &str = "hunter2hunter2";

/// A home with these two files; none of an empty text.
pub(crate) fn home(config: &str, credentials: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let aws = home.path().join(".aws");
    std::fs::create_dir(&aws).unwrap();
    for (name, text) in [("config", config), ("credentials", credentials)] {
        if !text.is_empty() {
            std::fs::write(aws.join(name), text).unwrap();
        }
    }
    home
}

/// The variables of a person with this home, and others.
pub(crate) fn variables(home: &Path, others: &[(&str, &str)]) -> BTreeMap<String, String> {
    let fixed =
        [("HOME", home.to_str().unwrap()), ("AWS_ALLOW_HTTP", "true"), ("AWS_EC2_METADATA_DISABLED", "true")];
    let pairs = fixed.iter().chain(others);
    pairs.map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(crate) fn assert_says(error: &Error, kind: ErrorKind, words: &[&str]) {
    let all = format!("{error} | {}", error.hint().unwrap_or_default());
    assert_eq!(error.kind(), kind, "{all}");
    assert!(words.iter().all(|word| all.contains(word)), "{words:?}: {all}");
    assert!(!format!("{error:?}").contains(SECRET) && !all.contains('\n'), "{error:?}");
}

/// The key id and the session token that a request was signed with.
pub(crate) fn signed_with(head: &str) -> (String, Option<String>) {
    let id = head.split_once("Credential=").unwrap().1.split_once('/').unwrap().0.to_owned();
    let token = head.lines().find_map(|it| it.strip_prefix("x-amz-security-token: ").map(str::to_owned));
    (id, token)
}
