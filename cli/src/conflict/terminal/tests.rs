//! Conversations with a person who knows in advance what to say.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use pflow_store::{
    Error, Expect, LeaseRequest, SaveRequest, Saved, Store,
    backend::{Batch, Key, ManualEnvironment, Operation, StorageBackend},
    conflict::How,
};

use pflow_store::conflict::ExpectedVersion;

use super::*;

/// A person who knows in advance what to say, and whatever was said to them.
#[derive(Debug)]
struct Person {
    answers: Mutex<VecDeque<&'static str>>,
    heard: Mutex<String>,
}

#[async_trait]
impl Talk for Arc<Person> {
    fn say(&self, text: &str) {
        let mut heard = self.heard.lock().unwrap();
        heard.push_str(text);
        heard.push('\n');
    }

    fn strong(&self, word: &str) -> String {
        word.to_owned()
    }

    async fn ask(&self, question: &str) -> io::Result<Option<String>> {
        let answer = self.answers.lock().unwrap().pop_front();
        self.say(&format!("{question}{}", answer.unwrap_or("^D")));
        match answer {
            Some("broken") => Err(io::Error::other("the line is dead")),
            answer => Ok(answer.map(str::to_owned)),
        }
    }
}

fn id(name: &str) -> WorkflowId {
    WorkflowId::parse(name).unwrap()
}

fn plan(a: &str, b: &str) -> String {
    let node = |id, text| format!(r#"{{ "id": "{id}", "type": "echo", "params": {{ "text": "{text}" }} }}"#);
    format!("{{ \"nodes\": [ {}, {} ] }}", node("a", a), node("b", b))
}

struct Scene {
    store: Store,
    backend: Arc<dyn StorageBackend>,
}

impl Scene {
    /// Generation 1 of `a` is `1,1`, and generation 2 is `1,2`.
    async fn new() -> Self {
        let environment = Arc::new(ManualEnvironment::new(1));
        let memory = pflow_backend_memory::MemoryBackend::new(environment.clone()).with_plain_files(true);
        let backend: Arc<dyn StorageBackend> = Arc::new(memory);
        let store = Store::on(backend.clone()).environment(environment).init().await.unwrap();
        for (b, expect) in [("1", Expect::Absent), ("2", Expect::Generation(1))] {
            store.save(SaveRequest::new(id("a"), plan("1", b), expect)).await.unwrap();
        }
        Self { store, backend }
    }

    /// Saves on top of generation 1, or of what is expected, and answers what is asked.
    async fn save(
        &self,
        request: SaveRequest,
        answers: &[&'static str],
    ) -> (std::result::Result<Saved, Error>, String) {
        let person = Arc::new(Person {
            answers: Mutex::new(answers.iter().copied().collect()),
            heard: Mutex::default(),
        });
        let saved = self.store.save(request.resolver(Arc::new(Terminal::new(Arc::clone(&person))))).await;
        assert_eq!(person.answers.lock().unwrap().len(), 0, "everything was asked for: {person:?}");
        let heard = person.heard.lock().unwrap().clone();
        (saved, heard)
    }

    async fn edit(&self, text: &str) {
        let key = Key::parse("workflows/a/workflow.json").unwrap();
        let put = Operation::put(key, text.to_owned());
        let _committed = self.backend.commit(Batch::new().stage([put])).await.unwrap();
    }
}

fn ours(expect: Expect) -> SaveRequest {
    SaveRequest::new(id("a"), plan("2", "1"), expect)
}

const STALE: Expect = Expect::Generation(1);

#[track_caller]
fn how(saved: std::result::Result<Saved, Error>) -> (u64, How) {
    let saved = saved.unwrap();
    (saved.generation, saved.resolved.unwrap().how.unwrap())
}

#[tokio::test]
async fn a_letter_or_its_word_decides() {
    for (answer, wanted) in [
        ("o", (3, How::Ours)),
        (" Ours ", (3, How::Ours)),
        ("t", (2, How::Theirs)),
        ("m", (3, How::Merged)),
        ("merge", (3, How::Merged)),
        ("keep ours", (3, How::Ours)),
        ("take theirs", (2, How::Theirs)),
    ] {
        let scene = Scene::new().await;
        let (saved, heard) = scene.save(ours(STALE), &[answer]).await;
        assert_eq!(how(saved), wanted, "{answer}");
        assert!(
            heard.starts_with("conflict: a is at generation 2, expected 1 (saved by tester@host-1 at "),
            "{heard}"
        );
        let question =
            "\nWhat now? [m]erge, keep [o]urs, take [t]heirs, keep [b]oth, show [d]ifference, [c]ancel: ";
        assert!(heard.contains(question), "{heard}");
    }
}

#[tokio::test]
async fn what_is_not_understood_is_explained_and_asked_again() {
    let (saved, heard) = Scene::new().await.save(ours(STALE), &["", "yes please", "?", "c"]).await;
    let Err(Error::Conflict(conflict)) = saved else { panic!("{saved:?}") };
    assert!(
        matches!(*conflict, Conflict::Version { expected: ExpectedVersion::Generation(1), .. }),
        "as without a question"
    );
    assert_eq!(heard.matches("What now?").count(), 4);
    assert_eq!(
        heard.matches("  keep [o]urs         save yours on top; theirs stays in the history\n").count(),
        3
    );
}

#[tokio::test]
async fn the_end_of_the_input_and_a_dead_line_change_nothing() {
    for answers in [&[][..], &["b"], &["broken"]] {
        let scene = Scene::new().await;
        let (saved, _) = scene.save(ours(STALE), answers).await;
        assert!(matches!(saved, Err(Error::Conflict(_))), "{saved:?}");
        assert_eq!(scene.store.show(&id("a")).await.unwrap().generation(), 2);
    }
}

#[tokio::test]
async fn the_difference_is_shown_on_request() {
    let (_, heard) = Scene::new().await.save(ours(STALE), &["d", "c"]).await;
    let theirs = "they changed since then:\n  ~ nodes[id=b].params.text: \"1\" -> \"2\"\n";
    let yours = "yours would change what is there now:\n  ~ nodes[id=a].params.text: \"1\" -> \"2\"\n";
    assert!(heard.contains(theirs) && heard.contains(yours), "{heard}");
    let (_, heard) = Scene::new().await.save(ours(STALE), &["c"]).await;
    assert!(!heard.contains("nodes["), "{heard}");
}

#[tokio::test]
async fn what_overlaps_is_listed_and_another_answer_asked_for() {
    let scene = Scene::new().await;
    let both = SaveRequest::new(id("a"), plan("1", "3"), STALE);
    let (saved, heard) = scene.save(both, &["m", "m", "b", "Not An Id", "mine"]).await;
    let saved = saved.unwrap();
    assert_eq!((saved.id, saved.generation), (id("mine"), 1));
    let listed =
        "both sides changed 1 place:\n  nodes[id=b].params.text: ours \"3\", theirs \"2\", before \"1\"\n";
    assert!(heard.contains(listed), "{heard}");
    assert!(
        heard.contains("What now? keep [o]urs, take [t]heirs, keep [b]oth, show [d]ifference, [c]ancel: m\n"),
        "a merge is not offered again: {heard}"
    );
    assert!(heard.contains("\"Not An Id\" is no workflow id"), "{heard}");
    assert_eq!(scene.store.show(&id("a")).await.unwrap().generation(), 2);
}

#[tokio::test]
async fn ours_is_kept_under_the_next_free_number() {
    let scene = Scene::new().await;
    for (text, wanted) in [("x", "a-conflict-1"), ("y", "a-conflict-2"), ("x", "a-conflict-1")] {
        let request = SaveRequest::new(id("a"), plan(text, "1"), STALE);
        let saved = scene.save(request, &["both", ""]).await.0.unwrap();
        assert_eq!(saved.id, id(wanted), "{text}");
        assert_eq!(saved.resolved.unwrap().how, Some(How::KeptBoth { instead_of: id("a") }));
    }
}

#[tokio::test]
async fn a_lock_is_taken_away_only_after_a_second_question() {
    let scene = Scene::new().await;
    let request = LeaseRequest::new("a long\nedit", Duration::from_secs(600));
    scene.store.acquire(&id("a"), request).await.unwrap();
    let (saved, heard) = scene.save(ours(Expect::Any), &["k", "no", "w", "break", "y"]).await;
    assert_eq!(how(saved), (3, How::Overridden));
    assert!(
        heard.contains("[w]ait, brea[k] the lock, keep [b]oth, [c]ancel: k\n")
            && heard.contains("waiting; Ctrl-C gives up"),
        "{heard}"
    );
    let question = "a long\u{fffd}edit, since 2024-01-15T10:30:00Z, holds it for another ";
    assert_eq!(heard.matches(question).count(), 2, "{heard}");
    assert!(heard.contains("Take it away? [y/N] no"), "{heard}");
    assert!(scene.store.lock_state(&id("a")).await.unwrap().lease.is_none());
}

#[tokio::test]
async fn an_edit_that_cannot_be_kept_leaves_little_to_choose() {
    let scene = Scene::new().await;
    scene.edit("{ broken\u{1b}[2J").await;
    let (saved, heard) = scene.save(ours(Expect::Generation(2)), &["o", "b", ""]).await;
    assert_eq!(saved.unwrap().id, id("a-conflict-1"));
    assert!(
        heard.contains("cannot be kept: line 1")
            && heard.contains("What now? keep [b]oth, show [d]ifference, [c]ancel: "),
        "{heard}"
    );
    assert!(!heard.contains('\u{1b}'), "{heard}");
    scene.edit(&plan("5", "5")).await;
    let (saved, heard) = scene.save(ours(Expect::Generation(2)), &["o"]).await;
    assert_eq!(saved.unwrap().resolved.unwrap().kept_edit, Some(3));
    assert!(heard.contains("workflows/a/workflow.json was modified outside of the store"), "{heard}");
}
