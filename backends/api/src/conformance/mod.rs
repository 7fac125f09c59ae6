//! The cases that every backend must pass.
//!
//! The suite checks the promises of [`StorageBackend`](crate::StorageBackend) as far as they can be seen from
//! outside. It chooses by the backend's [`Capabilities`](crate::Capabilities): what a backend does not
//! promise is skipped with the reason or held to the weaker promise. What a crash leaves is not seen from
//! outside; a backend tests that for itself.
//!
//! Whoever writes a backend implements [`Harness`] and [`Site`], runs [`run`] in a test and asserts the
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
//! In a tokio runtime, better one of many threads: there the racing tasks run in parallel. Without a tokio
//! runtime they take turns wherever they wait. The suite looks at no clock and never sleeps, so a backend
//! that hangs makes it hang.

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
/// Dropping the future stops where it is; the sites that it holds are dropped with it.
pub async fn run(harness: &dyn Harness) -> Report {
    let mut report = Report::default();
    for case in CASES {
        // A panic is the backend's failure in this case and says nothing about the next one, which begins
        // anew.
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
