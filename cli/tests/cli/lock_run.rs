//! `lock run`: a command under a lease.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{Child, ChildStdout, Command, Output},
};

use crate::support::{PROGRAM, Place, Ran};

/// Runs a script under the lock of `a`, with the program as its `$0`.
fn run(place: &Place, options: &[&str], script: &str) -> Ran {
    place.run(args(options, script))
}

fn args<'a>(options: &[&'a str], script: &'a str) -> Vec<&'a str> {
    [&["lock", "run", "a"], options, &["--", "/bin/sh", "-c", script, PROGRAM]].concat()
}

fn is_free(place: &Place) {
    let text = place.run(["lock", "show", "a"]).succeeds().out();
    assert!(text.starts_with("a is not locked"), "{text}");
}

/// Starts a command under a lease and returns once it has printed that it is ready.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    fn start(place: &Place, options: &[&str], script: &str) -> Self {
        let mut child = place.command(args(options, script)).spawn().unwrap();
        let mut running = Self { stdout: BufReader::new(child.stdout.take().unwrap()), child };
        assert_eq!(running.line(), "ready\n");
        running
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    fn send(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn end(self) -> Ran {
        let Output { status, stderr, .. } = self.child.wait_with_output().unwrap();
        Ran(Output { status, stdout: Vec::new(), stderr })
    }
}

#[test]
fn the_command_knows_its_lease_and_its_code_is_passed() {
    let place = Place::with_store();
    let script = r#"echo "$PFLOW_WORKFLOW $PFLOW_FENCE $PFLOW_LEASE $PFLOW_STORE"; exit 7"#;
    let ran = run(&place, &[], script);
    assert_eq!((ran.code(), ran.err().as_str()), (7, ""), "what it has to say it says itself");
    let out = ran.out();
    let words: Vec<&str> = out.split_whitespace().collect();
    let store = place.path().canonicalize().unwrap().join(".pflow");
    assert_eq!((words[0], words[1], words[3]), ("a", "1", store.to_str().unwrap()));
    assert_eq!(words[2].len(), 26);
    is_free(&place);
    assert_eq!(run(&place, &[], "exit 0").code(), 0);
    assert_eq!(run(&place, &[], "kill -9 $$").code(), 137, "as a shell says it");
    is_free(&place);
}

#[test]
fn only_the_command_saves_under_its_lease() {
    let place = Place::with_store();
    let save = r#"cd / && echo '{"nodes": []}' | "$0" save a"#;
    assert!(run(&place, &[], save).succeeds().out().starts_with("a: generation 1 "));
    let others = r#"unset PFLOW_LEASE; echo '{"nodes": [ ]}' | "$0" save a"#;
    let ran = run(&place, &["--operation", "nightly"], others);
    assert_eq!(ran.code(), 11);
    assert!(ran.err().contains("a is locked by ") && ran.err().contains("nightly"), "{}", ran.err());
    assert!(ran.err().contains("its lease has not ended, and its process runs"), "{}", ran.err());
    let shown = run(&place, &[], r#""$0" lock show a --json"#).succeeds().json();
    assert_eq!((&shown["operation"], &shown["process"]), (&"sh".into(), &"running".into()));
}

#[test]
fn what_the_program_itself_cannot_do_has_codes_of_its_own() {
    let place = Place::with_store();
    let run = |command: &str| place.run(["lock", "run", "a", "--", command]);
    run("/nowhere/at/all").fails(127, "Failed to start /nowhere/at/all");
    let file = place.file("plain", "x");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    run(file.to_str().unwrap()).fails(126, "Failed to start");
    is_free(&place);
    place.run(["lock", "acquire", "a", "--lease-id", "held"]).succeeds();
    run("true").fails(125, "a is locked by ");
    let ran = place.run(["lock", "run", "a", "--json", "--lock-timeout", "1s", "--", "true"]);
    let err = ran.err();
    let lines: Vec<serde_json::Value> = err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["type"], &lines[0]["lease_id"]), (&"waiting".into(), &"held".into()));
    assert_eq!((&lines[1]["code"], &lines[1]["exit_code"]), (&"locked".into(), &125.into()));
    place.run(["lock", "--json", "run", "a"]).fails(125, "COMMAND");
    place.run(["lock", "run", "a", "--nonsense", "--", "true"]).fails(125, "--nonsense");
    place.run(["lock", "run", "../a", "--", "true"]).fails(125, "id");
    Place::empty().run(["lock", "run", "a", "--", "true"]).fails(125, "there is no store");
}

#[test]
fn a_command_whose_lease_is_lost_is_stopped() {
    let place = Place::with_store();
    // The command receives SIGTERM and may clean up.
    let script = r#"trap 'echo stopped; exit 3' TERM
        "$0" lock break a "$PFLOW_LEASE" -y > /dev/null
        while :; do sleep 0.05; done"#;
    let ran = run(&place, &["--ttl", "1s"], script);
    assert_eq!((ran.code(), ran.out().as_str()), (125, "stopped\n"), "{}", ran.err());
    let err = ran.err();
    assert!(err.contains("it was broken by ") && err.contains("the command is being stopped"), "{err}");
    // A command that ignores SIGTERM is killed.
    let stubborn = script.replace("echo stopped; exit 3", "");
    let ran = run(&place, &["--ttl", "1s", "--grace", "1s"], &stubborn);
    assert_eq!(ran.code(), 125);
    assert!(ran.err().contains("did not stop in time"), "{}", ran.err());
}

#[test]
fn a_command_is_stopped_when_the_store_cannot_be_reached_for_as_long_as_its_lease_lasts() {
    let place = Place::with_store();
    let away = || fs::rename(place.path().join(".pflow"), place.path().join("away")).unwrap();
    let script = "trap 'echo stopped; exit 0' TERM; echo ready; for n in $(seq 200); do sleep 0.05; done";
    let mut running = Running::start(&place, &["--ttl", "1s"], script);
    away();
    assert_eq!(running.line(), "stopped\n");
    let ran = running.end();
    assert_eq!(ran.code(), 125, "{}", ran.err());
    let err = ran.err();
    assert!(err.contains("is still held is not certain") && err.contains("is being stopped"), "{err}");
}

#[test]
fn a_command_that_ends_after_its_lease_became_uncertain_did_not_end_well() {
    let place = Place::with_store();
    // The program is stopped meanwhile, as on a suspended machine, so it cannot watch the command.
    let script = "kill -STOP $PPID; mv .pflow away; sleep 1.5; kill -CONT $PPID; exit 0";
    let ran = run(&place, &["--ttl", "1s"], script);
    assert_eq!(ran.code(), 125, "{}", ran.err());
    assert!(ran.err().contains("is still held is not certain"), "{}", ran.err());
}

#[test]
fn what_the_command_started_is_stopped_with_it() {
    let place = Place::with_store();
    let script = r#"(trap 'echo child stopped; exit' TERM; for n in $(seq 100); do sleep 0.05; done) &
        trap 'exit 3' TERM
        "$0" lock break a "$PFLOW_LEASE" -y > /dev/null
        for n in $(seq 100); do sleep 0.05; done"#;
    let ran = run(&place, &["--ttl", "1s"], script);
    assert_eq!((ran.code(), ran.out().as_str()), (125, "child stopped\n"), "{}", ran.err());
    // A process that ignores SIGTERM is killed too, even if the command itself has ended already.
    let script = r#"(trap '' TERM; for n in $(seq 100); do sleep 0.05; done; echo survived) &
        trap 'exit 3' TERM
        "$0" lock break a "$PFLOW_LEASE" -y > /dev/null
        for n in $(seq 100); do sleep 0.05; done"#;
    let ran = run(&place, &["--ttl", "1s", "--grace", "1s"], script);
    assert_eq!((ran.code(), ran.out().as_str()), (125, ""), "{}", ran.err());
    assert!(ran.err().contains("did not stop in time"), "{}", ran.err());
}

#[test]
fn the_second_request_to_stop_kills_the_command() {
    let place = Place::with_store();
    let script = "trap '' TERM INT; echo ready; for n in $(seq 200); do sleep 0.05; done; echo survived";
    let mut running = Running::start(&place, &[], script);
    let mut stderr = BufReader::new(running.child.stderr.take().unwrap());
    running.send("TERM");
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("interrupted"), "{line}");
    running.send("TERM");
    // The stream ends once every process that had it open has ended.
    assert_eq!(running.line(), "");
    assert_eq!(running.end().code(), 143);
}

#[test]
fn other_workflows_are_changed_without_the_lease() {
    let place = Place::with_store();
    for name in ["a", "b"] {
        place.file(&format!("plans/{name}.json"), r#"{"nodes": []}"#);
    }
    let script = r#""$0" save b plans/b.json && "$0" save-all plans && "$0" delete b -n && "$0" delete b -y"#;
    let out = run(&place, &[], script).succeeds().out();
    assert!(out.contains("a: generation 1 ") && out.contains("b: generation 2 (deleted)"), "{out}");
    // Who says so saves under no lease but that one.
    let wrong = r#""$0" save b plans/b.json --lease "$PFLOW_LEASE""#;
    assert_eq!(run(&place, &[], wrong).code(), 11);
    let broken = r#"PFLOW_LEASE= "$0" save a plans/a.json"#;
    assert_eq!(run(&place, &[], broken).code(), 2);
}

#[test]
fn a_command_that_ended_before_anybody_noticed_did_not_end_under_its_lease() {
    let place = Place::with_store();
    run(&place, &[], r#""$0" lock break a "$PFLOW_LEASE" -y > /dev/null"#).fails(125, "it was broken by ");
}

#[test]
fn signals_are_handed_on_and_the_lease_is_given_back() {
    let place = Place::with_store();
    for signal in ["TERM", "INT", "HUP", "USR1"] {
        let script = format!("trap 'exit 9' {signal}; echo ready; while :; do sleep 0.05; done");
        let running = Running::start(&place, &[], &script);
        running.send(signal);
        assert_eq!(running.end().code(), 9, "{signal}");
        is_free(&place);
    }
    let running = Running::start(&place, &[], "echo ready; exec sleep 60");
    running.send("TERM");
    let ran = running.end();
    assert_eq!(ran.code(), 143, "the command's own end");
    assert!(ran.err().contains("released the lease "), "{}", ran.err());
    is_free(&place);
}

#[test]
fn a_lease_of_a_command_that_was_killed_is_taken_over_at_once() {
    let place = Place::with_store();
    let mut running = Running::start(&place, &["--ttl", "1h"], "echo ready; exec sleep 1");
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    let shown = place.run(["lock", "show", "a"]).succeeds().out();
    assert!(shown.contains("stale      yes: its process ") && shown.contains("is gone"), "{shown}");
    let grant = place.run(["lock", "acquire", "a", "--json"]).succeeds().json();
    assert_eq!(grant["fence"], 2);
}
