use std::fmt;

use super::process;

/// The identity of a process: enough to tell a person whom to ask, and to tell on the same machine whether
/// the process still runs.
///
/// A pid alone is not enough: it is reused after its process is gone, and a container has its own numbers. So
/// the start time, the boot and the pid namespace are included. A value that the system does not provide is
/// none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Identity {
    /// The machine's name.
    pub host: String,
    /// The user's login name, else `uid-` and the number, else `unknown`.
    pub user: String,
    /// The process id.
    pub pid: u32,
    /// When the process started, in the system's own unit (Linux: clock ticks since boot).
    pub process_start: Option<String>,
    /// An id that is different after each boot of the machine.
    pub boot_id: Option<String>,
    /// The namespace that the pid belongs to.
    pub pid_namespace: Option<String>,
}

impl Identity {
    /// A process of which no more is known. Its fields can be set.
    pub fn new(user: impl Into<String>, host: impl Into<String>, pid: u32) -> Self {
        Self {
            host: host.into(),
            user: user.into(),
            pid,
            process_start: None,
            boot_id: None,
            pid_namespace: None,
        }
    }

    /// Reads the identity from the system.
    pub(super) fn of_this_process() -> Self {
        #[allow(clippy::disallowed_methods, reason = "the one place that asks for the process id")]
        let pid = std::process::id();
        Self {
            host: host(),
            user: user(),
            pid,
            process_start: process::stat("self").map(|stat| stat.start),
            boot_id: read_trimmed("/proc/sys/kernel/random/boot_id"),
            pid_namespace: std::fs::read_link("/proc/self/ns/pid")
                .ok()
                .map(|link| link.to_string_lossy().into_owned()),
        }
    }
}

/// `user@host`, the form for authors of versions and holders of leases.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, self.host)
    }
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

fn user() -> String {
    let named = ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    named.or_else(uid).unwrap_or_else(|| "unknown".to_owned())
}

/// The owner of `/proc/self`, if it exists; by name if `/etc/passwd` lists it, because asking the C library
/// would need unsafe code.
#[cfg(target_os = "linux")]
fn uid() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let uid = std::fs::metadata("/proc/self").ok()?.uid();
    let users = read_trimmed("/etc/passwd").unwrap_or_default();
    Some(name_of(&users, uid).unwrap_or_else(|| format!("uid-{uid}")))
}

/// Finds the name of a user id in lines of `name:password:uid:…` (passwd(5)).
#[cfg(target_os = "linux")]
fn name_of(users: &str, uid: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid) && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(not(target_os = "linux"))]
fn uid() -> Option<String> {
    None
}

fn read_trimmed(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn users_are_named_if_the_machine_lists_them() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nada:x:1001:1001::/home/ada:/bin/sh";
        assert_eq!(name_of(users, 1001).as_deref(), Some("ada"));
        assert_eq!(name_of(users, 7), None);
    }
}
