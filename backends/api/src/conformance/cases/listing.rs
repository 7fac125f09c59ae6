//! Listings are ordered and complete, and can continue from any key.

use futures::StreamExt;

use crate::{
    Batch, Key, Listed,
    conformance::{
        check::{Checked, Rule, Stop, delete, ensure, key, prefix},
        ground::Ground,
    },
};

/// Keys whose byte order differs from the order in which a walk through folders finds them: `-` and `.` come
/// before `/`, digits and letters after it, and capitals before `_` and small letters.
const TRICKY: [&str; 14] =
    ["M/z", "Z", "_", "a-", "a-b/x", "a.x", "a/B", "a/a-/1", "a/a/1", "a/a/2/x", "a/a0", "a/x", "a0", "ab/x"];

/// Some thousand keys in a few folders.
fn thousands() -> Vec<String> {
    (0..2_100).map(|number| format!("many/{}/{number:05}", number / 500)).collect()
}

/// Entries come in the byte order of their whole keys, whatever the order of the puts, and each has the
/// object's size.
pub(super) async fn lines_come_in_the_order_of_their_bytes(ground: &Ground) -> Checked {
    for name in TRICKY.iter().skip(7).chain(TRICKY.iter().take(7)).rev() {
        ground.store.put(name, *name).await?;
    }
    let lines = ground.store.list("", None).await?;
    let names: Vec<&str> = lines.iter().map(|line| line.key.as_str()).collect();
    let mut in_order = names.clone();
    in_order.sort_unstable();
    ensure!(names == in_order, "list does not come in the byte order of the keys: {names:?}");
    ensure!(names == TRICKY, "{TRICKY:?} were put; list finds {names:?}");
    for Listed { key, size, .. } in &lines {
        ensure!(*size == key.as_str().len() as u64, "{key} has as many bytes as its name; list says {size}");
    }
    Ok(())
}

/// A prefix contains the keys below its folder, and not those that merely begin with the same letters.
pub(super) async fn a_prefix_ends_at_a_slash(ground: &Ground) -> Checked {
    ground.store.fill(&TRICKY.map(String::from)).await?;
    for below in ["a", "a/a", "a-b", "M", "ab", "a/a/2"] {
        let folder = prefix(below)?;
        let expected: Vec<Key> = keys(&TRICKY)?.into_iter().filter(|key| folder.contains(key)).collect();
        let found: Vec<Key> = ground.store.list(below, None).await?.into_iter().map(|it| it.key).collect();
        ensure!(
            found == expected,
            "a prefix ends at its slash: below {below:?} are {expected:?}; list finds {found:?}"
        );
    }
    Ok(())
}

/// A prefix is compared byte by byte. It is no pattern in which `_` or `.` matches other characters, it is
/// not searched for inside of keys, and its letters keep their case.
pub(super) async fn a_prefix_is_no_pattern(ground: &Ground) -> Checked {
    let store = &ground.store;
    let folders = ["a-b", "a.b", "a0b", "a_b", "aab", "ab", "axb", "z/a_b", "z/axb"];
    for folder in folders {
        store.put(&format!("{folder}/1"), folder).await?;
    }
    for folder in folders {
        let found = store.names(folder, None).await?;
        ensure!(
            found == [format!("{folder}/1")],
            "the only key below {folder:?} is {folder}/1; list finds {found:?}: a prefix is compared byte by byte \
             and is no pattern"
        );
    }
    // Some disks do not distinguish letters by their case. There, get finds the object as well.
    if store.get("A_B/1").await?.is_none() {
        let found = store.names("A_B", None).await?;
        ensure!(
            found.is_empty(),
            "get finds no A_B/1, and list below A_B finds {found:?}: the letters of a prefix keep their case"
        );
    }
    Ok(())
}

/// Nothing is listed below a prefix without objects, below an object, or below a part of a name.
pub(super) async fn a_prefix_without_objects_is_empty(ground: &Ground) -> Checked {
    ground.store.fill(&["a/b".to_owned(), "c".to_owned()]).await?;
    for below in ["x", "x/y", "a/b", "a/b/c", "c", "a/x", "a/b-c"] {
        let found = ground.store.names(below, None).await?;
        ensure!(found.is_empty(), "nothing is below {below:?}; list finds {found:?}");
    }
    Ok(())
}

/// `after` excludes itself and all keys before it, whether it exists or not, and whether it is before, inside
/// or after the prefix.
pub(super) async fn after_is_exclusive_wherever_it_stands(ground: &Ground) -> Checked {
    ground.store.fill(&TRICKY.map(String::from)).await?;
    let between = ["-", "A", "a", "a/a", "a/a-", "a/a/2", "a/b", "a/y", "a1", "zz", "a.", "a/a/2/x/y"];
    let all = keys(&TRICKY)?;
    for after in TRICKY.iter().chain(&between) {
        let last = key(after)?;
        for below in ["", "a", "a/a", "Z", "ab"] {
            let folder = prefix(below)?;
            let wanted = all.iter().filter(|key| folder.contains(key) && **key > last);
            let expected: Vec<&str> = wanted.map(Key::as_str).collect();
            let found = ground.store.names(below, Some(after)).await?;
            ensure!(!found.iter().any(|it| it == after), "list after {after:?} begins with {after:?} itself");
            ensure!(
                found == expected,
                "below {below:?} after {after:?} are {expected:?}; list finds {found:?}"
            );
        }
    }
    Ok(())
}

/// Continuing after the last key of each page finds the same keys as one listing.
pub(super) async fn page_by_page_equals_whole(ground: &Ground) -> Checked {
    ground.store.fill(&TRICKY.map(String::from)).await?;
    for below in ["", "a"] {
        let whole = ground.store.names(below, None).await?;
        for size in [1, 2, 5] {
            let mut paged: Vec<String> = Vec::new();
            // One page more than there can be, so that a listing that does not advance ends nevertheless.
            for _ in 0..=whole.len() {
                let last = paged.last().cloned();
                paged.extend(ground.store.first_names(below, last.as_deref(), size).await?);
            }
            ensure!(paged == whole, "whole: {whole:?}; {size} at a time: {paged:?}");
        }
    }
    Ok(())
}

/// More keys than any storage returns at once are listed completely and in order, from the start and from the
/// middle.
pub(super) async fn thousands_are_listed_whole(ground: &Ground) -> Checked {
    let names = thousands();
    ground.store.fill(&names).await?;
    let found = ground.store.names("many", None).await?;
    same_names(&found, &names)?;
    for from in [999, 1_000, 1_499, 2_099] {
        let after = names.get(from).map(String::as_str);
        let found = ground.store.names("", after).await?;
        same_names(&found, names.get(from + 1..).unwrap_or_default())?;
    }
    Ok(())
}

const OPEN: &str = "a commit happens while a listing is open";

/// Deleting listed objects while the listing goes on neither hides nor repeats later ones.
pub(super) async fn deleting_what_was_listed_hides_nothing(ground: &Ground) -> Checked {
    let names = thousands();
    ground.store.fill(&names).await?;
    let mut lines = ground.store.backend().list(&prefix("many")?, None).chunks(70);
    let mut found = Vec::new();
    while let Some(lines) = lines.next().await {
        let lines: Vec<Listed> =
            lines.into_iter().collect::<Result<_, _>>().map_err(|error| Stop::error("list", &error))?;
        let seen: Vec<String> = lines.iter().map(|line| line.key.to_string()).collect();
        let deletes = seen.iter().map(|name| delete(name)).collect::<Checked<Vec<_>>>()?;
        ground.store.commit(Batch::new().stage(deletes)).await.rule(OPEN)?;
        found.extend(seen);
    }
    same_names(&found, &names)?;
    let left = ground.store.names("", None).await?;
    ensure!(left.is_empty(), "all was deleted; list finds {} keys", left.len());
    Ok(())
}

/// An object that exists during the whole listing is listed exactly once, in order, whatever is created or
/// deleted around it.
pub(super) async fn what_comes_meanwhile_disturbs_nothing(ground: &Ground) -> Checked {
    let names: Vec<String> = thousands().into_iter().step_by(2).collect();
    ground.store.fill(&names).await?;
    let mut lines = ground.store.backend().list(&prefix("many")?, None);
    let mut found: Vec<String> = Vec::new();
    while let Some(line) = lines.next().await {
        let line = line.map_err(|error| Stop::error("list", &error))?;
        if found.len().is_multiple_of(50) {
            // Creates one object next to the listed one, one long before it and one far after it, and deletes
            // the one before.
            for name in [format!("{}-new", line.key), "many/-".to_owned(), format!("many/9/{}", found.len())]
            {
                ground.store.put(&name, "new").await.rule(OPEN)?;
            }
            ground.store.delete("many/-").await.rule(OPEN)?;
        }
        found.push(line.key.to_string());
    }
    let ascends = found.iter().zip(found.iter().skip(1)).all(|(one, next)| one < next);
    ensure!(ascends, "a listing under changes repeats a key or is out of order");
    found.retain(|name| names.binary_search(name).is_ok());
    same_names(&found, &names)
}

/// A listing that is dropped before its end changes nothing.
pub(super) async fn a_listing_dropped_midway_changes_nothing(ground: &Ground) -> Checked {
    ground.store.fill(&TRICKY.map(String::from)).await?;
    for most in [0, 1, 7] {
        ground.store.first_names("", None, most).await?;
    }
    let found = ground.store.names("", None).await?;
    ensure!(
        found == TRICKY,
        "a listing that was dropped changes no other: {TRICKY:?} are there; list finds {found:?}"
    );
    Ok(())
}

fn keys(names: &[&str]) -> Checked<Vec<Key>> {
    names.iter().map(|name| key(name)).collect()
}

/// Checks that the names found are the expected ones. The error names the first difference, because there are
/// many names.
fn same_names(found: &[String], expected: &[String]) -> Checked {
    let parts = found.iter().zip(expected).find(|(found, expected)| found != expected);
    if let Some((found, expected)) = parts {
        return Err(Stop::Failed(format!("list finds {found} where {expected} comes next")));
    }
    let (has, wants) = (found.len(), expected.len());
    ensure!(has == wants, "list ends with {has} keys of {wants}");
    Ok(())
}
