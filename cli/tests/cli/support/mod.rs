//! Runs the real program in a folder of its own, with nothing of the tester's environment.

pub(crate) mod schema;
pub(crate) mod user;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_pflow-store");

/// A document that is accepted, with a text that makes it differ from others.
pub(crate) fn document(text: &str) -> String {
    format!("{{ \"name\": \"{text}\", \"nodes\": [ {{ \"id\": \"a\", \"type\": \"echo\" }} ] }}\n")
}

/// The files of a store with their bytes.
pub(crate) type Dump = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// A folder with nothing in it, or with a store.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn with_store() -> Self {
        let place = Self::empty();
        place.run(["init"]).succeeds();
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(args).current_dir(self.path()).env_clear().stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ran {
        Ran::of(&mut self.command(args))
    }

    pub(crate) fn run_with_input<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
        input: impl AsRef<[u8]>,
    ) -> Ran {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        // The program may have refused already and closed its end.
        drop(child.stdin.take().unwrap().write_all(input.as_ref()));
        Ran::ended(&command, child.wait_with_output().unwrap())
    }

    /// Saves a document that says `text`.
    pub(crate) fn save(&self, id: &str, text: &str) -> Ran {
        self.run_with_input(["save", id], document(text))
    }

    /// Every file of the store with its bytes, and `None` for folders. Who last held the lock is left out,
    /// and copies that were taken out of their place.
    pub(crate) fn dump(&self) -> Dump {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.path().join(".pflow")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                // These files exist at rest and differ between processes.
                let ours = [".journal/instance", ".journal/lock", ".journal/state", ".journal/staging"];
                if ours.iter().any(|name| path.ends_with(name)) {
                    continue;
                }
                if path.is_dir() {
                    found.insert(path.clone(), None);
                    folders.push(path);
                } else {
                    found.insert(path.clone(), Some(fs::read(&path).unwrap()));
                }
            }
        }
        found
    }

    /// Nothing was written since `before`.
    #[track_caller]
    pub(crate) fn is_as(&self, before: &Dump) {
        let after = self.dump();
        let paths: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
        let changed: Vec<_> =
            paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).collect();
        assert!(changed.is_empty(), "{changed:#?}");
    }

    /// The only version file of a workflow's generation.
    pub(crate) fn version_file(&self, id: &str, generation: u64) -> PathBuf {
        let folder = self.path().join(".pflow/versions").join(id);
        let prefix = format!("{generation:012}-");
        let mut found = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        found.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&prefix)).unwrap()
    }
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ran(pub(crate) Output);

impl Ran {
    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self::ended(command, output)
    }

    /// How the command ended. What it said under `--json` is checked against its schema.
    #[track_caller]
    pub(crate) fn ended(command: &Command, output: Output) -> Self {
        schema::check(command, &output);
        Self(output)
    }

    pub(crate) fn code(&self) -> i32 {
        self.0.status.code().unwrap_or_else(|| panic!("{self:?}"))
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.code(), 0, "stdout: {}\nstderr: {}", self.out(), self.err());
        self
    }

    /// With this code, nothing on stdout and these words on stderr.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, words: &str) -> Self {
        assert_eq!(self.code(), code, "stdout: {}\nstderr: {}", self.out(), self.err());
        assert_eq!(self.out(), "");
        assert!(self.err().contains(words), "{words:?} is not in: {}", self.err());
        self
    }

    /// The one document on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let value: Value = serde_json::from_slice(&self.0.stdout).unwrap_or_else(|_| panic!("{self:?}"));
        assert_eq!(value["schema_version"], 1);
        value
    }

    /// The last object on stderr: a notice may come before, on a slow machine.
    #[track_caller]
    pub(crate) fn json_error(&self) -> Value {
        let (err, last) = (self.err(), self.err().lines().last().unwrap_or_default().to_owned());
        let value: Value = serde_json::from_str(&last).unwrap_or_else(|_| panic!("{err}"));
        assert_eq!(value["type"], "error");
        assert_eq!(value["exit_code"], self.code());
        value
    }
}
