//! Runs this test binary again as child processes, which can be killed.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

/// The variable by which a test knows that it is alone in its process.
const ALONE: &str = "PFLOW_TEST_ALONE";

/// Returns whether no other test runs in this process. If others may, runs the test `name` (with its module)
/// in a process of its own, and checks that it succeeds there; the caller then has nothing to do.
pub fn is_alone(name: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut alone = Command::new(std::env::current_exe().unwrap());
    let output = alone.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// The variable with the folder of a child. A test knows by it that it runs in a child.
pub const PLACE: &str = "PFLOW_TEST_CHILD_PLACE";

/// A child process. Dropping this kills it.
pub struct Process {
    child: Child,
    lines: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts the test `name` (with its module) of this binary in a child that works at `place`, with more
    /// variables.
    pub fn start(name: &str, place: &Path, variables: &[(&str, String)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(PLACE, place);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = child.stdout.take().map(BufReader::new);
        Self { child, lines }
    }

    /// Returns the lines that the child prints, until it has ended. May be called once.
    pub fn lines(&mut self) -> impl Iterator<Item = String> + Send + use<> {
        self.lines.take().unwrap().lines().map(Result::unwrap)
    }

    /// Kills the child with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Sends the child a signal, by name.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Returns whether a signal has stopped the child (proc(5), field 3 of `stat`).
    pub fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    }

    /// Waits for the end of the child and returns whether it succeeded.
    pub fn ended(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The child may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns the folder of this child, or none if this process is no child. Ends the line that the test harness
/// has begun.
pub fn place_of_a_child() -> Option<std::path::PathBuf> {
    let place = std::env::var_os(PLACE)?;
    say("");
    Some(place.into())
}

/// Prints a line and flushes, so that the parent receives it even if this process is killed next.
#[allow(clippy::print_stdout, reason = "it is what the parent reads")]
pub fn say(line: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// Returns what is unfinished in the `.journal` of a disk that no process uses: everything but the id, the lock, the
/// state, empty files and empty folders.
pub fn unfinished(place: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(place.join(".journal")) else { return Vec::new() };
    let mut unfinished = Vec::new();
    for entry in entries.map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let meta = entry.metadata().unwrap();
        let at_rest = match name.as_str() {
            "instance" | "lock" | "state" => true,
            _ if meta.is_dir() => std::fs::read_dir(entry.path()).unwrap().next().is_none(),
            _ => meta.len() == 0,
        };
        if !at_rest {
            unfinished.push(name);
        }
    }
    unfinished
}

/// Returns the files below a folder with their bytes, without `.journal`.
pub fn files(place: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![place.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(place).unwrap().to_str().unwrap().to_owned();
            match path.symlink_metadata().unwrap().file_type() {
                _ if name == ".journal" => {}
                kind if kind.is_dir() => folders.push(path),
                kind if kind.is_file() => drop(files.insert(name, std::fs::read(path).unwrap())),
                kind => panic!("{name} is a {kind:?}"),
            }
        }
    }
    files
}
