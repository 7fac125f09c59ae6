//! A backend does not block the thread on which it is polled.
//!
//! Without a clock, blocking is visible in one place only: a commit that is durable must have waited for a
//! disk or a server. If it is complete at its first poll, the thread that polled it did the waiting. A commit
//! that another thread works on may be complete by chance, but not every time.
//!
//! Not visible from outside: reads that block (a backend may answer from memory at the first poll), and a
//! commit that blocks after it has waited for something else.

use futures::{FutureExt, poll};

use crate::{
    Batch, Commit, Durability,
    conformance::{
        check::{Checked, Stop, ensure, put},
        ground::Ground,
    },
};

/// How many commits are polled.
const COMMITS: usize = 64;

/// Of many commits that are durable, not every one is complete at its first poll.
pub(super) async fn a_durable_commit_does_not_work_on_the_polling_thread(ground: &Ground) -> Checked {
    let durability = ground.store.capabilities().durability;
    if durability == Durability::Process {
        return Err(Stop::Skipped("a commit in memory has nothing to wait for".to_owned()));
    }
    let mut pending = 0;
    for number in 0..COMMITS {
        let batch = Batch::new().stage([put("a", format!("{number} a body"))?]);
        let mut commit = ground.store.backend().commit(batch).boxed();
        let answer = match poll!(&mut commit) {
            std::task::Poll::Ready(answer) => answer,
            std::task::Poll::Pending => {
                pending += 1;
                commit.await
            }
        };
        match answer {
            Ok(Commit::Committed(_)) => {}
            Ok(other) => return Err(Stop::Failed(format!("a put without a condition has {other:?}"))),
            Err(error) => return Err(Stop::error("A commit", &error)),
        }
    }
    ensure!(
        pending > 0,
        "each of {COMMITS} commits was durable ({durability:?}) at its first poll, so it blocked the thread that \
         polled it: work that waits belongs on another thread"
    );
    Ok(())
}
