//! The program is killed at any system call that changes, opens or syncs a file, or any of these calls fails.
//! Afterwards the store has the old state or the new one, complete, and the next command succeeds.
//!
//! There are more such states than a test may take time for: `PFLOW_TEST_BLOWS` of them are drawn by
//! `PFLOW_TEST_SEED`, or `all` are tried.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::strace::{Blow, Harm, Scene, is_there, words};
use crate::support::{Place, Ran, document};
use pflow_store::fs::FsBackend;
use pflow_store::{
    Error, Expect, SaveRequest, Store,
    backend::{Environment, ManualEnvironment, SystemEnvironment},
};
use pflow_testkit::child::unfinished;
use pflow_testkit::{generations, id, notices, seed};

/// How many faults each test tries, unless `PFLOW_TEST_BLOWS` sets another number.
const BLOWS: usize = 40;
const ERRORS: [&str; 6] = ["EIO", "ENOSPC", "EDQUOT", "EACCES", "EMFILE", "EROFS"];

/// A command, and the content of each workflow before and after it; none if the workflow does not exist.
struct Case {
    args: &'static [&'static str],
    /// If the command succeeds, its output has lines that begin with these words.
    says: &'static [&'static str],
    changes: &'static [(&'static str, Option<&'static str>, Option<&'static str>)],
}

const CASES: [Case; 6] = [
    Case { args: &["init"], says: &["created "], changes: &[] },
    Case {
        args: &["save", "a", "new.json"],
        says: &["a: generation 2 "],
        changes: &[("a", Some("old"), Some("new"))],
    },
    Case {
        args: &["save", "b", "new.json"],
        says: &["b: generation 1 "],
        changes: &[("b", None, Some("new")), ("a", Some("old"), Some("old"))],
    },
    Case { args: &["delete", "a", "--yes"], says: &["a: "], changes: &[("a", Some("old"), None)] },
    Case {
        args: &["save-all", "a.json", "b.json"],
        says: &["a: generation 2 ", "b: generation 1 "],
        changes: &[("a", Some("old"), Some("new")), ("b", None, Some("new"))],
    },
    Case { args: &["reindex"], says: &["the index holds 1 "], changes: &[("a", Some("old"), Some("old"))] },
];

fn budget() -> usize {
    match std::env::var("PFLOW_TEST_BLOWS").as_deref() {
        Err(_) => BLOWS,
        Ok("all") => usize::MAX,
        Ok(blows) => blows.parse().unwrap(),
    }
}

/// Creates the folder and the store in which the command runs.
fn prepare(case: &Case) -> Place {
    if case.args == ["init"] {
        return Place::empty();
    }
    let place = Place::with_store();
    place.save("a", "old").succeeds();
    for name in ["new.json", "a.json", "b.json"] {
        place.file(name, document("new"));
    }
    place
}

async fn open(store: &Path) -> Result<Store, Error> {
    let backend =
        FsBackend::open(store, Arc::new(SystemEnvironment::new().unwrap())).await.map_err(Error::Storage)?;
    Store::on(Arc::new(backend)).open().await
}

async fn content(store: &Store, name: &str) -> Option<String> {
    match store.load(&id(name)).await {
        Ok(loaded) => Some(String::from_utf8(loaded.content.to_vec()).unwrap()),
        Err(Error::WorkflowMissing { .. }) => None,
        Err(error) => panic!("{name}: {error:?}"),
    }
}

/// Checks that each workflow has its old or its new content (the new one if the command reported success, see
/// `said`), and that the store can still be changed.
async fn look(place: &Place, case: &Case, said: bool) {
    let folder = place.path().join(".pflow");
    if case.args == ["init"] {
        let opened = open(&folder).await.is_ok();
        assert!(opened || !said, "it was created, and cannot be opened");
        let again = place.run(["init"]).succeeds();
        assert_eq!(again.out().contains("is there already"), opened, "{again:?}");
    }
    let store = open(&folder).await.unwrap();
    let mut listed = Vec::new();
    for (name, before, after) in case.changes {
        let found = content(&store, name).await;
        let [before, after] = [before, after].map(|text| text.map(document));
        assert!(found == after || (!said && found == before), "{name} is {found:?}");
        if found.is_some() {
            listed.push(format!("{name}@{}", store.show(&id(name)).await.unwrap().generation()));
        }
    }
    listed.sort();
    assert_eq!(generations(&store).await, listed);
    notices(&store.verify().await.unwrap());
    for name in ["a", "b"] {
        let next = SaveRequest::new(id(name), document("next"), Expect::Any);
        let saved = store.save(next).await.unwrap();
        assert!(saved.copy_error.is_none() && saved.index_error.is_none(), "{saved:?}");
        assert_eq!(content(&store, name).await, Some(document("next")));
    }
    notices(&store.verify().await.unwrap());
    store.close().await.unwrap();
    assert_eq!(unfinished(&folder), [""; 0]);
}

/// Returns whether the command reported success.
fn has_said(ran: &Ran, case: &Case) -> bool {
    let out = ran.out();
    case.says.iter().all(|words| out.lines().any(|line| line.starts_with(words)))
}

/// Checks the report of a command during which a call failed: it is true and names the place and the cause.
fn answer(place: &Place, case: &Case, ran: &Ran, errno: &str) {
    let (said, err) = (has_said(ran, case), ran.err());
    assert_eq!(ran.code() == 0, said, "{ran:?}");
    assert!(!err.contains("panicked"), "{err}");
    if !said {
        let folder = place.path().join(".pflow");
        assert!(err.contains(folder.to_str().unwrap()), "where? {err}");
        assert!(err.contains(words(errno)), "why? {err}");
    }
}

/// Tries a random selection of all faults.
fn try_blows(name: &str, harms: &[Harm]) {
    if !is_there() {
        println!("{name}: skipped, there is no strace that may trace");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let places: Vec<Place> = CASES.iter().map(prepare).collect();
    let scenes: Vec<(Scene<'_>, &Case)> =
        places.iter().zip(&CASES).map(|(place, case)| (Scene::new(place, case.args), case)).collect();
    let of = |(at, (scene, _)): (usize, &(Scene<'_>, _))| {
        scene.blows(harms).into_iter().map(move |blow| (at, blow))
    };
    let mut blows: Vec<(usize, Blow)> = scenes.iter().enumerate().flat_map(of).collect();
    let all = blows.len();
    let random = ManualEnvironment::new(seed());
    let mut drawn = Vec::new();
    while drawn.len() < budget() && !blows.is_empty() {
        drawn.push(blows.swap_remove((random.random() % blows.len() as u64) as usize));
    }
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, blow) in &drawn {
        let (scene, case) = &scenes[*at];
        // Printed first, in case a check below panics.
        println!("{name}, seed {}: {:?} meets {blow:?}", seed(), case.args);
        let Some(ran) = scene.strike(blow) else {
            *outcomes.entry("elsewhere").or_default() += 1;
            continue;
        };
        let said = has_said(&ran, case);
        let outcome = match (ran.0.status.code(), said) {
            (None, _) => "killed",
            (Some(_), true) => "done",
            (Some(_), false) => "failed",
        };
        if let Harm::Fail { errno, .. } = blow.harm {
            answer(scene.place, case, &ran, errno);
        }
        *outcomes.entry(outcome).or_default() += 1;
        runtime.block_on(look(scene.place, case, said));
    }
    println!("{name}, seed {}: {} of {all} states tried: {outcomes:?}", seed(), drawn.len());
    let meant = if harms == [Harm::Kill] { "killed" } else { "failed" };
    assert!(outcomes[meant] > drawn.len() / 5, "{outcomes:?}");
}

#[test]
fn a_kill_at_a_system_call_leaves_the_old_or_the_new_state() {
    try_blows("kills", &[Harm::Kill]);
}

#[test]
fn a_system_call_that_fails_is_told_and_leaves_the_old_state_or_the_new_one() {
    let harms: Vec<Harm> = ERRORS
        .into_iter()
        .flat_map(|errno| [false, true].map(|permanent| Harm::Fail { errno, permanent }))
        .collect();
    try_blows("failures", &harms);
}
