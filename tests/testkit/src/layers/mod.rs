//! Backends that wrap another one: all that the tests of the store need, beside
//! `pflow_backend::conformance::LosingReplies`.
//!
//! A new one is a `Layer` with the methods that it changes, and a name in `backends!` below.

mod careless;
mod mortal;
mod probe;
mod remote;
mod server;
mod staged;

use pflow_store::backend::{
    Batch, BoxStream, Capabilities, Commit, Key, Listed, Meta, Object, Operation, Prefix, Result,
    StorageBackend, async_trait, probe::Check,
};

pub use careless::{Careless, Carelessness};
pub use mortal::Mortal;
pub use probe::{Fault, Left, Log, Probe, Write};
pub use remote::Remote;
pub use server::{Mood, Server};
pub use staged::Staged;

/// A backend that changes some answers of the one below it. By default it passes everything on, but an attempt
/// is its own commit: a layer that changes commits cannot forget that it changes attempts too.
#[async_trait]
trait Layer: Send + Sync {
    fn below(&self) -> &dyn StorageBackend;

    fn capabilities(&self) -> Capabilities {
        self.below().capabilities()
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        self.below().get(key).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        self.below().stat(key).await
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        self.below().list(prefix, after)
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        self.below().commit(batch).await
    }

    async fn attempt(&self, put: Operation) -> Result<Commit> {
        self.commit(Batch::new().stage([put])).await
    }

    fn name(&self) -> Option<String> {
        self.below().name()
    }

    fn endpoint(&self) -> Option<String> {
        self.below().endpoint()
    }

    async fn examine(&self, ground: &Prefix) -> Result<Vec<Check>> {
        self.below().examine(ground).await
    }
}

/// Makes layers backends.
macro_rules! backends {
    ($($layer:ident $(<$below:ident>)?),+ $(,)?) => { $(
        #[async_trait]
        impl$(<$below: StorageBackend>)? StorageBackend for $layer$(<$below>)? {
            fn inner(&self) -> Option<&dyn StorageBackend> {
                Some(self.below())
            }

            fn capabilities(&self) -> Capabilities {
                Layer::capabilities(self)
            }

            async fn get(&self, key: &Key) -> Result<Option<Object>> {
                Layer::get(self, key).await
            }

            async fn stat(&self, key: &Key) -> Result<Option<Meta>> {
                Layer::stat(self, key).await
            }

            fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
                Layer::list(self, prefix, after)
            }

            async fn commit(&self, batch: Batch) -> Result<Commit> {
                Layer::commit(self, batch).await
            }

            async fn attempt(&self, put: Operation) -> Result<Commit> {
                Layer::attempt(self, put).await
            }

            fn name(&self) -> Option<String> {
                Layer::name(self)
            }

            fn endpoint(&self) -> Option<String> {
                Layer::endpoint(self)
            }

            async fn examine(&self, ground: &Prefix) -> Result<Vec<Check>> {
                Layer::examine(self, ground).await
            }
        }
    )+ };
}

backends!(Careless, Mortal, Probe, Remote, Server, Staged<B>);
