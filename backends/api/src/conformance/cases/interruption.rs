//! A dropped future leaves the old state or the new one. Neither it nor one that is kept blocks other tasks.

use std::pin::pin;

use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, join_all},
    poll,
};
use tokio::task::yield_now;

use crate::{
    Batch, Commit, Precondition,
    conformance::{
        check::{Checked, Rule, Stop, ensure, key, prefix, put, same_bytes},
        ground::Ground,
        handle::Handle,
    },
};

/// More polls than any commit of a backend in this process needs.
pub(super) const MOST_POLLS: usize = 16;

/// How many reads are kept.
const KEPT: usize = 24;

/// How many commits of another handle a read may take. The suite has no clock: a read that many commits
/// overtake one after the other waits for something else.
const OVERTAKING: usize = 10_000;

/// Polls at most `polls` times, yielding to other tasks in between, then drops the future. Returns the answer
/// if there was one by then.
pub(super) async fn poll_and_drop<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let std::task::Poll::Ready(answer) = poll!(future.as_mut()) {
            return Some(answer);
        }
        yield_now().await;
    }
    None
}

/// A commit future that is never polled does nothing.
pub(super) async fn a_commit_never_polled_never_happens(ground: &Ground) -> Checked {
    for _ in 0..8 {
        drop(ground.store.backend().commit(Batch::new().stage([put("a", "never")?])));
        yield_now().await;
    }
    ground.store.put("b", "b").await?;
    ground.store.expect_absent("a").await.rule("a commit that was never polled did not begin")
}

/// A commit that is dropped at any point leaves a batch that did not happen, happened, or will happen: its
/// stages in order, its objects whole. A later swap of the head settles it.
pub(super) async fn a_dropped_commit_leaves_the_old_or_the_new(ground: &Ground) -> Checked {
    let store = &ground.store;
    let large = vec![b'x'; store.at_most(100_000)];
    for polls in 1..=MOST_POLLS {
        let (head, record) = (&format!("dropped/{polls}/head"), &format!("dropped/{polls}/record"));
        let old = store.put(head, "old").await?;
        let batch = Batch::new()
            .stage([put(record, large.clone())?.absent().fresh()])
            .stage([put(head, "new")?.is(old)]);
        let answer = poll_and_drop(store.backend().commit(batch), polls).await;
        let seen = store.read(head).await?.bytes;
        match answer {
            Some(Ok(Commit::Committed(_))) => same_bytes(head, &seen, b"new")?,
            Some(Ok(Commit::Conflict(conflict) | Commit::Overtaken(conflict))) => {
                return Err(Stop::Failed(format!("conditions that held met a conflict: {conflict:?}")));
            }
            Some(Err(error)) => return Err(Stop::error("A commit", &error)),
            None => ensure!(seen == "old" || seen == "new", "{head} is neither old nor new: {seen:?}"),
        }
        if seen == "new" {
            same_bytes(record, &store.read(record).await?.bytes, &large)?;
        }
        let before = settle(store, head, "settled").await?;
        if before == "new" {
            same_bytes(record, &store.read(record).await?.bytes, &large)?;
        }
        for _ in 0..MOST_POLLS {
            yield_now().await;
            store.expect(head, "settled").await?;
        }
    }
    Ok(())
}

/// Swaps in `body`, and returns the content before it. A commit of unknown outcome may be applied first, but
/// only once.
pub(super) async fn settle(store: &Handle, name: &str, body: &'static str) -> Checked<bytes::Bytes> {
    for _ in 0..3 {
        let object = store.read(name).await?;
        let swap = put(name, body)?.when(Precondition::Is(object.meta.version));
        if let Commit::Committed(_) = store.attempt(Batch::new().stage([swap])).await? {
            return Ok(object.bytes);
        }
    }
    Err(Stop::Failed(format!("only one commit of unknown outcome swaps {name}, and it changed three times")))
}

/// If some of several waiting commits are dropped, all others are answered, and so are later ones.
pub(super) async fn dropped_commits_hold_no_other_up(ground: &Ground) -> Checked {
    for round in 0..4 {
        let body = |number: usize| format!("{round} {number}");
        let mut waiting = Vec::new();
        for number in 0..24 {
            let own = put(&format!("own/{round}/{number}"), body(number))?.absent();
            let batch = Batch::new().stage([own, put(&format!("shared/{}", number % 3), body(number))?]);
            waiting.push((number, ground.store.commit(batch).boxed()));
        }
        let mut kept = Vec::new();
        for (number, mut commit) in waiting {
            // Every third commit is dropped after it began to wait, between two that are kept.
            match (poll!(&mut commit), number % 3) {
                (_, 1) => drop(commit),
                (std::task::Poll::Ready(answer), _) => {
                    drop(answer.rule("a commit is answered, although others were dropped")?);
                }
                (std::task::Poll::Pending, _) => kept.push(commit),
            }
        }
        for answer in join_all(kept).await {
            answer.rule("a commit is answered, although others that waited with it were dropped")?;
        }
        for number in (0..24).filter(|number| number % 3 != 1) {
            ground.store.expect(&format!("own/{round}/{number}"), body(number)).await?;
        }
        ground.store.put("later", body(0)).await?;
        ground.store.expect("later", body(0)).await?;
    }
    Ok(())
}

/// A call that was polled, and whose future is kept without being polled again, holds no other call up. A
/// caller that reads ahead in a stream, and calls the same handle between two of its items, does that.
pub(super) async fn calls_that_are_kept_hold_no_other_up(ground: &Ground) -> Checked {
    let (store, other) = (&ground.store, &ground.another().await?);
    store.put("a/b", "x").await?;
    let reads = || -> [(&str, BoxFuture<'_, Checked>); 4] {
        [
            ("get", store.get("a/b").map(|answer| answer.map(drop)).boxed()),
            ("stat", store.stat("a/b").map(|answer| answer.map(drop)).boxed()),
            ("get_range", store.get_range("a/b", 0..1).map(|answer| answer.map(drop)).boxed()),
            ("list", store.names("a", None).map(|answer| answer.map(drop)).boxed()),
        ]
    };
    let mut kept = Vec::new();
    for (_, mut read) in (0..KEPT / 4).flat_map(|_| reads()) {
        match poll!(&mut read) {
            std::task::Poll::Ready(answer) => answer?,
            std::task::Poll::Pending => kept.push(read),
        }
    }
    for (what, mut read) in reads() {
        let mut overtaken = 0;
        let answer = loop {
            if let std::task::Poll::Ready(answer) = poll!(&mut read) {
                break answer;
            }
            ensure!(
                overtaken < OVERTAKING,
                "a {what} waits for calls whose futures are kept without being polled again: another handle \
                 committed {OVERTAKING} times meanwhile"
            );
            other.put("other", overtaken.to_string()).await?;
            overtaken += 1;
            yield_now().await;
        };
        answer.rule("a call is answered, although others are kept")?;
    }
    // Commits may wait for those of the other handle, so nothing bounds this one: it is answered or hangs.
    let mut commit = store.put("kept", "kept").boxed();
    let answered = poll!(&mut commit).is_ready();
    store.put("later", "later").await.rule("a commit is answered, although others are kept")?;
    if !answered {
        commit.await?;
    }
    for read in kept {
        read.await.rule("a call that was kept is answered")?;
    }
    store.expect("kept", "kept").await.map(drop)
}

/// Reads and listings that are dropped at any point change nothing and do not block other tasks.
pub(super) async fn a_dropped_read_changes_nothing(ground: &Ground) -> Checked {
    let (store, name) = (&ground.store, key("a/b")?);
    let version = store.put("a/b", "x").await?;
    for polls in 0..4 {
        drop(poll_and_drop(store.backend().get(&name), polls).await);
        drop(poll_and_drop(store.backend().stat(&name), polls).await);
        drop(poll_and_drop(store.backend().get_range(&name, 0..1), polls).await);
        drop(poll_and_drop(store.backend().list(&prefix("a")?, None).next(), polls).await);
    }
    let found = store.expect("a/b", "x").await.rule("reads that were dropped change nothing")?;
    ensure!(found == version, "reading gave a/b another version");
    let swapped = store.put_when("a/b", "y", Precondition::Is(version)).await.map(drop);
    swapped.rule("reads that were dropped stop no commit")
}
