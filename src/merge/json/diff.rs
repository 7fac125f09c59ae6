//! The differences between two versions.

use super::align::Aligned;
use super::pair::Pair;
use super::value::{Role, Value};
use crate::merge::path::{Path, Step};
use crate::merge::{Change, Fragment};

/// Lists the changes from `before` to `after`.
pub(super) fn changes(before: Value<'_>, after: Value<'_>) -> Vec<Change> {
    let mut differ = Differ { changes: Vec::new(), texts: Pair::default() };
    differ.parts(&Path::ROOT, before, after);
    differ.changes
}

#[derive(Debug)]
struct Differ {
    changes: Vec<Change>,
    texts: Pair,
}

impl Differ {
    /// Compares two objects or lists part by part.
    fn parts(&mut self, path: &Path, before: Value<'_>, after: Value<'_>) {
        let aligned = Aligned::new([before.parts(), after.parts()]);
        let removed = aligned.order(0).iter().filter(|row| matches!(aligned.parts(**row), [_, None]));
        for row in aligned.order(1).iter().chain(removed) {
            self.value(&|| path.join(aligned.key(*row).step()), aligned.values(*row));
        }
        let both = [true, true];
        if after.role == Role::Nodes && !aligned.common(0, both).eq(aligned.common(1, both)) {
            let (before, after) = (aligned.ids(0, both), aligned.ids(1, both));
            let path = path.join(Step::Order);
            self.changes.push(Change { path, before: Some(before), after: Some(after) });
        }
    }

    fn value(&mut self, path: &dyn Fn() -> Path, versions: [Option<Value<'_>>; 2]) {
        if let [Some(before), Some(after)] = versions {
            if self.texts.is_equal(before.text(), after.text()) {
                return;
            }
            if before.is_list().is_some() && before.is_list() == after.is_list() {
                return self.parts(&path(), before, after);
            }
            if before.same(after) {
                return;
            }
        }
        let [before, after] = versions.map(|value| value.map(|value| Fragment::of(value.text())));
        self.changes.push(Change { path: path(), before, after });
    }
}
