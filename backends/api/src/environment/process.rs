/// The state of a process id at this moment.
///
/// A pid is reused after its process is gone, so it is meaningless without the start time; and it is valid
/// only on one machine, within one boot and one pid namespace (see [`Identity`](super::Identity)).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Process {
    /// No process, or a zombie: a process that has ended and whose parent has not waited for it. It will
    /// never do anything again.
    Gone,
    /// A process with this start time, in the unit of
    /// [`Identity::process_start`](super::Identity::process_start).
    Started(String),
    /// The system does not say.
    Unknown,
}

impl Process {
    /// Asks the system.
    pub(super) fn look(pid: u32) -> Self {
        match stat(pid) {
            Some(stat) if matches!(stat.state, 'Z' | 'X') => Self::Gone,
            Some(stat) => Self::Started(stat.start),
            // IMPORTANT: a missing file proves nothing. If processes of other users are hidden (`hidepid`,
            // proc(5)), their files are missing too.
            None if is_surely_gone(pid) => Self::Gone,
            None => Self::Unknown,
        }
    }
}

/// The facts about a process in proc(5).
pub(super) struct Stat {
    state: char,
    pub(super) start: String,
}

/// Fields 3 and 22 of `/proc/<pid>/stat` (proc(5)); none if there is no such file.
pub(super) fn stat(pid: impl std::fmt::Display) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Parses the file. The second field is the program's name in parentheses and may contain anything, so the
/// fields are counted after the last parenthesis.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some(Stat { state, start: fields.nth(18)?.to_owned() })
}

/// Sends signal 0: the system only says whether a signal could be sent.
#[cfg(unix)]
fn is_surely_gone(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
fn is_surely_gone(_: u32) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_names_may_contain_any_character() {
        let line = "7 (a) S (b c) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.state, stat.start.as_str()), ('R', "4711"));
        assert!(parse_stat("7 (a) R 1").is_none() && parse_stat("").is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn running_and_ended_processes_are_detected() {
        #[allow(clippy::disallowed_methods, reason = "what the environment says is what is tested")]
        let own = std::process::id();
        assert!(matches!(Process::look(own), Process::Started(_)));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        // The child ends at some point; whether its parent has waited for it does not matter.
        while Process::look(pid) != Process::Gone {
            std::thread::yield_now();
        }
        assert!(child.wait().unwrap().success());
        assert_eq!(Process::look(pid), Process::Gone);
    }
}
