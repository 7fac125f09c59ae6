//! The program under `strace`, which kills it at a system call, or makes that call fail.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test does outside its #[test] functions is still a test"
)]

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

use crate::cli_support::{Dump, PROGRAM, Place, Ran};

/// What the program never takes for anything here, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(30);
const OPEN: &str = "openat";
/// The calls that change files, make them durable or lock them, where the machine has them.
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

/// What happens to the program at the `nth` call of this kind that a thread of it makes.
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
    /// The call fails with this, or it and all behind it do.
    Fail { errno: &'static str, for_good: bool },
}

/// A call that was seen, by its number within its thread.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    of_the_store: bool,
    of_others: bool,
}

/// A store as a command finds it, and how to bring it back to that.
pub(crate) struct Scene<'a> {
    pub(crate) place: &'a Place,
    before: Dump,
    args: &'a [&'a str],
    /// The folders of the store, with those that the command makes.
    folders: Vec<PathBuf>,
}

/// Whether there is a `strace` that may trace.
pub(crate) fn is_there() -> bool {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    traced.is_ok_and(|status| status.success())
}

impl<'a> Scene<'a> {
    /// What is there now is what each run finds.
    pub(crate) fn new(place: &'a Place, args: &'a [&'a str]) -> Self {
        let before = if place.path().join(".pflow").exists() { place.dump() } else { Dump::new() };
        let mut scene = Self { place, before, args, folders: Vec::new() };
        place.run(args).succeeds();
        let folders = place.dump().into_iter().filter(|(_, bytes)| bytes.is_none()).map(|(path, _)| path);
        scene.folders = folders.chain([place.path().join(".pflow"), place.path().to_owned()]).collect();
        scene
    }

    /// Brings the store back.
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

    /// Every blow of these kinds that can meet it: one run of the command is watched.
    pub(crate) fn blows(&self, harms: &[Harm]) -> Vec<Blow> {
        let mut seen = self.watch(&[OPEN]);
        seen.extend(self.watch(&CALLS));
        // What is no file of the store (a pipe, a library, the runtime's own) may be lost with a process. To
        // make it fail alone is another test.
        let of_others =
            |call: &str, nth: usize| seen.get(&(call.to_owned(), nth)).is_some_and(|it| it.of_others);
        let ever_of_others = |call: &str| seen.iter().any(|((other, _), it)| other == call && it.of_others);
        let mut blows = Vec::new();
        for ((call, nth), _) in seen.iter().filter(|(_, it)| it.of_the_store) {
            for harm in harms {
                let elsewhere = match harm {
                    Harm::Kill => false,
                    Harm::Fail { for_good: false, .. } => of_others(call, *nth),
                    Harm::Fail { for_good: true, .. } => ever_of_others(call),
                };
                if !elsewhere {
                    blows.push(Blow { call: call.clone(), nth: *nth, harm: *harm });
                }
            }
        }
        blows
    }

    /// The calls of these kinds, by their kind and their number within their thread.
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
            // `123  fsync(5</path/to/it>) = 0`, in one piece or begun here and resumed elsewhere.
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

    /// Runs the command into a blow. Who was killed has no code. None: its threads did not do what they did
    /// when it was watched, and what failed was no file of the store.
    pub(crate) fn strike(&self, blow: &Blow) -> Option<Ran> {
        self.restore();
        let trace = self.place.path().join("trace");
        let mut strace = self.strace(&[&blow.call], &trace);
        let Blow { call, nth, harm } = blow;
        let inject = match harm {
            Harm::Kill => format!("inject={call}:signal=SIGKILL:when={nth}"),
            Harm::Fail { errno, for_good: false } => format!("inject={call}:error={errno}:when={nth}"),
            Harm::Fail { errno, for_good: true } => format!("inject={call}:error={errno}:when={nth}+"),
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
            // Only in these folders, or the first hundred would be those of the dynamic loader.
            strace.args(self.folders.iter().flat_map(|folder| [OsStr::new("-P"), folder.as_os_str()]));
        }
        strace.current_dir(self.place.path()).env_clear().stdin(Stdio::null());
        strace.stdout(Stdio::piped()).stderr(Stdio::piped());
        strace
    }
}

/// Waits for its end. None: it hangs. Then it is killed, with whatever it traces.
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

/// The words of an error, as the system says them.
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
