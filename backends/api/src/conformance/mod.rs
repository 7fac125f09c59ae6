//! The cases that every backend must pass.
//!
//! The suite checks the guarantees of [`StorageBackend`](crate::StorageBackend) as far as they are visible
//! from outside. It selects by the backend's [`Capabilities`](crate::Capabilities): a guarantee that a
//! backend does not give is skipped with the reason, or the weaker guarantee is checked. The effects of a
//! crash are not visible from outside; a backend must test them itself.
//!
//! The author of a backend implements [`Harness`] and [`Site`], calls [`run`] in a test and asserts the
//! [`Report`]:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use pflow_backend::conformance::{self, Harness, Site};
//! use pflow_backend::{Result, StorageBackend, async_trait};
//! # fn open_in_memory() -> Arc<dyn StorageBackend> { unimplemented!() }
//!
//! struct InMemory;
//!
//! struct Shared(Arc<dyn StorageBackend>);
//!
//! #[async_trait]
//! impl Harness for InMemory {
//!     async fn fresh(&self) -> Result<Box<dyn Site>> {
//!         Ok(Box::new(Shared(open_in_memory())))
//!     }
//! }
//!
//! #[async_trait]
//! impl Site for Shared {
//!     async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
//!         Ok(self.0.clone())
//!     }
//! }
//!
//! # #[allow(unused)]
//! async fn keeps_the_contract() {
//!     conformance::run(&InMemory).await.assert_conformant();
//! }
//! ```
//!
//! # Hooks
//! Some promises are visible only if the harness helps. A hook that returns none skips its cases, and the
//! report says so.
//!
//! | hook | what it makes visible | cases |
//! | --- | --- | --- |
//! | [`Site::reopen`] | what other handles and processes see, and calls that wait for kept ones | 6, and both sides of the races |
//! | [`Site::losing_a_reply`] | a commit whose reply is lost | 4 |
//! | [`Site::failing_commit`] | a commit that the storage refuses, or reports as failed, at its commit point | 2 |
//! | [`Site::unreachable`] | reads that fail | 1 |
//! | [`Site::watched`] | calls that block the thread that polls them | 1 |
//!
//! # What it cannot check
//! - What a crash leaves, and whether success was durable.
//! - Without `watched`, reads that block the polling thread. A commit that blocks it is found if the backend
//!   is durable: see [`Durability`](crate::Durability).
//! - Whether a caller's conflict was with its own write, beyond the replies that the harness loses.
//! - Promises for other processes, if `reopen` opens handles in this one.
//!
//! # Where to run it
//! In a tokio runtime, preferably one with several threads, where the racing tasks run in parallel. Without a
//! tokio runtime they alternate at their awaits. The suite reads no clock and never sleeps, so a backend that
//! hangs makes it hang.
//!
//! A backend that waits for other writers gets more patience in the harness than a race takes, for example
//! two minutes: [`ErrorKind::Busy`](crate::ErrorKind::Busy) fails the racing cases.
//!
//! # What it costs
//! Some 100 cases on as many storages: about 4,000 commits with 13,000 operations, 9,000 reads and 1,200
//! listings. Three cases put 1,000 to 2,100 objects each; objects have at most 1.5 MB. In memory that takes
//! about two seconds of a debug build, on a server as long as so many requests.

mod cases;
mod check;
mod ground;
mod handle;
mod harness;
mod losing_replies;
mod report;
mod together;
mod watch;

use std::panic::AssertUnwindSafe;

use futures::FutureExt;

pub use harness::{CommitFailure, Harness, Site};
pub use losing_replies::LosingReplies;
pub use report::{Report, Verdict};
pub use watch::Watch;

use cases::{CASES, Case};
use check::{Checked, Stop};
use ground::Ground;

/// Runs every case, one after the other, each on a storage of its own.
///
/// Dropping the future stops the suite at its present step; the sites that it holds are dropped with it.
pub async fn run(harness: &dyn Harness) -> Report {
    let mut report = Report::default();
    for case in CASES {
        // A panic is the backend's failure in this case and does not affect the next one, which uses a new
        // storage.
        let verdict = match AssertUnwindSafe(run_one(harness, case)).catch_unwind().await {
            Ok(Ok(())) => Verdict::Passed,
            Ok(Err(Stop::Skipped(reason))) => Verdict::Skipped(reason),
            Ok(Err(Stop::Failed(reason))) => Verdict::Failed(reason),
            Err(_) => Verdict::Failed("The backend panicked".to_owned()),
        };
        report.push(case.name, verdict);
    }
    report
}

async fn run_one(harness: &dyn Harness, case: &Case) -> Checked {
    let ground = Ground::fresh(harness, case.storages()).await?;
    (case.run)(&ground).await
}
