//! Ctrl-C and SIGTERM, once and twice.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Output},
};

use crate::support::{Place, Ran, document};

/// Makes a named pipe. Opening it for writing returns once the program has opened it for reading. By then the
/// program handles signals.
fn pipe(place: &Place, name: &str) -> PathBuf {
    let path = place.path().join(name);
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

fn send(signal: &str, child: &Child) {
    let kill = format!("kill -{signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

/// Holds the lock of the disk, as a busy writer in another process would.
fn hold(place: &Place) -> File {
    let file = File::open(place.path().join(".pflow/.journal/lock")).unwrap();
    file.lock().unwrap();
    file
}

/// Returns once a program waits for the disk's lock: it holds the place of the next holder then.
fn wait_until_a_process_waits(place: &Place) {
    let path = place.path().join(".pflow/.journal/waiting");
    while !File::open(&path).is_ok_and(|file| file.try_lock().is_err()) {
        std::thread::yield_now();
    }
}

/// A program whose stderr is read line by line.
struct Talking {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    said: String,
}

impl Talking {
    fn start(place: &Place, args: &[&str]) -> Self {
        let mut child = place.command(args).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr, said: String::new() }
    }

    /// Waits until it prints these words.
    fn says(&mut self, words: &str) -> &mut Self {
        loop {
            let from = self.said.len();
            assert!(self.stderr.read_line(&mut self.said).unwrap() > 0, "{words:?} is not in: {}", self.said);
            if self.said.get(from..).unwrap().contains(words) {
                return self;
            }
        }
    }

    fn end(mut self) -> Ran {
        self.stderr.read_to_string(&mut self.said).unwrap();
        let Output { status, stdout, .. } = self.child.wait_with_output().unwrap();
        Ran(Output { status, stdout, stderr: self.said.into_bytes() })
    }
}

const FINISHING: &str = "what is being written is finished first";

/// A place where a save of `a` waits for the disk, which another process holds, and has been sent a signal.
fn interrupted_save(signal: &str, options: &[&str]) -> (Place, File, Talking) {
    let place = Place::with_store();
    place.file("a.json", document("one"));
    let held = hold(&place);
    let mut save = Talking::start(&place, &[&["save", "a", "a.json", "-vv"], options].concat());
    // The step behind it is the commit, which waits for the lock now or in a moment.
    save.says("CheckConflicts");
    send(signal, &save.child);
    save.says(FINISHING);
    (place, held, save)
}

#[test]
fn a_wait_for_the_document_ends_at_once() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let place = Place::with_store();
        let before = place.dump();
        pipe(&place, "doc");
        let child = place.command(["save", "a", "doc", "--json"]).spawn().unwrap();
        let writer = File::create(place.path().join("doc")).unwrap();
        send(signal, &child);
        let ran = Ran(child.wait_with_output().unwrap()).fails(code, "nothing was changed");
        assert_eq!(ran.json_error()["code"], "interrupted");
        drop(writer);
        place.is_as(&before);
    }
}

#[test]
fn a_save_that_is_under_way_is_finished_first() {
    let (place, held, save) = interrupted_save("INT", &[]);
    drop(held);
    let ran = save.end();
    assert_eq!(ran.code(), 130);
    assert!(ran.out().starts_with("a: generation 1 ("), "{}", ran.out());
    assert!(ran.err().contains("error: interrupted, but the save of a was finished first"), "{}", ran.err());
    assert_eq!(place.run(["load", "a"]).succeeds().out(), document("one"));
}

#[test]
fn a_lease_that_was_granted_meanwhile_is_given_back() {
    let (place, held, save) = interrupted_save("INT", &["--hold"]);
    drop(held);
    let ran = save.end();
    assert_eq!(ran.code(), 130);
    assert!(ran.err().contains("released the lease"), "{}", ran.err());
    assert!(!ran.out().contains("lease"), "{}", ran.out());
    let state = place.run(["lock", "show", "a", "--json"]).succeeds().json();
    assert!(state["lease"].is_null() && state["lease_id"].is_null(), "{state}");
}

#[test]
fn a_save_that_failed_meanwhile_says_why() {
    let (place, held, save) = interrupted_save("TERM", &[]);
    fs::rename(place.path().join(".pflow"), place.path().join("moved")).unwrap();
    drop(held);
    save.end().fails(143, "error: interrupted; before that: ");
}

#[test]
fn the_second_signal_leaves_at_once_and_names_what_is_in_doubt() {
    let (place, held, save) = interrupted_save("INT", &["--hold"]);
    send("TERM", &save.child);
    let ran = save.end().fails(143, "left at once; whether the save of a happened is unknown");
    assert!(ran.err().contains("it may leave the lease "), "{}", ran.err());
    drop(held);
    place.run(["load", "a"]).fails(10, "there is no workflow a");
    place.save("a", "two").succeeds();
}

#[test]
fn a_batch_begins_nothing_new() {
    // More than are saved side by side.
    const FILES: usize = 200;
    let place = Place::with_store();
    for n in 0..FILES {
        place.file(&format!("batch/w{n:03}.json"), document("a"));
    }
    let held = hold(&place);
    let mut batch = Talking::start(&place, &["save-all", "batch"]);
    wait_until_a_process_waits(&place);
    send("INT", &batch.child);
    batch.says(FINISHING);
    drop(held);
    let ran = batch.end();
    assert_eq!(ran.code(), 130);
    let saved = ran.out().lines().count();
    assert!((1..FILES).contains(&saved), "{saved}");
    let words = format!("error: interrupted after {saved} of {FILES}: {saved} saved, 0 unchanged, 0 failed");
    assert!(ran.err().contains(&words), "{}", ran.err());
    place.run(["load", "w000"]).succeeds();
    place.run(["load", "w199"]).fails(10, "there is no workflow w199");
}

#[test]
fn a_wait_for_a_lock_ends_at_once() {
    let place = Place::with_store();
    place.run(["lock", "acquire", "a", "--lease-id", "held"]).succeeds();
    let before = place.dump();
    for command in [&["lock", "acquire", "a", "--wait"][..], &["lock", "run", "a", "--wait", "--", "true"]] {
        let mut waiting = Talking::start(&place, command);
        waiting.says("waiting for a: ");
        send("INT", &waiting.child);
        waiting.end().fails(130, "interrupted; nothing was changed");
    }
    place.is_as(&before);
}
