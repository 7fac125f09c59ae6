use futures::{FutureExt, StreamExt, stream};

use super::*;
use crate::{Conflict, DateTime, Durability, Error, ErrorKind, Position, Version, Versions};

/// Answers every method like no default and like no other.
#[derive(Debug)]
struct Full;

/// Leaves out everything that may be left out.
#[derive(Debug)]
struct Thin<B>(B);

/// Leaves out everything and wraps nothing.
#[derive(Debug)]
struct Bare;

fn key() -> Key {
    Key::parse("a").unwrap()
}

fn object() -> Object {
    Object::new(Meta::new(key(), 3, Version::new("7"), DateTime::UNIX_EPOCH), "abc")
}

fn conflict(stage: usize) -> Commit {
    Commit::Conflict(Conflict::new(Position { stage, operation: 0 }, None, 0))
}

#[async_trait]
impl StorageBackend for Full {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        Some(&Bare)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::Service, 7)
    }

    async fn get(&self, _: &Key) -> Result<Option<Object>> {
        Ok(Some(object()))
    }

    async fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        Ok(Some(Meta::new(key.clone(), 4, Version::new("stat"), DateTime::UNIX_EPOCH)))
    }

    async fn get_range(&self, _: &Key, range: Range<u64>) -> Result<Option<Excerpt>> {
        Ok(Some(Excerpt::new(format!("{range:?}"), 9, None)))
    }

    fn list(&self, _: &Prefix, _: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        stream::iter([Ok(Listed::new(key(), 3, DateTime::UNIX_EPOCH))]).boxed()
    }

    fn passed_over(&self) -> Vec<String> {
        vec!["foreign".to_owned()]
    }

    async fn commit(&self, _: Batch) -> Result<Commit> {
        Ok(conflict(1))
    }

    async fn attempt(&self, _: Operation) -> Result<Commit> {
        Ok(conflict(2))
    }

    async fn close(&self) -> Result<()> {
        Err(Error::not_applied(ErrorKind::Busy, "It is busy"))
    }

    fn name(&self) -> Option<String> {
        Some("name".to_owned())
    }

    fn endpoint(&self) -> Option<String> {
        Some("endpoint".to_owned())
    }

    fn location_id(&self) -> Option<String> {
        Some("location".to_owned())
    }

    async fn instance(&self) -> Result<Option<String>> {
        Ok(Some("instance".to_owned()))
    }

    async fn waiting(&self) -> Result<Vec<Waiting>> {
        Ok(vec![Waiting::new(key(), "path".to_owned(), "reason".to_owned(), None)])
    }

    async fn examine(&self, ground: &Prefix) -> Result<Vec<Check>> {
        let verdict = crate::probe::Verdict::Kept(ground.to_string());
        Ok(vec![Check::new("check", "It looks below", false, verdict)])
    }
}

#[async_trait]
impl<B: StorageBackend> StorageBackend for Thin<B> {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        Some(&self.0)
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        self.0.get(key).await
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        self.0.list(prefix, after)
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        self.0.commit(batch).await
    }
}

#[async_trait]
impl StorageBackend for Bare {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        None
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::Process, 1)
    }

    async fn get(&self, _: &Key) -> Result<Option<Object>> {
        Ok(None)
    }

    fn list(&self, _: &Prefix, _: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        stream::empty().boxed()
    }

    async fn commit(&self, _: Batch) -> Result<Commit> {
        Ok(Commit::Committed(Versions::default()))
    }
}

/// Returns what each method answers, in the order of the trait.
async fn answers(backend: &dyn StorageBackend) -> Vec<String> {
    let put = Operation::put(key(), "1");
    let listed: Vec<_> = backend.list(&Prefix::root(), None).collect().await;
    vec![
        format!("{:?}", backend.inner().map(StorageBackend::capabilities)),
        format!("{:?}", backend.capabilities()),
        format!("{:?}", backend.get(&key()).await),
        format!("{:?}", backend.stat(&key()).await),
        format!("{:?}", backend.get_range(&key(), 1..3).await),
        format!("{listed:?}"),
        format!("{:?}", backend.passed_over()),
        format!("{:?}", backend.commit(Batch::new()).await),
        format!("{:?}", backend.attempt(put).await),
        format!("{:?}", backend.close().await),
        format!("{:?}", backend.name()),
        format!("{:?}", backend.endpoint()),
        format!("{:?}", backend.location_id()),
        format!("{:?}", backend.instance().await),
        format!("{:?}", backend.waiting().await),
        format!("{:?}", backend.examine(&Prefix::parse("ground").unwrap()).await),
    ]
}

#[tokio::test]
async fn pointer_forwards_every_method() {
    let expected = answers(&Full).await;
    assert_eq!(answers(&Arc::new(Full)).await, expected);
    assert_eq!(answers(&(Box::new(Full) as Box<dyn StorageBackend>)).await, expected);
    // Each answer differs from what a default says, so that a pointer that left it out would be found.
    let bare = answers(&Bare).await;
    let same: Vec<_> = expected.iter().zip(&bare).filter(|(full, bare)| full == bare).collect();
    assert!(same.is_empty(), "{same:?}");
}

#[tokio::test]
async fn wrapper_that_leaves_out_a_method_answers_as_the_inner_one() {
    let (full, thin) = (answers(&Full).await, answers(&Thin(Thin(Full))).await);
    for (at, (full, thin)) in full.iter().zip(&thin).enumerate() {
        match at {
            // It wraps what the other does not.
            0 => {}
            // Both by a `get` of its own, which it may have changed.
            3 => assert_eq!(*thin, format!("{:?}", Ok::<_, Error>(Some(object().meta)))),
            4 => assert_eq!(*thin, format!("{:?}", Ok::<_, Error>(Some(object().excerpt(1..3))))),
            _ => assert_eq!(thin, full),
        }
    }
}

#[test]
fn backend_that_leaves_everything_out_has_nothing_to_say() {
    assert_eq!(Bare.close().now_or_never().unwrap().map_err(|error| error.kind()), Ok(()));
    assert_eq!((Bare.name(), Bare.endpoint(), Bare.location_id()), (None, None, None));
    assert_eq!(Bare.passed_over(), Vec::<String>::new());
    assert_eq!(Bare.instance().now_or_never().unwrap().unwrap(), None);
    assert_eq!(Bare.waiting().now_or_never().unwrap().unwrap(), []);
    assert!(Bare.stat(&key()).now_or_never().unwrap().unwrap().is_none());
    assert!(Bare.get_range(&key(), 0..1).now_or_never().unwrap().unwrap().is_none());
}
