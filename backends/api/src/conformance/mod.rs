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
//! # Where to run it
//! In a tokio runtime, preferably one with several threads, where the racing tasks run in parallel. Without a
//! tokio runtime they alternate at their awaits. The suite reads no clock and never sleeps, so a backend that
//! hangs makes it hang.

mod cases;
mod check;
mod ground;
mod handle;
mod harness;
mod losing_replies;
mod report;
mod together;

use std::panic::AssertUnwindSafe;

use futures::FutureExt;

pub use harness::{Harness, Site};
pub use losing_replies::LosingReplies;
pub use report::{Report, Verdict};

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
    let ground = Ground::fresh(harness).await?;
    (case.run)(&ground).await
}
