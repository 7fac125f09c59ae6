//! The results of writes, whatever their requests were answered.

use std::time::Duration;

use futures::FutureExt;
use pflow_backend::{Conflict, Environment, ErrorKind, Outcome, Position};

use super::*;

fn first_version(committed: &Commit) -> Option<&Version> {
    match committed {
        Commit::Committed(versions) => versions.get(Position { stage: 0, operation: 0 }),
        _ => None,
    }
}

fn is_committed(answer: &Result<Commit>) -> bool {
    matches!(answer, Ok(Commit::Committed(_)))
}

/// Everything that may happen to the answer of an applied request.
const LOST: [Plan; 9] = [
    Plan::DoneAndAnswered(412),
    Plan::DoneAndAnswered(409),
    Plan::DoneAndAnswered(404),
    Plan::DoneAndAnswered(500),
    Plan::DoneAndAnswered(502),
    Plan::DoneAndAnswered(503),
    Plan::DoneAndAnswered(429),
    Plan::DoneWithoutAnswer,
    Plan::DoneTwice,
];

/// Everything that may happen to a request that is not applied.
const FAILED: [Plan; 6] = [
    Plan::Answered(409),
    Plan::Answered(412),
    Plan::Answered(404),
    Plan::Answered(500),
    Plan::Answered(503),
    Plan::NoAnswer,
];

#[tokio::test]
async fn applied_write_is_committed_whatever_was_answered() {
    for lost in LOST {
        let server = Server::new();
        let backend = backend(&server);
        server.plan("PUT", [lost]);
        let created = commit(&backend, put("a", "one").absent()).await.unwrap();
        let version = backend.stat(&key("a")).await.unwrap().unwrap().version;
        assert_eq!(first_version(&created), Some(&version), "{lost:?}: {created:?}");
        server.plan("PUT", [lost]);
        let swapped = commit(&backend, put("a", "two").is(version)).await;
        assert!(is_committed(&swapped), "{lost:?}: {swapped:?}");
        assert_eq!(server.holds("p/a").as_deref(), Some("two"));
    }
}

#[tokio::test]
async fn write_that_was_not_applied_is_sent_again() {
    for failed in FAILED {
        let server = Server::new();
        let backend = backend(&server);
        server.plan("PUT", [failed]);
        let created = commit(&backend, put("a", "one").absent()).await;
        assert!(is_committed(&created), "{failed:?}: {created:?}");
        let version = given(&backend, &server, "a", "two").await;
        server.plan("PUT", [failed]);
        let swapped = commit(&backend, put("a", "three").is(version)).await;
        assert!(is_committed(&swapped), "{failed:?}: {swapped:?}");
        assert_eq!(server.holds("p/a").as_deref(), Some("three"));
    }
}

/// A failing server must not get twice as many requests.
#[tokio::test]
async fn transient_fault_repeats_the_write_before_any_read() {
    for failed in [Plan::Answered(500), Plan::Answered(503), Plan::Answered(429)] {
        let server = Server::new();
        let backend = backend(&server);
        server.plan("PUT", [failed]);
        assert!(is_committed(&commit(&backend, put("a", "one").absent()).await));
        assert_eq!(server.requests(), ["PUT p/a", "PUT p/a"], "{failed:?}");
        server.plan("PUT", [failed, failed]);
        assert!(is_committed(&commit(&backend, put("b", "one").absent()).await));
        let asked = ["PUT p/b", "PUT p/b", "GET p/b", "PUT p/b"];
        assert_eq!(server.requests(), asked, "{failed:?}: a server may answer 500 to a lost race for ever");
    }
}

#[tokio::test]
async fn replaced_own_write_is_overtaken_and_never_a_conflict() {
    for status in [412, 409, 404, 500, 503] {
        let server = Server::new();
        let backend = backend(&server);
        let version = given(&backend, &server, "a", "one").await;
        server.plan("PUT", [Plan::DoneAndReplaced("theirs", status)]);
        let answer = commit(&backend, put("a", "mine").is(version)).await.unwrap();
        let current = backend.stat(&key("a")).await.unwrap().map(|meta| meta.version);
        let at = Position { stage: 0, operation: 0 };
        assert_eq!(answer, Commit::Overtaken(Conflict::new(at, current, 0)), "{status}");
    }
}

#[tokio::test]
async fn other_bytes_are_a_conflict_only_for_write_once_objects() {
    let server = Server::new();
    let backend = backend(&server);
    server.store("p/a", "theirs");
    let fresh = commit(&backend, put("a", "mine").absent().fresh()).await.unwrap();
    assert!(matches!(fresh, Commit::Conflict(_)), "{fresh:?}");
    let swap = commit(&backend, put("a", "mine").absent()).await.unwrap();
    assert!(matches!(swap, Commit::Overtaken(_)), "{swap:?}");
    let gone = commit(&backend, put("b", "mine").is(Version::new("9"))).await.unwrap();
    let Commit::Overtaken(Conflict { current: None, .. }) = gone else { panic!("{gone:?}") };
}

#[tokio::test]
async fn equal_bytes_count_as_the_own_write() {
    let server = Server::new();
    let backend = backend(&server);
    server.store("p/a", "mine");
    let answer = commit(&backend, put("a", "mine").absent()).await.unwrap();
    assert_eq!(first_version(&answer), Some(&Version::new("1")));
}

#[tokio::test]
async fn equal_bytes_of_an_immutable_object_are_committed() {
    for answered in FAILED.into_iter().chain([Plan::Plainly]) {
        let server = Server::new();
        let backend = backend(&server);
        server.store("p/a", "the chunk");
        server.plan("PUT", [answered]);
        let answer = commit(&backend, put("a", "the chunk").immutable()).await.unwrap();
        assert_eq!(first_version(&answer), Some(&Version::new("1")), "{answered:?}: {answer:?}");
        assert_eq!(server.holds("p/a").as_deref(), Some("the chunk"));
    }
}

#[tokio::test]
async fn own_repeated_immutable_put_is_committed() {
    for lost in LOST {
        let server = Server::new();
        let backend = backend(&server);
        server.plan("PUT", [lost]);
        let answer = commit(&backend, put("a", "the chunk").immutable()).await.unwrap();
        assert_eq!(first_version(&answer), Some(&Version::new("1")), "{lost:?}: {answer:?}");
    }
}

#[tokio::test]
async fn other_bytes_of_an_immutable_object_are_never_overtaken() {
    let at = Position { stage: 0, operation: 0 };
    let conflict = |version: &str| Commit::Conflict(Conflict::new(at, Some(Version::new(version)), 0));
    for answered in FAILED.into_iter().chain([Plan::Plainly]) {
        let server = Server::new();
        let backend = backend(&server);
        server.store("p/a", "damaged");
        server.plan("PUT", [answered]);
        let answer = commit(&backend, put("a", "the chunk").immutable()).await.unwrap();
        assert_eq!(answer, conflict("1"), "{answered:?}");
    }
    // Also if the own put was applied and another client breaks the rule.
    for status in [412, 409, 500] {
        let server = Server::new();
        let backend = backend(&server);
        server.plan("PUT", [Plan::DoneAndReplaced("theirs", status)]);
        let answer = commit(&backend, put("a", "the chunk").immutable()).await.unwrap();
        assert_eq!(answer, conflict("2"), "{status}");
    }
}

#[tokio::test]
async fn immutable_put_without_a_version_in_its_answer_is_read_back() {
    let server = Server::new();
    let backend = backend(&server);
    server.plan("PUT", [Plan::DoneNameless]);
    let answer = commit(&backend, put("a", "the chunk").immutable()).await.unwrap();
    assert_eq!(first_version(&answer), Some(&Version::new("1")));
    assert_eq!(server.requests(), ["PUT p/a", "GET p/a"]);
    // If it was removed since, it is put again, and is no conflict with nothing.
    server.plan("PUT", [Plan::DoneNamelessAndRemoved]);
    let answer = commit(&backend, put("b", "the chunk").immutable()).await.unwrap();
    assert_eq!(first_version(&answer), Some(&Version::new("3")));
    assert_eq!(server.requests(), ["PUT p/b", "GET p/b", "PUT p/b"]);
}

#[tokio::test]
async fn batch_goes_on_after_an_immutable_object_that_is_there() {
    let server = Server::new();
    let backend = backend(&server);
    server.store("p/chunk", "the chunk");
    let batch = Batch::new()
        .stage([put("chunk", "the chunk").immutable(), put("record", "1").absent().fresh()])
        .stage([put("head", "1").absent()]);
    let versions = versions(backend.commit(batch.clone()).await);
    assert_eq!(versions.get(Position { stage: 0, operation: 0 }), Some(&Version::new("1")));
    assert_eq!(server.holds("p/head").as_deref(), Some("1"));
    server.store("p/chunk", "damaged");
    let answer = backend.commit(batch).await.unwrap();
    let Commit::Conflict(Conflict { at, applied: 0, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(at, Position { stage: 0, operation: 0 });
}

#[tokio::test]
async fn immutable_put_in_doubt_is_unknown_and_never_a_conflict() {
    let server = Server::new();
    let backend = backend(&server);
    server.plan("PUT", [Plan::DoneAndAnswered(412)]);
    server.plan("GET", [Plan::Answered(403)]);
    let error = commit(&backend, put("a", "the chunk").immutable()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Denied, Outcome::Unknown), "{error}");
}

#[tokio::test]
async fn refusal_of_caller_or_bucket_is_certainly_not_applied() {
    for (status, kind) in [
        (400, ErrorKind::Io),
        (401, ErrorKind::Denied),
        (403, ErrorKind::Denied),
        (405, ErrorKind::Unavailable),
        (507, ErrorKind::Exhausted),
    ] {
        let server = Server::new();
        let backend = backend(&server);
        server.plan("PUT", [Plan::Answered(status)]);
        let error = commit(&backend, put("a", "one").absent()).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (kind, Outcome::NotApplied { applied: 0 }), "{error}");
        assert_eq!(server.requests(), ["PUT p/a"], "{status}");
    }
}

#[tokio::test]
async fn refusal_after_a_request_in_doubt_proves_nothing() {
    for doubtful in [Plan::NoAnswer, Plan::Answered(500), Plan::Answered(412)] {
        let server = Server::new();
        let backend = backend(&server);
        server.plan("PUT", [doubtful, Plan::Answered(403)]);
        let error = commit(&backend, put("a", "one").absent()).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Denied, Outcome::Unknown), "{doubtful:?}");
    }
}

#[tokio::test]
async fn write_in_doubt_renews_credentials_once() {
    for (method, asked) in [("PUT", 2), ("GET", 2)] {
        let server = Server::new();
        let backend = backend(&server);
        server.plan("PUT", [Plan::DoneAndAnswered(412)]);
        if method == "PUT" {
            // The stored state does not settle it, so that the same write is sent again.
            server.forget_plans();
            server.plan("PUT", [Plan::Answered(412)]);
        }
        server.plan(method, [Plan::Stale; 20]);
        let error = commit(&backend, put("a", "one").absent()).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Denied, Outcome::Unknown), "{error}");
        let requests = server.requests();
        let refused = requests.iter().filter(|it| it.starts_with(method)).count();
        let before = usize::from(method == "PUT");
        assert_eq!(refused - before, asked, "{requests:?}");
    }
}

#[tokio::test]
async fn write_not_settled_by_the_deadline_is_unknown() {
    let server = Server::new();
    let environment = Arc::new(ManualEnvironment::new(7));
    let backend = backend_in(&server, environment.clone());
    server.plan("PUT", [Plan::DoneAndAnswered(500)]);
    server.plan("GET", [Plan::Answered(503); 500]);
    let error = commit(&backend, put("a", "one").absent()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown), "{error}");
    assert!(environment.monotonic() <= Duration::from_secs(60));
    let read_only = Server::new();
    let backend = super::backend(&read_only);
    // The write is sent again before anything is read.
    read_only.plan("PUT", [Plan::Answered(500); 2]);
    read_only.plan("GET", [Plan::Answered(403)]);
    let error = commit(&backend, put("a", "one").absent()).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
}

#[tokio::test]
async fn server_that_never_applies_gives_unknown_by_the_deadline() {
    for plan in [Plan::NoAnswer, Plan::Answered(409), Plan::Answered(412), Plan::Answered(500)] {
        let server = Server::new();
        let environment = Arc::new(ManualEnvironment::new(7));
        let backend = backend_in(&server, environment.clone());
        let version = given(&backend, &server, "a", "one").await;
        server.plan("PUT", [plan; 500]);
        let error = commit(&backend, put("a", "two").is(version)).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{plan:?}: {error}");
        assert!(environment.monotonic() <= Duration::from_secs(61), "{plan:?}");
    }
}

#[tokio::test]
async fn repeated_refusals_of_a_valid_condition_end_the_write() {
    let server = Server::new();
    let backend = backend(&server);
    let version = given(&backend, &server, "a", "one").await;
    for (name, write) in [("a", put("a", "two").is(version)), ("b", put("b", "one").absent())] {
        server.plan("PUT", [Plan::Answered(412); 500]);
        let error = commit(&backend, write).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unsafe, Outcome::Unknown), "{error}");
        assert!(error.to_string().contains("answered 412 8 times while the condition held (to"), "{error}");
        assert!(server.requests().len() <= 17, "{name}");
        server.forget_plans();
    }
}

#[tokio::test]
async fn weak_etags_are_named_as_the_cause_of_refusals() {
    let server = Server::weak();
    let backend = backend(&server);
    let version = given(&backend, &server, "a", "one").await;
    let error = commit(&backend, put("a", "two").is(version)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsafe, "{error}");
    assert!(error.to_string().contains("its ETags are weak (W/)"), "{error}");
    assert_eq!(server.requests().len(), 16);
}

#[tokio::test]
async fn server_without_conditional_writes_is_unsafe() {
    let server = Server::new();
    let backend = backend(&server);
    server.plan("PUT", [Plan::Answered(501)]);
    let error = commit(&backend, put("a", "one").absent()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (ErrorKind::Unsafe, Outcome::NotApplied { applied: 0 }),
        "{error}"
    );
    assert!(error.to_string().contains("knows no conditional writes: it answers 501"), "{error}");
}

#[tokio::test]
async fn dropped_write_may_be_repeated_by_its_caller() {
    let server = Server::new();
    let backend = backend(&server);
    let version = given(&backend, &server, "a", "one").await;
    for plan in [Plan::DoneWithoutAnswer, Plan::NoAnswer] {
        server.plan("PUT", [plan]);
        // Dropped while it waits for the answer.
        assert!(commit(&backend, put("a", "two").is(version.clone())).now_or_never().is_none());
    }
    let again = commit(&backend, put("a", "two").is(version)).await;
    assert!(is_committed(&again), "{again:?}");
    assert_eq!(server.holds("p/a").as_deref(), Some("two"));
}

#[tokio::test]
async fn if_match_form_is_learned_and_remembered() {
    for (wants, requests) in [(IfMatch::Quoted, 1), (IfMatch::Bare, 3)] {
        let server = Server::wanting(wants);
        let backend = backend(&server);
        let version = given(&backend, &server, "a", "one").await;
        let swapped = commit(&backend, put("a", "two").is(version)).await.unwrap();
        assert_eq!(server.requests().len(), requests, "{wants:?}");
        let version = first_version(&swapped).unwrap().clone();
        let again = commit(&backend, put("a", "three").is(version)).await;
        assert!(is_committed(&again), "{wants:?}: {again:?}");
        assert_eq!(server.requests(), ["PUT p/a"], "{wants:?}");
    }
}

#[tokio::test]
async fn version_missing_in_the_answer_is_read_back() {
    let server = Server::new();
    let backend = backend(&server);
    server.plan("PUT", [Plan::DoneNameless]);
    let created = commit(&backend, put("a", "one").absent()).await.unwrap();
    assert_eq!(first_version(&created), Some(&Version::new("1")));
    assert_eq!(server.requests(), ["PUT p/a", "GET p/a"], "only our own bytes name our version");
}

#[tokio::test]
async fn server_without_versions_is_unsafe() {
    let server = Server::nameless();
    let backend = backend(&server);
    let error = commit(&backend, put("a", "one").absent()).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unsafe, Outcome::Unknown), "{error}");
    let error = backend.get(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsafe, "{error}");
}

#[tokio::test]
async fn unconditional_writes_are_repeated_until_they_succeed() {
    let server = Server::new();
    let backend = backend(&server);
    for plan in [Plan::Answered(500), Plan::DoneAndAnswered(503), Plan::Answered(429), Plan::Answered(409)] {
        server.plan("PUT", [plan]);
        assert!(is_committed(&commit(&backend, put("a", "one")).await), "{plan:?}");
        assert_eq!(server.holds("p/a").as_deref(), Some("one"));
        server.plan("DELETE", [plan]);
        assert!(is_committed(&commit(&backend, Operation::delete(key("a"))).await), "{plan:?}");
        assert_eq!(server.holds("p/a"), None);
    }
    assert!(is_committed(&commit(&backend, Operation::delete(key("never"))).await));
}

#[tokio::test]
async fn stage_returns_the_worst_of_its_results() {
    let server = Server::new();
    let backend = backend(&server);
    server.store("p/taken", "theirs");
    let stage = |operations: Vec<Operation>| Batch::new().stage([put("first", "1")]).stage(operations);
    let puts = |names: [&str; 2]| names.map(|name| put(name, "mine").absent()).to_vec();

    let conflict = backend.commit(stage(puts(["a", "taken"]))).await.unwrap();
    let Commit::Overtaken(Conflict { at, applied: 1, .. }) = conflict else { panic!("{conflict:?}") };
    assert_eq!(at, Position { stage: 1, operation: 1 });
    assert_eq!(server.holds("p/a").as_deref(), Some("mine"), "the others are not given up");

    server.plan("PUT", [Plan::Plainly, Plan::Answered(403)]);
    let error = backend.commit(stage(puts(["b", "c"]))).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied { applied: 1 }, "{error}");

    server.plan("PUT", [Plan::Plainly, Plan::Answered(500)]);
    server.plan("GET", [Plan::Answered(403)]);
    let error = backend.commit(stage(puts(["d", "taken"]))).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
}
