//! Beside the real pflow. `PFLOW_TEST_PYTHON` names a Python that can import it; `tests/pflow/README.md` says
//! how to get one.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::Place;

const WORKFLOW: &str = "# Say hello\n\nSays hello.\n\n## Steps\n\n### hello\n\nSay hello to the world.\n\n\
                        - type: shell\n\n```shell command\necho hello\n```\n";

/// The Python that has the whole of pflow, not the parser alone.
fn python() -> Option<PathBuf> {
    let Some(python) = std::env::var_os("PFLOW_TEST_PYTHON") else {
        println!("skipped: PFLOW_TEST_PYTHON is not set");
        return None;
    };
    let imported = Command::new(&python).args(["-c", "import pflow.cli.main"]).output().unwrap();
    if !imported.status.success() {
        println!("skipped: {} cannot import pflow's program", Path::new(&python).display());
        return None;
    }
    Some(python.into())
}

/// pflow rewrites the front matter after each run. A save after each of them finds nothing to save.
#[test]
fn a_hundred_runs_of_pflow_make_one_version() {
    let Some(python) = python() else { return };
    let place = Place::with_store();
    let home = place.path().join("home");
    fs::create_dir(&home).unwrap();
    place.file("home/say-hello.pflow.md", WORKFLOW);
    let pflow = |arguments: &[&str]| {
        let mut command = Command::new(&python);
        command
            .args(arguments)
            .current_dir(&home)
            .env("HOME", &home)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    };
    let saving = "from pflow.cli import cli_main; cli_main()";
    let saved = pflow(&["-c", saving, "save", "say-hello.pflow.md", "--name", "say-hello"]).output().unwrap();
    assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));

    let entry = "home/.pflow/workflows/say-hello/say-hello.pflow.md";
    place.run(["save", "say-hello", entry]).succeeds();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/pflow/runs.py");
    let mut runs = pflow(&[script.to_str().unwrap(), "say-hello"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut asks, answers) = (runs.stdin.take().unwrap(), runs.stdout.take().unwrap());
    let mut answers = BufReader::new(answers).lines();
    let mut texts = vec![fs::read_to_string(place.path().join(entry)).unwrap()];
    for run in 1..=100 {
        writeln!(asks, "run").unwrap();
        assert_eq!(answers.next().unwrap().unwrap(), "done", "run {run}");
        let text = fs::read_to_string(place.path().join(entry)).unwrap();
        assert!(text.contains(&format!("execution_count: {run}\n")), "{text}");
        assert_ne!(text, *texts.last().unwrap(), "pflow rewrote the file");
        texts.push(text);
        let saved = place.run(["save", "say-hello", entry]).succeeds();
        assert!(saved.out().contains("unchanged at generation 1"), "run {run}: {}", saved.out());
    }
    drop(asks);
    assert!(runs.wait().unwrap().success());
    assert_eq!(place.run(["load", "say-hello"]).succeeds().out(), texts[0], "the saved bytes");
    assert_eq!(fs::read_dir(place.path().join(".pflow/versions/say-hello")).unwrap().count(), 1);

    // The next change keeps the last count.
    let edited = texts[100].replace("echo hello", "echo hello again");
    place.file("edited.pflow.md", edited);
    place.run(["save", "say-hello", "edited.pflow.md"]).succeeds();
    let shown = place.run(["show", "say-hello", "--json"]).succeeds().json();
    assert_eq!((&shown["generation"], &shown["statistics"]["execution_count"]), (&2.into(), &100.into()));
}
