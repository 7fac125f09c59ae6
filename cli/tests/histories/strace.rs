//! Runs the program under `strace`, which kills it at a system call or makes that call fail.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::channel,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::support::{Dump, PROGRAM, Place, Ran};

/// The program needs less time than this, also on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);
const OPEN: &str = "openat";
/// The calls that change files, make them durable or lock them. A machine may lack some of them.
const CALLS: [&str; 19] = [
    "write",
    "pwrite64",
    "pwritev",
    "rename",
    "renameat",
    "renameat2",
    "linkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "syncfs",
    "ftruncate",
    "fallocate",
    "copy_file_range",
    "flock",
];

/// A fault at the `nth` call of this kind within a thread of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blow {
    pub(crate) call: String,
    pub(crate) nth: usize,
    pub(crate) harm: Harm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// SIGKILL, before the call does anything.
    Kill,
    /// The call fails with this error. With `permanent` all later calls of this kind fail too.
    Fail { errno: &'static str, permanent: bool },
}

/// Whether the n-th call of a kind was on a file of the store or on another one. Threads may differ.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    of_the_store: bool,
    of_others: bool,
}

/// The state of a store before a command, which can be restored.
pub(crate) struct Scene<'a> {
    pub(crate) place: &'a Place,
    before: Dump,
    args: &'a [&'a str],
    /// The folders of the store, including those that the command creates.
    folders: Vec<PathBuf>,
}

/// Returns whether `strace` exists and may trace.
pub(crate) fn is_there() -> bool {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    traced.is_ok_and(|status| status.success())
}

impl<'a> Scene<'a> {
    /// Records the present state, in which each run will start.
    pub(crate) fn new(place: &'a Place, args: &'a [&'a str]) -> Self {
        let before = if place.path().join(".pflow").exists() { place.dump() } else { Dump::new() };
        let mut scene = Self { place, before, args, folders: Vec::new() };
        place.run(args).succeeds();
        let folders = place.dump().into_iter().filter(|(_, bytes)| bytes.is_none()).map(|(path, _)| path);
        scene.folders = folders.chain([place.path().join(".pflow"), place.path().to_owned()]).collect();
        scene
    }

    /// Restores the recorded state.
    pub(crate) fn restore(&self) {
        let store = self.place.path().join(".pflow");
        if store.exists() {
            fs::remove_dir_all(&store).unwrap();
        }
        for (path, bytes) in &self.before {
            match bytes {
                None => fs::create_dir_all(path).unwrap(),
                Some(bytes) => {
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, bytes).unwrap();
                }
            }
        }
    }

    /// Returns all faults of these kinds that the command can meet. For this it is traced once.
    pub(crate) fn blows(&self, harms: &[Harm]) -> Vec<Blow> {
        let mut seen = self.watch(&[OPEN]);
        seen.extend(self.watch(&CALLS));
        // Calls on other files (a pipe, a library, files of the runtime) are not made to fail: this tests the
        // store. A kill may happen at any call.
        let of_others =
            |call: &str, nth: usize| seen.get(&(call.to_owned(), nth)).is_some_and(|it| it.of_others);
        let ever_of_others = |call: &str| seen.iter().any(|((other, _), it)| other == call && it.of_others);
        let mut blows = Vec::new();
        for ((call, nth), _) in seen.iter().filter(|(_, it)| it.of_the_store) {
            for harm in harms {
                let elsewhere = match harm {
                    Harm::Kill => false,
                    Harm::Fail { permanent: false, .. } => of_others(call, *nth),
                    Harm::Fail { permanent: true, .. } => ever_of_others(call),
                };
                if !elsewhere {
                    blows.push(Blow { call: call.clone(), nth: *nth, harm: *harm });
                }
            }
        }
        blows
    }

    /// Traces the command and returns its calls of these kinds, by kind and number within their thread.
    fn watch(&self, calls: &[&str]) -> BTreeMap<(String, usize), Seen> {
        self.restore();
        let trace = self.place.path().join("trace");
        let mut strace = self.strace(calls, &trace);
        strace.args(["-y", PROGRAM]).args(self.args);
        Ran(strace.output().unwrap()).succeeds();
        let text = fs::read_to_string(&trace).unwrap();
        fs::remove_file(&trace).unwrap();
        let (mut numbers, mut seen) = (BTreeMap::new(), BTreeMap::<(String, usize), Seen>::new());
        for line in text.lines() {
            // `123  fsync(5</path/to/it>) = 0`, on one line or begun here and resumed on a later line.
            let (thread, rest) = line.split_once(' ').unwrap();
            let Some((call, rest)) = rest.trim_start().split_once('(') else { continue };
            if !calls.contains(&call) {
                continue;
            }
            let nth: &mut usize = numbers.entry((thread, call)).or_default();
            *nth += 1;
            let seen = seen.entry((call.to_owned(), *nth)).or_default();
            match call == OPEN || rest.contains("/.pflow") {
                true => seen.of_the_store = true,
                false => seen.of_others = true,
            }
        }
        seen
    }

    /// Runs the command with a fault. A killed command has no exit code. Returns none if the threads ran in
    /// another order than in the trace, so that the call that failed was not on a file of the store.
    pub(crate) fn strike(&self, blow: &Blow) -> Option<Ran> {
        self.restore();
        let trace = self.place.path().join("trace");
        let mut strace = self.strace(&[&blow.call], &trace);
        let Blow { call, nth, harm } = blow;
        let inject = match harm {
            Harm::Kill => format!("inject={call}:signal=SIGKILL:when={nth}"),
            Harm::Fail { errno, permanent: false } => format!("inject={call}:error={errno}:when={nth}"),
            Harm::Fail { errno, permanent: true } => format!("inject={call}:error={errno}:when={nth}+"),
        };
        strace.args(["-y", "-e", &inject, PROGRAM]).args(self.args);
        let ran = finish(&mut strace);
        let text = fs::read_to_string(&trace).unwrap();
        fs::remove_file(&trace).unwrap();
        let failed = |line: &&str| *harm != Harm::Kill && line.contains("(INJECTED)");
        let meant = text.lines().filter(failed).all(|line| call == OPEN || line.contains("/.pflow"));
        assert!(ran.is_some() || !meant, "it hangs: {strace:?}");
        ran.filter(|_| meant)
    }

    fn strace(&self, calls: &[&str], trace: &Path) -> Command {
        let mut strace = Command::new("strace");
        let calls_if_known = format!("trace=?{}", calls.join(",?"));
        strace.args(["-f", "-qq", "-e", "signal=none", "-e", &calls_if_known, "-o"]).arg(trace);
        if calls == [OPEN] {
            // Only in these folders: otherwise the first hundred calls would be those of the dynamic loader.
            strace.args(self.folders.iter().flat_map(|folder| [OsStr::new("-P"), folder.as_os_str()]));
        }
        strace.current_dir(self.place.path()).env_clear().stdin(Stdio::null());
        strace.stdout(Stdio::piped()).stderr(Stdio::piped());
        strace
    }
}

/// Waits for the end of the command. If it hangs, kills it with the traced program and returns none.
fn finish(command: &mut Command) -> Option<Ran> {
    let child = command.process_group(0).spawn().unwrap();
    let group = Pid::from_child(&child);
    let (sender, ended) = channel();
    thread::spawn(move || drop(sender.send(child.wait_with_output())));
    let output = ended.recv_timeout(PATIENCE).ok();
    if output.is_none() {
        kill_process_group(group, Signal::KILL).unwrap();
    }
    output.map(|output| Ran(output.unwrap()))
}

/// Returns the message of the system for an error.
pub(crate) fn words(errno: &str) -> &'static str {
    match errno {
        "EIO" => "Input/output error",
        "ENOSPC" => "No space left on device",
        "EDQUOT" => "Disk quota exceeded",
        "EACCES" => "Permission denied",
        "EMFILE" => "Too many open files",
        "EROFS" => "Read-only file system",
        other => panic!("{other} has no words here"),
    }
}
