//! If the storage fails, the answer says what a reader then finds, or that the outcome is unknown.

use futures::TryStreamExt;

use crate::{
    Batch, Commit, Error, ErrorKind, Outcome,
    conformance::{
        CommitFailure,
        cases::interruption::settle,
        check::{Checked, Rule, Stop, ensure, key, number_of, prefix, put},
        ground::Ground,
        handle::Handle,
    },
};

/// What a reader finds of the batch of [`commit_fails`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    /// Its first stage.
    record: bool,
    /// Its second and last stage.
    head: bool,
}

/// A commit that the storage did not apply is not answered as committed.
pub(super) async fn a_commit_that_fails_before_its_point_is_not_confirmed(ground: &Ground) -> Checked {
    commit_fails(ground, CommitFailure::BeforeItsPoint).await
}

/// A commit that the storage applied, and of which the backend knows only that it failed, is not answered as
/// one that did not happen.
pub(super) async fn a_commit_that_fails_after_its_point_is_not_denied(ground: &Ground) -> Checked {
    commit_fails(ground, CommitFailure::AfterItsPoint).await
}

async fn commit_fails(ground: &Ground, failure: CommitFailure) -> Checked {
    let [store, reader] = ground.both().await?;
    let old = store.put("head", "0 old").await?;
    let failing = ground.failing_commit(failure).await?;
    let batch = Batch::new()
        .stage([put("record", "the record")?.absent().fresh()])
        .stage([put("head", "1 new")?.is(old)]);
    let answer = failing.backend().commit(batch).await;
    let found = find(&reader).await?;
    // A commit that failed before the point may be there as well: the backend may have repeated it.
    ensure!(
        found.head || failure == CommitFailure::BeforeItsPoint,
        "the harness made a commit fail after its commit point, and a reader does not find it"
    );
    agrees(&answer, found, store.capabilities().atomic_batch)?;
    if let Err(error) = &answer {
        check_kind(error)?;
    }
    // The close may fail, because the storage did.
    drop(failing.backend().close().await);
    drop(failing);
    let later = find(&reader).await?;
    if matches!(&answer, Err(error) if error.outcome() == Outcome::Unknown) {
        // It may still happen, at any moment. But what a reader has found stays.
        agrees(&answer, later, store.capabilities().atomic_batch)?;
        let lost = (found.record && !later.record) || (found.head && !later.head);
        ensure!(!lost, "after a failed commit a reader found {found:?}, and after a close {later:?}");
    } else {
        // What did not happen does not happen later either, for example when the handle is closed.
        ensure!(
            later == found,
            "after a failed commit a reader found {found:?}, and after a close {later:?}"
        );
    }
    settle(&store, "head", "2 next").await.rule("only a failed commit of unknown outcome swaps the head")?;
    reader.expect("head", "2 next").await.map(drop)
}

/// Reads the record between two reads of the head that agree. A commit that may still happen may do so between
/// any two reads.
async fn find(reader: &Handle) -> Checked<Found> {
    let swapped = async || Ok::<_, Stop>(number_of("head", &reader.read("head").await?.bytes)? == 1);
    loop {
        let head = swapped().await?;
        let record = reader.get("record").await?.is_some();
        if swapped().await? == head {
            return Ok(Found { record, head });
        }
    }
}

/// Checks that the answer of a commit of two stages says what a reader found.
fn agrees(answer: &crate::Result<Commit>, found: Found, atomic: bool) -> Checked {
    ensure!(found.record || !found.head, "of a failed commit the second stage is there without the first");
    match answer {
        Ok(Commit::Committed(_)) => {
            ensure!(found.head, "a failed commit was answered as Committed, and a reader does not find it");
        }
        Ok(Commit::Conflict(conflict) | Commit::Overtaken(conflict)) => {
            return Err(Stop::Failed(format!("a failed commit without other clients met {conflict:?}")));
        }
        Err(error) => match error.outcome() {
            Outcome::NotApplied { applied } => {
                let says =
                    format!("a failed commit says that it did not happen (NotApplied, {applied} stages)");
                ensure!(!found.head, "{says}, and a reader finds it: its outcome is Unknown");
                ensure!(found.record || applied == 0, "{says}, and a reader finds no stage");
                ensure!(!found.record || !atomic, "{says}, and a reader finds a part of the atomic batch");
                ensure!(applied == 0 || !atomic, "{says}, and the batch is atomic");
            }
            Outcome::Unknown => {
                let whole = found.record == found.head;
                ensure!(whole || !atomic, "of a failed atomic batch a reader finds one stage");
            }
        },
    }
    Ok(())
}

/// Kinds that mean "not begun" do not go with an unknown outcome.
fn check_kind(error: &Error) -> Checked {
    let kind = error.kind();
    let not_begun = matches!(kind, ErrorKind::Unsupported | ErrorKind::Busy | ErrorKind::Incompatible);
    ensure!(
        !not_begun || error.outcome() != Outcome::Unknown,
        "a failed commit is {kind:?}, which means that it was not begun, and its outcome is Unknown: {error}"
    );
    Ok(())
}

/// Reads that cannot be made are errors, not "there is nothing", and their outcome is not unknown. A commit
/// that cannot be made is an error that is true.
pub(super) async fn a_failed_read_is_an_error_and_never_unknown(ground: &Ground) -> Checked {
    ground.store.put("a/b", "x").await?;
    let cut = ground.unreachable().await?;
    let (backend, name) = (cut.backend(), key("a/b")?);
    read_failed("get", backend.get(&name).await)?;
    read_failed("stat", backend.stat(&name).await)?;
    read_failed("get_range", backend.get_range(&name, 0..1).await)?;
    read_failed("list", backend.list(&prefix("a")?, None).try_collect::<Vec<_>>().await)?;
    match backend.commit(Batch::new().stage([put("c", "c")?])).await {
        Ok(answer) => {
            Err(Stop::Failed(format!("the storage cannot be reached, and a commit has {answer:?}")))
        }
        Err(error) if error.outcome() == Outcome::Unknown => check_kind(&error),
        Err(_) => ground.store.expect_absent("c").await,
    }
}

fn read_failed<T: std::fmt::Debug>(what: &str, answer: crate::Result<T>) -> Checked {
    match answer {
        Ok(answer) => {
            Err(Stop::Failed(format!("the storage cannot be reached, and {what} answers {answer:?}")))
        }
        Err(error) if error.outcome() == Outcome::Unknown => Err(Stop::read(what, &error)),
        Err(_) => Ok(()),
    }
}
