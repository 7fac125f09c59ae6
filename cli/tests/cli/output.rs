//! The streams: what is written to stdout and to stderr, in which form, and what happens when they are closed.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use crate::support::{PROGRAM, Place, Ran, document};

#[test]
fn help_is_for_people_and_names_the_exit_codes() {
    let place = Place::empty();
    let help = place.run(["--help"]).succeeds().out();
    let commands =
        "init status save save-all load show list search delete undelete lock flow reindex verify".split(' ');
    for command in commands {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in: {help}");
        let own = place.run([command, "--help"]).succeeds().out();
        assert!(own.contains("Usage: pflow-store ") && own.ends_with('\n'), "{own}");
    }
    for words in ["Exit codes:", "   16  outcome unknown", "Examples:", "PFLOW_STORE", "--json"] {
        assert!(help.contains(words), "{words} is not in: {help}");
    }
    assert!(!help.contains('\u{1b}'), "no colours off a terminal");
    let version = place.run(["--version"]).succeeds().out();
    assert_eq!(version, concat!("pflow-store ", env!("CARGO_PKG_VERSION"), "\n"));
    let none: [&str; 0] = [];
    place.run(none).fails(2, "Usage: pflow-store [OPTIONS] <COMMAND>");
    place.run(["lock"]).fails(2, "acquire");
}

#[test]
fn errors_are_objects_when_json_is_asked_for() {
    let place = Place::with_store();
    for (args, code, exit, words) in [
        (&["--json", "show", "a"][..], "not_found", 10, "there is no workflow a"),
        (&["show", "a", "--json"], "not_found", 10, "there is no workflow a"),
        (&["show", "--json", "A"], "refused", 5, "is no workflow id"),
        (&["show", "--json"], "usage", 2, "required"),
        (&["--json", "colour"], "usage", 2, "unrecognized subcommand 'colour'"),
        (&["--json", "lock"], "usage", 2, ""),
        (&["flow", "lunch", "--json"], "usage", 2, "no flow is called"),
        (&["lock", "release", "a", "x", "--json"], "locked", 11, "the lock is free now"),
        (&["--json", "--store", "gone", "list"], "not_found", 10, "there is no store at gone"),
    ] {
        let ran = place.run(args).fails(exit, words);
        let error = ran.json_error();
        assert_eq!((&error["code"], ran.err().lines().count()), (&code.into(), 1), "{args:?}");
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
        assert!(error.get("hint").is_some(), "{error}");
    }
}

#[test]
fn json_can_be_asked_for_by_the_environment() {
    let place = Place::with_store();
    let run = |value: &str, args: &[&str]| Ran::of(place.command(args).env("PFLOW_JSON", value));
    assert_eq!(run("1", &["list"]).succeeds().json()["workflows"], serde_json::json!([]));
    assert_eq!(run("true", &["nonsense"]).json_error()["code"], "usage");
    for no in ["0", "false", ""] {
        assert_eq!(run(no, &["list"]).succeeds().out(), "");
        assert!(run(no, &["nonsense"]).err().starts_with("error: "));
    }
}

#[test]
fn quiet_says_less_and_verbose_more() {
    let place = Place::with_store();
    place.run(["list", "-q"]).succeeds();
    assert_eq!(place.run(["list", "-q"]).err(), "");
    assert_eq!(place.run(["show", "a", "-q"]).fails(10, "").err().lines().count(), 2);
    let save = |args: &[&str], text: &str| place.run_with_input(args, document(text)).succeeds();
    assert_eq!(save(&["save", "a"], "one").err(), "");
    let said = save(&["save", "a", "-v"], "two");
    assert!(said.err().starts_with("info: opened (store: "), "{}", said.err());
    let said = save(&["save", "a", "-vv"], "three");
    assert!(said.err().contains("save/WriteAtomic"), "{}", said.err());
    assert_eq!(said.out().lines().count(), 1);
    let said = save(&["save", "a", "-vv", "--json"], "four");
    for line in said.err().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["type"], "log");
    }
    place.run(["list", "-q", "-v"]).fails(2, "cannot be used with");
}

#[test]
fn warnings_reach_a_person_and_a_program() {
    let place = Place::with_store();
    place.save("a", "one").succeeds();
    place.file(".pflow/ops/pending/not-ours", "");
    let said = place.run(["list"]).succeeds();
    assert!(
        said.err().starts_with("warning: not a pending record of ours; passed over (key: "),
        "{}",
        said.err()
    );
    let said = place.run(["list", "--json"]).succeeds();
    let line: serde_json::Value = serde_json::from_str(said.err().trim_end()).unwrap();
    assert_eq!((&line["type"], &line["fields"]["key"]), (&"warning".into(), &"ops/pending/not-ours".into()));
    assert_eq!(place.run(["list", "-q"]).succeeds().err(), "");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::with_store();
    // More than any pipe holds.
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(8 << 20));
    place.run_with_input(["save", "large"], &large).succeeds();
    for args in [&["load", "large"][..], &["load", "large", "--json"]] {
        let mut child = place.command(args).spawn().unwrap();
        let mut first = [0];
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut first).unwrap();
        drop(stdout);
        let ran = Ran(child.wait_with_output().unwrap()).succeeds();
        assert_eq!((first[0], ran.err()), (b'{', String::new()));
    }
}

#[test]
fn a_batch_goes_on_when_its_results_are_not_read() {
    let place = Place::with_store();
    for number in 0..60 {
        place.file(&format!("plans/w{number}.json"), document(&number.to_string()));
    }
    let mut child = place.command(["save-all", "plans"]).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    Ran(child.wait_with_output().unwrap()).succeeds();
    assert_eq!(place.run(["status", "--json"]).json()["workflows"], 60);
}

#[cfg(target_os = "linux")]
#[test]
fn a_stdout_that_takes_nothing_is_reported() {
    let place = Place::with_store();
    let full = || Stdio::from(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let run = |args: &[&str]| Ran::of(place.command(args).stdout(full()));
    run(&["--help"]).fails(1, "Failed to write to standard output: No space left");
    place.file("a.json", document("a"));
    let saved = run(&["save", "a", "a.json"]).fails(16, "the change itself was made");
    assert!(saved.err().starts_with("error: Failed to write to standard output"), "{}", saved.err());
    run(&["load", "a"]).fails(1, "Failed to write to standard output");
    place.file("b.json", document("b"));
    run(&["save-all", "b.json"]).fails(16, "the change itself was made");
    place.run(["load", "b"]).succeeds();
}

#[test]
fn a_stderr_that_is_gone_does_not_matter() {
    let place = Place::with_store();
    let mut child = place.command(["show", "a", "-vv"]).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(10));
}

#[test]
fn flows_are_drawn_in_two_languages_without_a_store() {
    let place = Place::empty();
    let save = place.run(["flow", "save"]).succeeds().out();
    assert!(save.starts_with("flowchart") && save.contains("WriteAtomic"), "{save}");
    let dot = place.run(["flow", "save", "--format", "dot"]).succeeds().out();
    assert!(dot.starts_with("digraph") && dot.ends_with("}\n"), "{dot}");
    let all = place.run(["flow"]).succeeds().out();
    for name in ["save", "delete", "undelete", "lock"] {
        assert!(all.contains(&format!("%% {name}\n")), "{all}");
    }
    let json = place.run(["flow", "--format", "dot", "--json"]).succeeds().json();
    assert_eq!((&json["flows"][0]["name"], &json["flows"][0]["drawing"]), (&"save".into(), &dot.into()));
    place.run(["flow", "lunch"]).fails(2, "hint: there are save, delete, undelete, lock");
}

/// `script` (util-linux) gives the program a terminal.
#[test]
fn colours_are_for_terminals_that_want_them() {
    let place = Place::with_store();
    let run = |variables: &[(&str, &str)]| {
        let mut command = Command::new("script");
        command.args(["-qec", &format!("{PROGRAM} show a"), "/dev/null"]).current_dir(place.path());
        // Only these: what the machine of the test has set, such as `CI`, changes the answer.
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path))).env("TERM", "xterm");
        command.envs(variables.iter().copied()).stdin(Stdio::null());
        command.output().map(Ran)
    };
    let Ok(coloured) = run(&[]) else {
        println!("skipped: there is no `script`");
        return;
    };
    let has_colours =
        |ran: &Ran| ran.out().contains("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m there is no workflow a");
    assert!(has_colours(&coloured), "{coloured:?}");
    for ci in [&[] as &[_], &[("CI", "true")]] {
        for variable in [("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0")] {
            let plain = run(&[ci, &[variable]].concat()).unwrap();
            assert!(plain.out().starts_with("error: there is no workflow a"), "{variable:?} {plain:?}");
            assert!(!plain.out().contains('\u{1b}'), "{variable:?} {plain:?}");
        }
        for variable in [("NO_COLOR", ""), ("CLICOLOR", "1")] {
            let coloured = run(&[ci, &[variable]].concat()).unwrap();
            assert!(has_colours(&coloured), "{variable:?} {coloured:?}");
        }
    }
    for asked in ["CLICOLOR_FORCE", "CLICOLOR"] {
        let coloured = run(&[("TERM", "dumb"), (asked, "1")]).unwrap();
        assert!(has_colours(&coloured), "{asked} {coloured:?}");
    }
}

#[test]
fn colours_can_be_forced_without_a_terminal() {
    let place = Place::with_store();
    let mut command = Command::new(PROGRAM);
    command.args(["show", "a"]).current_dir(place.path()).env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1");
    let forced = Ran(command.stdin(Stdio::null()).output().unwrap());
    assert!(
        forced.err().starts_with("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m there is no workflow a"),
        "{forced:?}"
    );
}
