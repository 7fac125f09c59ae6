//! The behaviours that PocketFlow's own tests show, shown with this runner.
//!
//! They come from PocketFlow 0.0.3 (<https://github.com/The-Pocket/PocketFlow>, folder `tests`): its 54
//! tests, the 6 that are commented out there, and those that its repository added later. Each module names
//! the files whose behaviours it has. No code is taken over. Where PocketFlow tests the synchronous and the
//! asynchronous form of one behaviour there is one test here, because a node is always asynchronous. A
//! behaviour that is different on purpose is a test that shows the difference and says so; the module
//! `pflow_store::flow` lists all of them.

mod batch_flows;
mod batch_nodes;
mod failures;
mod flows;
mod retries;

/// The error of all nodes here. PocketFlow's raise what they like.
type Fault = Box<dyn std::error::Error + Send + Sync>;
