//! The main journeys of the program as transcripts: what a person types, and all that the program answers.
//!
//! The transcripts are in `snapshots/`. After a change that is meant, `INSTA_UPDATE=always cargo test
//! --workspace --test cli journeys::` writes them again; the difference is then for a review to read.
#![cfg(target_os = "linux")]

use std::{fs, path::Path, process::Command};

use crate::support::{PROGRAM, Place};

/// What differs between two runs, and what the transcript has in its place.
const FILTERS: [(&str, &str); 7] = [
    (r"\b0[0-9a-hjkmnp-tv-z]{25}\b", "[id]"),
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "yyyy-mm-ddThh:mm:ssZ"),
    // A host name may hold the name of a test machine, and a person's name anything.
    (r"\S+@\S+ \(pid \d+\)", "user@host (pid 1234)"),
    (r"by \S+@\S+", "by user@host"),
    (r#""author":"[^"]*""#, r#""author":"user@host""#),
    (r"another (\d+[ms] ?)+", "another [time]"),
    // On a slow machine the program may report that it waits.
    (r"(?m)^waiting for .*\n", ""),
];

/// A folder in which a person works, and what was typed and said there.
struct Journey {
    place: Place,
    transcript: String,
}

impl Journey {
    /// Begins in a folder with the documents of the examples.
    fn begin() -> Self {
        let place = Place::empty();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/workflows");
        for name in ["clean-csv.pflow.md", "daily-report.pflow.md"] {
            place.file(name, fs::read(examples.join(name)).unwrap());
        }
        Self { place, transcript: String::new() }
    }

    /// A title in the transcript.
    fn title(&mut self, title: &str) {
        self.transcript += &format!("# {title}\n");
    }

    /// Types a line into a shell. Returns what was said, on both outputs in the order in which it came.
    fn types(&mut self, line: &str) -> String {
        let programs = Path::new(PROGRAM).parent().unwrap().to_str().unwrap();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 2>&1; {line}")]).current_dir(self.place.path());
        let output = shell.env_clear().env("PATH", path).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let folder = self.place.path().canonicalize().unwrap();
        let said = said.replace(folder.to_str().unwrap(), "[folder]");
        self.transcript += &format!("$ {line}\n{said}");
        match output.status.code().unwrap() {
            0 => {}
            code => self.transcript += &format!("[exit {code}]\n"),
        }
        self.transcript += "\n";
        said
    }

    /// Compares the transcript with the one that is kept.
    fn ends(self, name: &str) {
        let mut settings = insta::Settings::clone_current();
        for (pattern, instead) in FILTERS {
            settings.add_filter(pattern, instead);
        }
        settings.set_omit_expression(true);
        settings.set_prepend_module_to_snapshot(false);
        settings.bind(|| insta::assert_snapshot!(name, self.transcript));
    }
}

/// The id of the lease in what was said.
fn lease(said: &str) -> String {
    let at = said.split_once("lease ").unwrap().1;
    at.chars().take_while(char::is_ascii_alphanumeric).collect()
}

#[test]
fn first_day() {
    let mut journey = Journey::begin();
    journey.title("A store is made, and takes what there is");
    journey.types("pflow-store list");
    journey.types("pflow-store init");
    journey.types("pflow-store save-all .");
    journey.types("pflow-store list --tag llm");
    journey.title("The same bytes come back");
    journey.types("pflow-store load daily-report | cmp - daily-report.pflow.md");
    journey.title("A change");
    journey.types("sed -i 's/in five sentences/in three sentences/' daily-report.pflow.md");
    journey.types("pflow-store save daily-report daily-report.pflow.md -m 'shorter'");
    journey.types("pflow-store show daily-report");
    journey.title("Mistakes");
    journey.types("pflow-store load dailyreport");
    journey.types("echo '{' | pflow-store save broken");
    journey.types("pflow-store lod daily-report");
    journey.types("pflow-store verify");
    journey.types("pflow-store status");
    journey.ends("first_day");
}

#[test]
fn two_people() {
    let mut journey = Journey::begin();
    journey.types("pflow-store init");
    journey.types("pflow-store save daily-report daily-report.pflow.md");
    journey.title("Each changes a copy of generation 1");
    journey.types("sed 's/temperature: 0.2/temperature: 0.7/' daily-report.pflow.md > hers.pflow.md");
    journey.types("sed 's/in five sentences/in three sentences/' daily-report.pflow.md > his.pflow.md");
    journey.types("pflow-store save daily-report hers.pflow.md --if-generation 1");
    journey.types("pflow-store save daily-report his.pflow.md --if-generation 1");
    journey.title("The changes do not overlap");
    journey.types("pflow-store save daily-report his.pflow.md --if-generation 1 --on-conflict merge");
    journey.types("pflow-store load daily-report | diff daily-report.pflow.md -");
    journey.title("These do");
    journey.types("sed 's/five sentences/nine sentences/' daily-report.pflow.md > late.pflow.md");
    journey.types("pflow-store save daily-report late.pflow.md --if-generation 1 --on-conflict merge");
    journey.types("pflow-store save daily-report late.pflow.md --if-generation 1 --on-conflict ours");
    journey.title("A file is changed by hand");
    journey.types("sed -i 's/nine sentences/ten sentences/' .pflow/workflows/daily-report/workflow.pflow.md");
    journey.types("pflow-store save daily-report daily-report.pflow.md");
    journey.types("pflow-store save daily-report .pflow/workflows/daily-report/workflow.pflow.md");
    journey.ends("two_people");
}

#[test]
fn locks() {
    let mut journey = Journey::begin();
    journey.types("pflow-store init");
    journey.types("pflow-store save-all .");
    let taken = journey.types("pflow-store lock acquire daily-report --ttl 10m --operation 'by hand'");
    let lease = lease(&taken);
    journey.types("pflow-store lock show daily-report");
    journey.title("Others are refused");
    journey.types("pflow-store save daily-report clean-csv.pflow.md");
    journey.types("pflow-store lock acquire daily-report");
    journey.title("The holder is not");
    journey.types(&format!("pflow-store save daily-report clean-csv.pflow.md --lease {lease}"));
    journey.types(&format!("pflow-store lock release daily-report {lease}"));
    journey.types("pflow-store lock list");
    journey.title("A command under a lock");
    journey.types(r#"pflow-store lock run clean-csv -- sh -c 'pflow-store load "$PFLOW_WORKFLOW" | pflow-store save "$PFLOW_WORKFLOW" -m again'"#);
    journey.types("pflow-store lock run clean-csv -- false");
    journey.types("pflow-store lock show clean-csv");
    journey.ends("locks");
}

#[test]
fn something_is_lost() {
    let mut journey = Journey::begin();
    journey.types("pflow-store init");
    journey.types("pflow-store save-all .");
    journey.title("A deletion is undone");
    journey.types("pflow-store delete clean-csv");
    journey.types("pflow-store delete clean-csv --yes");
    journey.types("pflow-store load clean-csv");
    journey.types("pflow-store undelete clean-csv");
    journey.title("The working copy of a workflow is removed");
    journey.types("rm .pflow/workflows/daily-report/workflow.pflow.md");
    journey.types("pflow-store verify");
    journey.types("pflow-store load daily-report | cmp - daily-report.pflow.md");
    journey.title("Its record is damaged");
    journey.types("echo scribble > .pflow/workflows/daily-report/metadata.json");
    journey.types("pflow-store load daily-report");
    journey.types("pflow-store list");
    journey.types("pflow-store verify");
    journey.types("pflow-store verify --repair");
    journey.types("pflow-store verify --repair --yes");
    journey.types("pflow-store verify");
    journey.types("pflow-store load daily-report | cmp - daily-report.pflow.md");
    journey.ends("something_is_lost");
}

#[test]
fn scripts() {
    let mut journey = Journey::begin();
    journey.types("pflow-store --json init");
    journey.types("pflow-store --json save daily-report daily-report.pflow.md");
    journey.types("pflow-store --json list");
    journey.types("pflow-store --json save daily-report daily-report.pflow.md --if-generation 7");
    journey.types("pflow-store --json load no-such-workflow");
    journey.types("pflow-store --json delete daily-report --yes");
    journey.types("pflow-store --json status");
    journey.ends("scripts");
}
