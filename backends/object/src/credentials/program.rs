//! Programs that print credentials.

use std::{collections::BTreeMap, fmt, io, pin::pin, process::Stdio, time::Duration};

use futures::future::{Either, select};
use pflow_backend::Environment;
use tokio::process::Command;

/// A program with its arguments. It inherits the environment of this process, overridden by `variables`.
pub(super) struct Program {
    line: Line,
    variables: BTreeMap<String, String>,
    limit: Duration,
}

#[cfg_attr(not(feature = "s3"), allow(dead_code, reason = "S3 alone has command lines"))]
enum Line {
    /// Run by the system's shell, as AWS's SDKs run a `credential_process`.
    Shell(String),
    /// Looked up in the PATH.
    Words(Vec<String>),
}

/// Why a program returned nothing.
#[derive(Debug)]
pub(super) enum Failed {
    NotFound,
    NotStarted(io::Error),
    TimedOut(Duration),
    /// It ended with this code, or was killed. Its standard error is only searched and never repeated,
    /// because it may contain a secret.
    Ended {
        code: Option<i32>,
        said: String,
    },
}

impl Program {
    #[cfg_attr(not(feature = "s3"), allow(dead_code, reason = "S3 alone has command lines"))]
    pub(super) fn shell(line: &str, variables: &BTreeMap<String, String>, limit: Duration) -> Self {
        Self { line: Line::Shell(line.to_owned()), variables: variables.clone(), limit }
    }

    pub(super) fn of_words(words: &[&str], variables: &BTreeMap<String, String>, limit: Duration) -> Self {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        Self { line: Line::Words(words), variables: variables.clone(), limit }
    }

    /// Runs the program and returns its standard output. It gets no input. It is killed when its time is over
    /// or when the future is dropped.
    pub(super) async fn run(&self, environment: &dyn Environment) -> Result<Vec<u8>, Failed> {
        let mut command = self.command();
        command.envs(&self.variables).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failed::NotFound,
            _ => Failed::NotStarted(error),
        })?;
        let ended = match select(pin!(child.wait_with_output()), pin!(environment.sleep(self.limit))).await {
            Either::Left((ended, _)) => ended.map_err(Failed::NotStarted)?,
            Either::Right(_) => return Err(Failed::TimedOut(self.limit)),
        };
        match ended.status.code() {
            Some(0) => Ok(ended.stdout),
            // The exit code by which shells report a missing program.
            Some(127) if matches!(self.line, Line::Shell(_)) => Err(Failed::NotFound),
            code => Err(Failed::Ended { code, said: String::from_utf8_lossy(&ended.stderr).into_owned() }),
        }
    }

    #[cfg(unix)]
    fn command(&self) -> Command {
        match &self.line {
            Line::Shell(line) => {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", line]);
                command
            }
            Line::Words(words) => {
                let mut command = Command::new(words.first().map_or("", String::as_str));
                command.args(words.get(1..).unwrap_or_default());
                command
            }
        }
    }

    /// `cmd` also finds programs that are scripts, such as `az.cmd`.
    #[cfg(not(unix))]
    fn command(&self) -> Command {
        let mut command = Command::new("cmd");
        command.arg("/C");
        match &self.line {
            #[cfg(windows)]
            Line::Shell(line) => command.raw_arg(line),
            #[cfg(not(windows))]
            Line::Shell(line) => command.arg(line),
            Line::Words(words) => command.args(words),
        };
        command
    }
}

/// The program in a command line, without its arguments, which may contain a secret.
pub(super) fn name_of(line: &str) -> &str {
    let line = line.trim();
    let quoted = ['"', '\''].into_iter().find_map(|quote| line.strip_prefix(quote)?.split(quote).next());
    let name = quoted.unwrap_or_else(|| line.split_whitespace().next().unwrap_or_default());
    // A variable that is set for the program may be a secret too.
    if name.is_empty() || name.contains('=') { "a command" } else { name }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.line {
            Line::Shell(line) => name_of(line),
            Line::Words(words) => words.first().map_or("", String::as_str),
        };
        f.debug_struct("Program").field("name", &name).finish_non_exhaustive()
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("was not found"),
            Self::NotStarted(error) => write!(f, "could not be run ({})", error.kind()),
            Self::TimedOut(limit) => write!(f, "did not end within {} seconds", limit.as_secs()),
            Self::Ended { code: Some(code), .. } => write!(f, "ended with exit code {code}"),
            Self::Ended { code: None, .. } => f.write_str("was killed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_is_named_without_its_arguments() {
        for (line, name) in [
            ("/opt/tool --secret hunter2", "/opt/tool"),
            ("\"/opt/a b/tool\" hunter2", "/opt/a b/tool"),
            ("TOKEN=hunter2 tool", "a command"),
            ("  ", "a command"),
        ] {
            assert_eq!(name_of(line), name);
        }
    }
}
