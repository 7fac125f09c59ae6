//! The differences between two versions.

use super::align::{Aligned, Key, ids};
use super::path::{Path, Step};
use super::value::{Part, Parts, Role, Value};
use super::{Change, Fragment};

/// Lists the changes from `before` to `after`.
pub(super) fn changes(before: &Value<'_>, after: &Value<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    if let (Some(before), Some(after)) = (before.parts(), after.parts()) {
        parts(&Path::ROOT, before, after, &mut changes);
    }
    changes
}

fn parts<'d>(path: &Path, before: &Parts<'d>, after: &Parts<'d>, changes: &mut Vec<Change>) {
    let aligned = Aligned::new([Some(before), Some(after)]);
    let [old_keys, new_keys] = &aligned.keys;
    let removed = old_keys.iter().filter(|key| matches!(aligned.of(key), [_, None]));
    for key in new_keys.iter().chain(removed) {
        value(path, key, aligned.of(key), changes);
    }
    let [old_order, new_order] = aligned.common([true, true]);
    if after.role == Role::Nodes && old_order != new_order {
        let (path, before, after) = (path.join(Step::Order), ids(&old_order), ids(&new_order));
        changes.push(Change { path, before: Some(before), after: Some(after) });
    }
}

fn value<'d>(path: &Path, key: &Key<'d>, versions: [Option<&Part<'d>>; 2], changes: &mut Vec<Change>) {
    let versions = versions.map(|part| part.map(|part| &part.value));
    match versions {
        [Some(before), Some(after)] if before.text() == after.text() => return,
        [Some(Value::Parts(before)), Some(Value::Parts(after))] if before.is_list == after.is_list => {
            return parts(&path.join(key.step()), before, after, changes);
        }
        [Some(before), Some(after)] if before.same(after) => return,
        _ => {}
    }
    let [before, after] = versions.map(|value| value.map(|value| Fragment::of(value.text())));
    changes.push(Change { path: path.join(key.step()), before, after });
}
