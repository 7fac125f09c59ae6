//! Reports workflows that exist but cannot be read, as part of the result of a command.

use std::result;

use futures::{Stream, StreamExt, pin_mut};
use pflow_store::{Error, Unreadable};

use super::{
    documents::Unread,
    failure::{Failure, Result},
    output::printable,
};

/// Splits the results of a list into entries and workflows that cannot be read.
pub(super) async fn apart<T>(
    list: impl Stream<Item = result::Result<T, Error>>,
) -> result::Result<(Vec<T>, Vec<Unreadable>), Error> {
    pin_mut!(list);
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    while let Some(item) = list.next().await {
        match item {
            Ok(item) => found.push(item),
            Err(Error::Unreadable(it)) => unreadable.push(it),
            Err(other) => return Err(other),
        }
    }
    Ok((found, unreadable))
}

/// Returns one line for each of them.
pub(super) fn lines(unreadable: &[Unreadable]) -> Vec<String> {
    let line = |it: &Unreadable| format!("{}: {}: {}", it.id, Unread::state(it), printable(&it.reason));
    unreadable.iter().map(line).collect()
}

/// Fails if there are workflows that cannot be read. The exit code is 17 if a newer program wrote all of them,
/// else it is 14.
pub(super) fn judge(unreadable: &[Unreadable]) -> Result<()> {
    let count = match unreadable.len() {
        0 => return Ok(()),
        1 => "1 workflow".to_owned(),
        many => format!("{many} workflows"),
    };
    Err(if unreadable.iter().all(Unreadable::is_newer) {
        let failure = Failure::incompatible(format!("{count} can only be read by a newer pflow-store"));
        failure.with_hint("use a newer pflow-store; the others are listed")
    } else {
        let failure = Failure::corrupt(format!("{count} cannot be read"));
        failure.with_hint("find all damage with `verify`; the others are listed")
    })
}
