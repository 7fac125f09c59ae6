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

use std::ops::Range;

use pflow_store::backend::{
    Batch, BoxStream, Capabilities, Commit, Excerpt, Key, Listed, Meta, Object, Operation, Prefix, Result,
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

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Excerpt>> {
        self.below().get_range(key, range).await
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

            async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Excerpt>> {
                Layer::get_range(self, key, range).await
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pflow_backend_memory::MemoryBackend;
    use pflow_store::backend::{Conflict, ManualEnvironment};

    use super::*;

    fn memory() -> MemoryBackend {
        MemoryBackend::new(Arc::new(ManualEnvironment::new(1)))
    }

    async fn put(backend: &dyn StorageBackend, bytes: &'static str) -> Result<Commit> {
        let put = Operation::put(Key::parse("a").unwrap(), bytes).immutable();
        backend.commit(Batch::new().stage([put])).await
    }

    async fn range(backend: &dyn StorageBackend, range: Range<u64>) -> Excerpt {
        backend.get_range(&Key::parse("a").unwrap(), range).await.unwrap().unwrap()
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
    }

    #[test]
    fn layers_pass_immutable_puts_and_ranges_on() {
        run(async {
            let inner = || Arc::new(memory()) as Arc<dyn StorageBackend>;
            let layers: Vec<Box<dyn StorageBackend>> = vec![
                Box::new(Careless::new(inner(), Carelessness::ReadsWhatWas, 1_000)),
                Box::new(Mortal::new(inner())),
                Box::new(Probe::new(inner())),
                Box::new(Remote(inner())),
                Box::new(Server::new(inner(), "place")),
                Box::new(Staged(memory())),
            ];
            for layer in layers {
                for _ in 0..2 {
                    let answer = put(&layer, "01234").await;
                    assert!(matches!(answer, Ok(Commit::Committed(_))), "{layer:?}: {answer:?}");
                }
                let answer = put(&layer, "other").await;
                let Ok(Commit::Conflict(Conflict { .. })) = answer else { panic!("{layer:?}: {answer:?}") };
                let found = range(&layer, 1..3).await;
                assert_eq!((&found.bytes[..], found.size), (&b"12"[..], 5), "{layer:?}");
            }
        });
    }

    #[test]
    fn probe_counts_ranges_and_their_bytes() {
        run(async {
            let probe = Probe::new(Arc::new(memory()));
            drop(put(&probe, "01234").await.unwrap());
            probe.take();
            range(&probe, 1..3).await;
            range(&probe, 4..9).await;
            let log = probe.take();
            assert_eq!((log.ranges.len(), log.range_bytes, log.calls()), (2, 3, (2, 0, 0)));
            assert_eq!(probe.take(), Log::default());
        });
    }
}
