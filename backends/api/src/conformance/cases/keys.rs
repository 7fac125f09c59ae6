//! Every valid key names a separate object.

use crate::conformance::{
    check::{Checked, ensure},
    ground::Ground,
};

/// Stores all names at once, each with its own bytes, and checks that nothing else is listed.
async fn live_side_by_side(ground: &Ground, names: &[&str]) -> Checked {
    for name in names {
        ground.store.put(name, name.to_string()).await?;
    }
    for name in names {
        ground.store.expect(name, name).await?;
    }
    let mut expected: Vec<&str> = names.to_vec();
    expected.sort_unstable();
    let found = ground.store.names("", None).await?;
    ensure!(found == expected, "{expected:?} were put; list finds {found:?}");
    for name in names {
        ground.store.delete(name).await?;
        ground.store.expect_absent(name).await?;
    }
    Ok(())
}

/// A segment of 255 bytes and a key of 512 bytes are valid.
pub(super) async fn the_longest_names_are_keys(ground: &Ground) -> Checked {
    let segment = "s".repeat(255);
    let deep = "d/".repeat(60) + "d";
    let long = [&*segment, &*"t".repeat(254), "u"].join("/");
    let other = [&*segment, &*"t".repeat(254), "v"].join("/");
    ensure!(long.len() == 512, "the suite's longest key has {} bytes", long.len());
    live_side_by_side(ground, &[&"x".repeat(255), &long, &other, &deep]).await
}

/// Dots and dashes have no special meaning: no hidden file, no option, no parent folder.
pub(super) async fn dots_and_dashes_are_plain_letters(ground: &Ground) -> Checked {
    let names = [".a", "...", "a.", "b..c", "-", "--", "-rf", "_", "d/.e", "d/...", "d/-", ".git/x", "e.f.g"];
    live_side_by_side(ground, &names).await
}

/// Names that a backend might use itself belong to the caller, except `.journal` as the first segment.
pub(super) async fn names_of_temporary_files_are_keys(ground: &Ground) -> Checked {
    let names =
        [".tmp", "a.tmp", ".a.tmp", "tmp", "a.lock", ".lock", "lock", "journal", "b/.journal", ".journal-1"];
    live_side_by_side(ground, &names).await
}

/// Keys with a common beginning are separate objects, also a key below a folder and one beside it.
pub(super) async fn neighbours_keep_apart(ground: &Ground) -> Checked {
    live_side_by_side(ground, &["a-b", "a.b", "a/b", "a0b", "a_b", "a0", "ab"]).await?;
    live_side_by_side(ground, &["a-b/x", "a.x", "a/x", "a0/x", "a/b/x", "a/b-x", "a/b.x"]).await
}

/// Letters keep their case.
pub(super) async fn letters_keep_their_case(ground: &Ground) -> Checked {
    live_side_by_side(ground, &["README.md", "Docs/Notes.TXT", "Zebra", "apple", "mIXED/cASE"]).await
}
