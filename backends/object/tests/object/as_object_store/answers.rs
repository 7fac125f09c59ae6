//! The errors that a caller of object_store receives, and what it may conclude from them.

use std::{error::Error as _, sync::Mutex};

use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion};
use pflow_backend::{Commit, Conflict, ErrorKind, Outcome, Position, Version};
use pflow_backend_object::AsObjectStore;

use super::{
    memory, over, path,
    scripted::{Meddling, Plan},
};

fn answering(commit: pflow_backend::Result<Commit>) -> AsObjectStore {
    let plan = Plan { commit: Mutex::new(Some(commit)), ..Plan::default() };
    over(Meddling::new(&memory(), plan, || Box::pin(async {})))
}

fn conflict(stage: usize, applied: usize) -> Conflict {
    Conflict::new(Position { stage, operation: 0 }, Some(Version::new("7")), applied)
}

fn modes() -> [PutMode; 3] {
    let seen = UpdateVersion { e_tag: Some("6".to_owned()), version: None };
    [PutMode::Overwrite, PutMode::Create, PutMode::Update(seen)]
}

/// The backend's own error within.
fn cause(error: &Error) -> &pflow_backend::Error {
    error.source().unwrap().downcast_ref().unwrap()
}

#[tokio::test]
async fn a_conflict_is_what_the_mode_calls_it() {
    let answer = |mode: PutMode| async {
        let store = answering(Ok(Commit::Conflict(conflict(0, 0))));
        store.put_opts(&path("a"), "1".into(), mode.into()).await.unwrap_err()
    };
    let [always, create, update] = modes();
    // No backend may say this, and if one does, it is no lost race.
    assert!(matches!(answer(always).await, Error::Generic { .. }));
    assert!(matches!(answer(create).await, Error::AlreadyExists { .. }));
    let refused = answer(update).await;
    assert!(matches!(refused, Error::Precondition { .. }), "{refused:?}");
    assert!(refused.to_string().contains('7') && refused.to_string().contains('6'), "{refused}");
}

#[tokio::test]
async fn a_refusal_that_may_be_by_oneself_is_no_refusal() {
    for mode in modes() {
        let store = answering(Ok(Commit::Overtaken(conflict(0, 0))));
        let unknown = store.put_opts(&path("a"), "1".into(), mode.into()).await.unwrap_err();
        assert!(matches!(unknown, Error::Generic { .. }), "{unknown:?}");
        assert_eq!(cause(&unknown).outcome(), Outcome::Unknown);
        assert!(!cause(&unknown).is_transient());
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_said_to_be_one_whatever_its_kind() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Denied, ErrorKind::Unsupported, ErrorKind::Missing] {
        for mode in modes() {
            let lost = pflow_backend::Error::unknown(kind, "No reply came");
            let unknown =
                answering(Err(lost)).put_opts(&path("a"), "1".into(), mode.into()).await.unwrap_err();
            assert!(matches!(unknown, Error::Generic { .. }), "{unknown:?}");
            assert_eq!(cause(&unknown).outcome(), Outcome::Unknown);
        }
    }
}

#[tokio::test]
async fn what_did_not_happen_has_the_kind_that_object_store_has_for_it() {
    for (kind, expected) in [
        (ErrorKind::Denied, "PermissionDenied"),
        (ErrorKind::Unsupported, "NotSupported"),
        (ErrorKind::Missing, "Generic"),
        (ErrorKind::Exhausted, "Generic"),
        (ErrorKind::Poisoned, "Generic"),
    ] {
        let failed = || pflow_backend::Error::not_applied(kind, "It is so");
        let write = answering(Err(failed())).put(&path("a"), "1".into()).await.unwrap_err();
        let plan = Plan { read: Mutex::new(Some(failed())), ..Plan::default() };
        let store = over(Meddling::new(&memory(), plan, || Box::pin(async {})));
        let read = store.get(&path("a")).await.unwrap_err();
        for error in [write, read] {
            assert!(format!("{error:?}").starts_with(expected), "{error:?}");
            assert_eq!((cause(&error).kind(), cause(&error).to_string()), (kind, "It is so".to_owned()));
        }
    }
}

#[tokio::test]
async fn a_half_done_rename_says_what_is_where() {
    let renamed = |commit: pflow_backend::Result<Commit>| async {
        let objects = memory();
        objects.put(&path("a"), "1".into()).await.unwrap();
        let plan = Plan { commit: Mutex::new(Some(commit)), ..Plan::default() };
        let store = over(Meddling::new(&objects, plan, || Box::pin(async {})));
        store.rename(&path("a"), &path("b")).await.unwrap_err()
    };
    let both = renamed(Ok(Commit::Conflict(conflict(1, 1)))).await;
    assert!(matches!(both, Error::Generic { .. }), "{both:?}");
    assert!(both.to_string().contains("b was written, but a was changed meanwhile and is kept"), "{both}");
    let half = Outcome::NotApplied { applied: 1 };
    let denied = pflow_backend::Error::not_applied(ErrorKind::Denied, "No deletes").with_outcome(half);
    let half_done = renamed(Err(denied)).await;
    assert!(matches!(half_done, Error::Generic { .. }), "{half_done:?}");
    assert_eq!(cause(&half_done).outcome(), half);
    for (stage, changed) in [(0, "Whether b was changed"), (1, "Whether a was changed")] {
        let unknown = renamed(Ok(Commit::Overtaken(conflict(stage, stage)))).await;
        assert!(unknown.to_string().contains(changed), "{unknown}");
        assert_eq!(cause(&unknown).outcome(), Outcome::Unknown);
    }
}

#[tokio::test]
async fn it_shows_nothing_of_its_backend() {
    let store = over(Meddling::new(&memory(), Plan::default(), || Box::pin(async {})));
    let upload = store.put_multipart(&path("a")).await.unwrap();
    for shown in [format!("{store}"), format!("{store:?}"), format!("{upload:?}")] {
        assert!(!shown.contains("secret"), "{shown}");
    }
}

#[tokio::test]
async fn a_tag_with_a_comma_is_one_tag() {
    let objects = memory();
    objects.put(&path("a"), "1".into()).await.unwrap();
    let plan = Plan { version: Some(Version::new("x, y")), ..Plan::default() };
    let store = over(Meddling::new(&objects, plan, || Box::pin(async {})));
    let a = path("a");
    let read = |options| store.get_opts(&a, options).map(|it| it.map(drop));
    let matching = |tag: &str| GetOptions::new().with_if_match(Some(tag));
    let differing = |tag: &str| GetOptions::new().with_if_none_match(Some(tag));
    read(matching("x, y")).await.unwrap();
    assert!(matches!(read(matching("x")).await, Err(Error::Precondition { .. })));
    assert!(matches!(read(differing("x, y")).await, Err(Error::NotModified { .. })));
    read(differing("x")).await.unwrap();
}

#[tokio::test]
async fn a_listing_that_breaks_off_says_so_wherever_it_is_used() {
    let objects = memory();
    for name in ["a/1", "a/2", "a/3"] {
        objects.put(&path(name), "1".into()).await.unwrap();
    }
    let plan = Plan { listed: Some(2), ..Plan::default() };
    let store = over(Meddling::new(&objects, plan, || Box::pin(async {})));
    let entries: Vec<_> = store.list(None).collect().await;
    assert_eq!(entries.iter().filter(|it| it.is_ok()).count(), 2);
    let broken = [
        entries.into_iter().last().unwrap().map(drop).unwrap_err(),
        store.list_with_offset(None, &path("a/0")).try_collect::<Vec<_>>().await.map(drop).unwrap_err(),
        store.list_with_delimiter(None).await.map(drop).unwrap_err(),
    ];
    for error in broken {
        assert_eq!(cause(&error).kind(), ErrorKind::Unavailable);
    }
}
