//! A backend does not block the thread on which it is polled.
//!
//! Without a clock and without the help of the harness, blocking is visible in one place only: a commit that
//! is durable must have waited for a disk or a server. If it is complete at its first poll, the thread that
//! polled it did the waiting. A commit that another thread works on may be complete by chance, but not every
//! time.
//!
//! Reads that block are not visible that way (a backend may answer from memory at the first poll), nor a
//! commit that blocks after it has waited for something else. For these the harness lets the suite watch on
//! which thread the storage works.

use futures::{FutureExt, TryStreamExt, poll};

use crate::{
    Batch, Commit, Durability,
    conformance::{
        check::{Checked, Stop, ensure, key, prefix, put},
        ground::Ground,
        watch::{Polling, Watch, polled},
    },
};

/// How many commits are polled. Where one processor runs everything, a worker often has done its part before the
/// first poll returns.
const COMMITS: usize = 1_024;

/// Of many commits that are durable, not every one is complete at its first poll.
pub(super) async fn a_durable_commit_does_not_work_on_the_polling_thread(ground: &Ground) -> Checked {
    let durability = ground.store.capabilities().durability;
    if durability == Durability::Process {
        return Err(Stop::Skipped("a commit in memory has nothing to wait for".to_owned()));
    }
    let failed = |error| Stop::error("A commit", &error);
    for number in 0..COMMITS {
        let batch = Batch::new().stage([put("a", format!("{number} a body"))?]);
        let mut commit = ground.store.backend().commit(batch).boxed();
        let answer = match poll!(&mut commit) {
            std::task::Poll::Ready(answer) => answer,
            std::task::Poll::Pending => return commit.await.map(drop).map_err(failed),
        };
        match answer {
            Ok(Commit::Committed(_)) => {}
            Ok(other) => return Err(Stop::Failed(format!("a put without a condition has {other:?}"))),
            Err(error) => return Err(failed(error)),
        }
    }
    Err(Stop::Failed(format!(
        "each of {COMMITS} commits was durable ({durability:?}) at its first poll, so it blocked the thread that \
         polled it: work that waits belongs on another thread"
    )))
}

/// No call works on the thread that polls it.
pub(super) async fn no_call_works_on_the_polling_thread(ground: &Ground) -> Checked {
    let watch = Watch::default();
    let store = ground.watched(&watch).await?;
    let (backend, name, below) = (store.backend(), key("a/b")?, prefix("a")?);
    let failed = |call: &'static str| move |error| Stop::error(call, &error);
    let before = watch.count();
    for number in 0..4 {
        let batch = Batch::new().stage([put("a/b", number.to_string())?, put("a/c", "c")?]);
        drop(polled("commit", backend.commit(batch)).await.map_err(failed("A commit"))?);
        drop(polled("get", backend.get(&name)).await.map_err(failed("get"))?);
        drop(polled("stat", backend.stat(&name)).await.map_err(failed("stat"))?);
        drop(polled("get_range", backend.get_range(&name, 0..1)).await.map_err(failed("get_range"))?);
        let lines = {
            let _polling = Polling::begin("list");
            backend.list(&below, None)
        };
        let lines = polled("list", lines.try_collect::<Vec<_>>()).await.map_err(failed("list"))?;
        ensure!(lines.len() == 2, "list finds {} of 2 keys", lines.len());
    }
    polled("close", backend.close()).await.map_err(failed("A close"))?;
    ensure!(watch.count() > before, "the harness's watched handle never said that it works");
    let blocked = watch.blocked();
    ensure!(
        blocked.is_empty(),
        "these calls worked on the thread that polled them, and blocked it: {blocked:?}"
    );
    Ok(())
}
