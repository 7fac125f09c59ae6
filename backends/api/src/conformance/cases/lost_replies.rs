//! If a reply is lost, the backend returns what it knows: that the commit happened, or that the outcome is
//! unknown.

use crate::{
    Batch, Commit, Outcome,
    conformance::{
        check::{Checked, Stop, ensure, number_of, put},
        ground::Ground,
    },
};

/// Checks that the answer does not contradict the stored state. `happened`: the storage shows the batch's
/// last write.
fn fits(answer: &crate::Result<Commit>, happened: bool) -> Checked {
    match answer {
        Ok(Commit::Committed(_)) => {
            ensure!(happened, "a commit whose reply was lost was answered as Committed, and it is not there")
        }
        Ok(Commit::Conflict(conflict) | Commit::Overtaken(conflict)) => {
            return Err(Stop::Failed(format!(
                "no other client wrote, and a commit whose reply was lost is called a conflict, which is with its own first copy: {conflict:?}"
            )));
        }
        Err(error) if error.outcome() != Outcome::Unknown && happened => {
            return Err(Stop::error("It is there, and a commit", error));
        }
        Err(_) => {}
    }
    Ok(())
}

/// A create whose reply is lost has committed or is unknown. The backend does not mistake its own object for
/// another client's.
pub(super) async fn a_create_without_reply_is_no_conflict_with_itself(ground: &Ground) -> Checked {
    let losing = ground.losing_a_reply().await?;
    let answer = losing.backend().commit(Batch::new().stage([put("a", "mine")?.absent()])).await;
    let found = ground.store.get("a").await?.map(|object| object.bytes);
    ensure!(found.as_ref().is_none_or(|bytes| bytes == "mine"), "a holds {found:?}");
    fits(&answer, found.is_some())?;
    ground.store.put("a", "later").await?;
    ground.store.expect("a", "later").await.map(drop)
}

/// A swap whose reply is lost has committed or is unknown, and a reader can tell which.
pub(super) async fn a_swap_without_reply_is_no_conflict_with_itself(ground: &Ground) -> Checked {
    let old = ground.store.put("a", "0 old").await?;
    let losing = ground.losing_a_reply().await?;
    let answer = losing.backend().commit(Batch::new().stage([put("a", "1 mine")?.is(old)])).await;
    let object = ground.store.read("a").await?;
    fits(&answer, number_of("a", &object.bytes)? == 1)?;
    let next = put("a", "2 later")?.is(object.meta.version);
    ground.store.commit(Batch::new().stage([next])).await?;
    ground.store.expect("a", "2 later").await.map(drop)
}

/// A batch whose first reply is lost keeps the order of its stages, and its answer covers the whole batch.
pub(super) async fn a_batch_without_reply_keeps_its_order(ground: &Ground) -> Checked {
    let old = ground.store.put("head", "0 old").await?;
    let losing = ground.losing_a_reply().await?;
    let batch = Batch::new()
        .stage([put("record", "the record")?.absent().fresh()])
        .stage([put("head", "1 new")?.is(old)]);
    let answer = losing.backend().commit(batch).await;
    let head = number_of("head", &ground.store.read("head").await?.bytes)?;
    if head == 1 {
        ground.store.expect("record", "the record").await?;
    }
    fits(&answer, head == 1)
}
